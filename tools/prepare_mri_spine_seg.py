"""Same as `medicalseg prepare mri_spine_seg`; see `python tools/prepare_mri_spine_seg.py --help`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from medicalseg.cli import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("prepare", ["mri_spine_seg", *sys.argv[1:]]))
