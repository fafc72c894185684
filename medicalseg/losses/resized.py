"""Labels in the size of smaller heads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import paddle

from medicalseg.losses.sharing import remembered
from medicalseg.utils.arrays import host_array

GATHERED = (paddle.int32, paddle.int64)


def label_for(spatial: Sequence[int], label: paddle.Tensor) -> paddle.Tensor:
    """The label of a head, by nearest neighbour; `label` itself where the sizes agree.

    Voxel i of m takes the label's voxel floor((i + 1/2) n / m) of n: the middle one, of two the upper, as nnU-Net does
    when it scales labels for deep supervision. Ids, masks and the ignored value stay what they are.

    Args:
        spatial: size of the head's logits.
        label: (N, ...) or (N, K, ...), no axis smaller than that.

    Returns:
        A label of the same type; one larger nowhere is returned as it is, for the loss to refuse.
    """
    axes = len(spatial)
    given = tuple(label.shape[-axes:])
    wanted = tuple(int(size) for size in spatial)
    if label.ndim <= axes or given == wanted or any(m > n for m, n in zip(wanted, given, strict=True)):
        return label
    return remembered((label,), ("resized", *wanted), lambda: _resized(label, given, wanted))


def _resized(label: paddle.Tensor, given: Sequence[int], wanted: Sequence[int]) -> paddle.Tensor:
    first = label.ndim - len(given)
    picks = [picked(n, m) for n, m in zip(given, wanted, strict=True)]
    if paddle.in_dynamic_mode() and label.place.is_cpu_place():
        return paddle.to_tensor(_taken(host_array(label), picks), place=label.place)
    result = label if label.dtype in GATHERED else label.astype("int32")
    for axis, pick in enumerate(picks, first):
        result = paddle.index_select(result, paddle.to_tensor(pick), axis)
    return result


def picked(given: int, wanted: int) -> np.ndarray:
    """(wanted,) int64 positions among `given` voxels."""
    return (2 * np.arange(wanted) + 1) * given // (2 * wanted)


def _taken(values: np.ndarray, picks: Sequence[np.ndarray]) -> np.ndarray:
    """The positions of the last axes, without a copy of what is not taken."""
    slices = [_as_slice(pick) for pick in picks]
    places = [slice(None)] * (values.ndim - len(picks))
    values = values[tuple(places + [slice(None) if even is None else even for even in slices])]
    for axis, (pick, even) in enumerate(zip(picks, slices, strict=True), values.ndim - len(picks)):
        values = values.take(pick, axis=axis) if even is None else values
    return np.ascontiguousarray(values)


def _as_slice(pick: np.ndarray) -> slice | None:
    """The positions as a slice, where they have a constant distance."""
    steps = set(np.diff(pick).tolist()) or {1}
    return slice(int(pick[0]), int(pick[-1]) + 1, steps.pop()) if len(steps) == 1 else None
