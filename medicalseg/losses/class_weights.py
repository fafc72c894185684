"""Class weights of voxel-wise losses."""

from __future__ import annotations

import paddle

from medicalseg.losses.arguments import check_length
from medicalseg.losses.sums import over_ranks
from medicalseg.losses.target import Target

FREQUENCY = ("auto", "label_frequency")


def class_weights(
    weight: list[float] | str | None, target: Target, dtype: paddle.dtype, name: str
) -> paddle.Tensor | None:
    """(K,) weights; for "auto" and "label_frequency" inversely as the classes are frequent in the batch's labels.

    A class with n of V voxels, among P classes that are present, weighs V / (P n), so that present classes have equal
    shares; absent ones weigh 0. Counts are over all ranks, ignored voxels left out.

    Args:
        weight: list, word, or None for no weights.
        target: the labels.
        dtype: of the result.
        name: the argument's name, for the message.

    Raises:
        ConfigError: the list has another length than the classes.
    """
    if weight is None:
        return None
    if isinstance(weight, str):
        counts = over_ranks(target.class_counts(dtype))
        present = (counts > 0).astype(dtype)
        return present * counts.sum() / (present.sum().clip(min=1) * counts.clip(min=1))
    check_length(weight, target.num_classes, name)
    return paddle.to_tensor(weight, dtype=dtype)
