"""The spine volumes that prediction is measured on: SPIDER's where they are, else the phantom at the same sizes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.process import ROOT

VARIABLE = "MEDICALSEG_DATA_ROOT"
CASE = "spider_005.nii.gz"
SIZES = {False: (256, 320, 18), True: (512, 640, 18)}
IMAGES, LABELS = "imagesTr", "labelsTr_levels"


def data_root() -> Path:
    """Folder with `spider_t2space`; MEDICALSEG_DATA_ROOT, else beside the checkout."""
    given = os.environ.get(VARIABLE)
    return Path(given) if given else ROOT.parent / "shared" / "data" / "spine"


def image(full: bool = False) -> Path:
    """A T2 volume: 256x320x18 voxels, or `full` with 512x640x18."""
    return _folder(full) / IMAGES / CASE


def label(full: bool = False) -> Path:
    """Its 20-class label map."""
    return _folder(full) / LABELS / CASE


def _folder(full: bool) -> Path:
    real = data_root() / ("spider_t2space_fullres" if full else "spider_t2space")
    return real if (real / IMAGES / CASE).is_file() else _phantom(full)


def _phantom(full: bool) -> Path:
    """The folder of a generated volume; made by a process of its own, so that this one imports nothing for it."""
    folder = Path(tempfile.gettempdir()) / f"medicalseg-spine-phantom-{'x'.join(map(str, SIZES[full]))}"
    if not (folder / LABELS / CASE).is_file():
        command = [sys.executable, "-m", "benchmarks.spine_files", str(folder), *map(str, SIZES[full])]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return folder


def write_phantom(folder: Path, size: tuple[int, int, int]) -> None:
    """Write the image, then the label map, which means that both are there."""
    from medicalseg.datasets.phantom import spine_phantom
    from medicalseg.io import Volume, write_volume

    case = spine_phantom(5, size=size)
    for name, array in ((IMAGES, case.image), (LABELS, case.label)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        write_volume(Volume(array, case.affine), folder / name / CASE)


if __name__ == "__main__":
    x, y, z = map(int, sys.argv[2:])
    write_phantom(Path(sys.argv[1]), (x, y, z))
