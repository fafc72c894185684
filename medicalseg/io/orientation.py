"""Reorientation: flips and permutations of the axes, exact and undone by going back."""

from __future__ import annotations

import numpy as np

from medicalseg.io.geometry import axis_matching, parse_axis_codes
from medicalseg.io.volume import Volume


def reorient(volume: Volume, axcodes: str) -> Volume:
    """Return the same image with axes that run towards `axcodes`; no value changes and none moves in space.

    The array is a view of the volume's where possible. `reorient(reorient(v, codes), v.axcodes)` is `v` again.

    Args:
        volume: (X, Y, Z) or (C, X, Y, Z); channels stay where they are.
        axcodes: three letters, such as "RAS" or "PIL".

    Raises:
        VolumeError: `axcodes` is no orientation.
    """
    wanted = parse_axis_codes(axcodes)
    present = axis_matching(volume.affine)
    if wanted == present:
        return volume
    order = [next(axis for axis, (world, _) in enumerate(present) if world == target) for target, _ in wanted]
    flipped = [present[axis][1] != sign for axis, (_, sign) in zip(order, wanted, strict=True)]
    lead = volume.array.ndim - 3
    array = volume.array.transpose([*range(lead), *(axis + lead for axis in order)])
    array = array[(slice(None),) * lead + tuple(slice(None, None, -1 if flip else 1) for flip in flipped)]
    return Volume(array, _moved(volume, order, flipped), path=volume.path, meta=volume.meta)


def _moved(volume: Volume, order: list[int], flipped: list[bool]) -> np.ndarray:
    affine = np.array(volume.affine)
    affine[:3, :3] = volume.affine[:3, order]
    for axis, flip in enumerate(flipped):
        if flip:
            affine[:3, 3] += affine[:3, axis] * (volume.shape[order[axis]] - 1)
            affine[:3, axis] *= -1
    return affine
