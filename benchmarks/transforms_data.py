"""The sample that every contender of the suite `transforms` augments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.ndimage

SMALLEST_SCALE = 0.85
THIN = 3


def is_thin(patch: Sequence[int]) -> bool:
    """Whether nnU-Net turns such a patch within its slices only."""
    return max(patch) > THIN * patch[0]


def source_shape(patch: Sequence[int]) -> list[int]:
    """What nnU-Net reads for a patch, so that its corners are there after a rotation and a scaling.

    The box round the patch turned by 30 degrees in each plane (by 90 within the slices of a thin one), over 0.85.
    """
    turns = [(1, 2, 90)] if is_thin(patch) else [(a, b, 30) for a, b in ((0, 1), (0, 2), (1, 2))]
    sides = np.array(patch, dtype=float)
    for a, b, degrees in turns:
        cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        sides[a] = max(sides[a], patch[a] * cosine + patch[b] * sine)
        sides[b] = max(sides[b], patch[a] * sine + patch[b] * cosine)
    sides /= SMALLEST_SCALE
    if is_thin(patch):
        sides[0] = patch[0]
    return [int(side) for side in sides]


def sample(shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Image float32 (1, X, Y, Z) with mean 0 and deviation 1; label int16 (X, Y, Z), smooth regions of 3 classes."""
    generator = np.random.default_rng(0)
    field = scipy.ndimage.gaussian_filter(generator.standard_normal(shape, dtype=np.float32), min(8, min(shape) / 4))
    label = np.digitize(field, np.quantile(field, [0.80, 0.93])).astype(np.int16)
    image = generator.standard_normal(shape, dtype=np.float32) + label
    return ((image - image.mean()) / image.std()).astype(np.float32)[None], label
