"""Write a few toy volumes for the example: a bright ball (1) and a dark one (2) in noise, as NIfTI."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from medicalseg.io import Volume, write_volume

SHAPE = (32, 28, 24)
AFFINE = np.diag([1.5, 1.5, 2.0, 1.0])


def main() -> None:
    """Write `FOLDER/case_NN/{image,label}.nii.gz`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", type=int, default=8)
    args = parser.parse_args()
    for number in range(args.cases):
        image, label = balls(np.random.default_rng(number))
        folder = args.folder / f"case_{number:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        write_volume(Volume(image, AFFINE), folder / "image.nii.gz")
        write_volume(Volume(label, AFFINE), folder / "label.nii.gz")


def balls(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """An image float32 and its label uint8, both of `SHAPE`."""
    label = np.zeros(SHAPE, np.uint8)
    for value, low in ((1, 0.25), (2, 0.6)):
        centre = [size * rng.uniform(low, low + 0.15) for size in SHAPE]
        distance = sum((axis - middle) ** 2 for axis, middle in zip(np.indices(SHAPE), centre, strict=True))
        label[distance < rng.uniform(4, 6) ** 2] = value
    image = rng.normal(100, 12, SHAPE) + np.choose(label, [0, 60, -60])
    return image.astype(np.float32), label


if __name__ == "__main__":
    main()
