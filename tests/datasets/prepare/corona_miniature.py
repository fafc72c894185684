"""A miniature of LungCoronavirus: folders, names and Hounsfield units of the published volumes, but no patients.

`python -m tests.datasets.prepare.corona_miniature FOLDER CASES` writes one of 36 x 34 x 32, as the TIPC chain uses.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from medicalseg.io import Volume, write_volume

SHAPE = (36, 34, 32)
AFFINE = np.diag([-9.0, -9.0, 9.0, 1.0])
AIR, TISSUE, LUNG = -1000, 40, -750


def write_corona(folder: Path, cases: int = 4, shape: tuple[int, int, int] = SHAPE) -> Path:
    """Write `20_ncov_scan/coronacases_org_NNN.nii.gz` and `lung_mask/coronacases_NNN.nii.gz`; returns `folder`."""
    for number in range(1, cases + 1):
        image, label = _case(shape, number)
        write_volume(Volume(image, AFFINE), folder / "20_ncov_scan" / f"coronacases_org_{number:03d}.nii.gz")
        labels = Volume(label, AFFINE, meta={"labels": True})
        write_volume(labels, folder / "lung_mask" / f"coronacases_{number:03d}.nii.gz")
    return folder


def _case(shape: tuple[int, int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two lungs of air in a chest of tissue."""
    generator = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    width = 0.26 + 0.04 * generator.random()
    label = np.zeros(shape, np.uint8)
    for lung, middle in ((1, 0.42), (2, -0.42)):
        label[((x - middle) / width) ** 2 + (y / 0.5) ** 2 + (z / 0.8) ** 2 < 1] = lung
    values = np.where(x**2 + (y / 0.8) ** 2 < 0.9, TISSUE, AIR)
    values = np.where(label > 0, LUNG, values) + generator.normal(0, 25, shape)
    return values.round().astype(np.int16), label


if __name__ == "__main__":
    write_corona(Path(sys.argv[1]), int(sys.argv[2]))
