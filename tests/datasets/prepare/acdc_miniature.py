"""A miniature of the ACDC challenge's folders: names, values and voxel sizes, but no patients.

`python -m tests.datasets.prepare.acdc_miniature FOLDER PATIENTS` writes one as the TIPC chain uses.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from medicalseg.io import Volume, write_volume

SHAPE = (40, 36, 6)
SPACING = (1.5625, 1.5625, 10.0)
AFFINE = np.diag([-SPACING[0], -SPACING[1], SPACING[2], 1.0])


def write_acdc(folder: Path, patients: int = 5, test: int = 0, shape: tuple[int, int, int] = SHAPE) -> Path:
    """Write `database/training/patientNNN` and `database/testing/patientNNN` below `folder`; returns it.

    A patient has two frames with labels (those for test without), the whole film, and a text file.
    """
    for number in range(1, patients + 1):
        _patient(folder / "database" / "training" / f"patient{number:03d}", shape, number, labelled=True)
    for number in range(101, 101 + test):
        _patient(folder / "database" / "testing" / f"patient{number:03d}", shape, number, labelled=False)
    return folder


def _patient(folder: Path, shape: tuple[int, int, int], number: int, labelled: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Info.cfg").write_text("ED: 1\nES: 12\nGroup: NOR\n")
    film = []
    for frame, size in ((1, 1.0), (12, 0.7)):
        image, label = heart(shape, number, size)
        film.append(image)
        _write(folder / f"{folder.name}_frame{frame:02d}.nii.gz", image)
        if labelled:
            _write(folder / f"{folder.name}_frame{frame:02d}_gt.nii.gz", label)
    _write(folder / f"{folder.name}_4d.nii.gz", np.stack(film))


def heart(shape: tuple[int, int, int], seed: int, size: float) -> tuple[np.ndarray, np.ndarray]:
    """MR-like image, int16 from 0 to about 500, and label: a ventricle in its wall, and the other one beside it."""
    generator = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    radius = size * (0.45 - 0.15 * np.abs(z))
    left = np.hypot(x - 0.05 * generator.standard_normal(), y)
    label = np.zeros(shape, np.uint8)
    label[np.hypot(x + 0.5, y) < radius] = 1
    label[left < radius] = 2
    label[left < 0.65 * radius] = 3
    grey = np.array([60, 300, 120, 320])[label] + generator.normal(0, 15, shape)
    return np.clip(grey, 0, None).round().astype(np.int16), label


def _write(path: Path, array: np.ndarray) -> None:
    write_volume(Volume(array, AFFINE, meta={"labels": True} if array.dtype == np.uint8 else {}), path)


def main(folder: Path, patients: int) -> None:
    """The miniature, and its images once more in a folder of their own, as prediction takes them."""
    write_acdc(folder, patients)
    images = folder / "images"
    images.mkdir(exist_ok=True)
    for path in sorted(folder.glob("database/training/*/*_frame??.nii.gz"))[:4]:
        (images / path.name).write_bytes(path.read_bytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
