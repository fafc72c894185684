"""Class weights of voxel-wise losses."""

from __future__ import annotations

from typing import Any

import paddle

from medicalseg.errors import ConfigError
from medicalseg.losses.arguments import check_length
from medicalseg.losses.sums import over_ranks
from medicalseg.losses.target import Target

DATA_FREQUENCY = "frequency"
BATCH_FREQUENCY = ("auto", "label_frequency")
FREQUENCY = (*BATCH_FREQUENCY, DATA_FREQUENCY)


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
        ConfigError: the list has another length than the classes, or "frequency" has not become one.
    """
    if weight is None:
        return None
    refuse_word(weight, name)
    if isinstance(weight, str):
        counts = over_ranks(target.class_counts(dtype))
        present = (counts > 0).astype(dtype)
        return present * counts.sum() / (present.sum().clip(min=1) * counts.clip(min=1))
    check_length(weight, target.num_classes, name)
    return paddle.to_tensor(weight, dtype=dtype)


def refuse_word(weight: Any, name: str) -> None:
    """Refuse weights that still are the word "frequency".

    Raises:
        ConfigError: they are.
    """
    if isinstance(weight, str) and weight == DATA_FREQUENCY:
        raise ConfigError(
            f"{name}: '{DATA_FREQUENCY}' needs the class frequencies of the training data, which training with a "
            "PatchDataset has; call losses.resolve_class_weights, or give 'auto' or a list"
        )


def weighted(scores: paddle.Tensor, weight: list[float] | str | None, first: int, name: str) -> paddle.Tensor:
    """Scores (..., K) of the classes from `first` on, times weights whose mean over these classes is 1.

    Args:
        scores: one per class.
        weight: one number per class; None: the scores themselves.
        first: how many classes are left out.
        name: the argument's name, for the message.

    Raises:
        ConfigError: the list has another length than the classes, or "frequency" has not become one.
    """
    if weight is None:
        return scores[..., first:]
    refuse_word(weight, name)
    classes = int(scores.shape[-1])
    numbers = [float(value) for value in weight]
    check_length(numbers, classes, name)
    mean = sum(numbers[first:]) / (classes - first)
    if not mean:
        raise ConfigError(f"{name}: every class that counts has weight 0")
    return scores[..., first:] * paddle.to_tensor([value / mean for value in numbers[first:]], dtype=scores.dtype)
