"""The losses of all heads of a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import paddle

from medicalseg.errors import ConfigError
from medicalseg.losses.mixed import as_list


def compute(
    logits_list: Sequence[paddle.Tensor], label: paddle.Tensor, losses: Mapping[str, Sequence[Any]]
) -> list[paddle.Tensor]:
    """Loss i of head i, times coefficient i; the total loss is the sum of the list.

    Args:
        logits_list: logits (N, K, ...) of each head, as a network's `forward` returns them.
        label: (N, ...) integers.
        losses: `{"types": [loss, ...], "coef": [number, ...]}`, one of each per head.

    Returns:
        Scalars; a MixedLoss gives several.

    Raises:
        ConfigError: the numbers of heads, losses and coefficients differ.
    """
    types, coef = losses["types"], losses["coef"]
    if not len(logits_list) == len(types) == len(coef):
        raise ConfigError(
            f"loss: the network has {len(logits_list)} outputs, but loss.types has {len(types)} and loss.coef "
            f"{len(coef)} entries; give one per output"
        )
    return [
        factor * part
        for logits, loss, factor in zip(logits_list, types, coef, strict=True)
        for part in as_list(loss(logits, label))
    ]
