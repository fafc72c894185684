"""Same as `medicalseg prepare acdc`; see `python tools/prepare_acdc.py --help`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from medicalseg.cli import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("prepare", ["acdc", *sys.argv[1:]]))
