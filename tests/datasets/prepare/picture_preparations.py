"""What the tests of preparations that write pictures share."""

from __future__ import annotations

import numpy as np
from PIL import Image

from medicalseg.cli import main


def prepare(verb, raw, root, size, *arguments) -> int:
    """The exit code of `medicalseg prepare`."""
    flags = ["--raw_dir", raw, "--dataset_root", root, "--num_workers", 0, "--size", *size, *arguments]
    return main(["prepare", verb, *map(str, flags)])


def printed(capsys) -> str:
    return "".join(capsys.readouterr())


def picture(path) -> np.ndarray:
    return np.asarray(Image.open(path))
