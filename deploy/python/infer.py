"""Segment images with an exported model: `python deploy/python/infer.py --config EXPORT/deploy.yaml --image_path SCAN`.

Same as `medicalseg infer`. No network and no training code is imported.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from medicalseg.cli import run_verb

if __name__ == "__main__":
    sys.exit(run_verb("infer"))
