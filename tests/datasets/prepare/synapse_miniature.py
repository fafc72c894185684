"""A miniature of the Synapse challenge's RawData: folders, names, values and orientation, but no patients.

`python -m tests.datasets.prepare.synapse_miniature FOLDER CASES` writes one of 64 x 60 x 6, as the TIPC chains use.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from medicalseg.io import Volume, write_volume

SHAPE = (20, 18, 5)
AFFINE = np.diag([-0.8, 0.7, 3.0, 1.0])


def write_synapse(
    folder: Path, cases: int = 5, test: int = 0, shape: tuple[int, int, int] = SHAPE, compressed: bool = True
) -> Path:
    """Write `RawData/Training/{img,label}` and `RawData/Testing/img` below `folder`; returns it.

    Labels are boxes of the ids 0 to 13, images are CT-like: -1000 to 1000 HU, organs of their own grey value.
    """
    ending = "nii.gz" if compressed else "nii"
    for number in range(1, cases + 1):
        image, label = _case(shape, seed=number)
        _write(folder / "RawData" / "Training" / "img" / f"img{number:04d}.{ending}", image)
        _write(folder / "RawData" / "Training" / "label" / f"label{number:04d}.{ending}", label)
    for number in range(61, 61 + test):
        _write(folder / "RawData" / "Testing" / "img" / f"img{number:04d}.{ending}", _case(shape, seed=number)[0])
    return folder


def _case(shape: tuple[int, int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    label = np.zeros(shape, np.uint8)
    for organ in range(1, 14):
        low = [int(generator.integers(0, max(1, size - size // 3))) for size in shape]
        label[tuple(slice(start, start + size // 3) for start, size in zip(low, shape, strict=True))] = organ
    image = generator.normal(0, 20, shape) + np.where(label > 0, 20.0 * label - 100, -400.0)
    image[0, 0], image[-1, -1] = -1000, 1000
    return image.round().astype(np.int16), label


def _write(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(Volume(array, AFFINE, meta={"labels": True} if array.dtype == np.uint8 else {}), path)


if __name__ == "__main__":
    write_synapse(Path(sys.argv[1]), cases=int(sys.argv[2]), shape=(64, 60, 6))
