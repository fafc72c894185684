"""The losses of all heads of a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import paddle

from medicalseg.errors import ConfigError
from medicalseg.losses.cross_entropy import CHANNELS_LAST
from medicalseg.losses.mixed import as_list
from medicalseg.losses.resized import label_for
from medicalseg.losses.sharing import sharing


def compute(
    logits_list: Sequence[paddle.Tensor], label: paddle.Tensor, losses: Mapping[str, Sequence[Any]]
) -> list[paddle.Tensor]:
    """Loss i of head i, times coefficient i; the total loss is the sum of the list.

    A head after the first may be smaller than the label, which is then scaled down to it (see `label_for`), once for
    all losses. A `MultipleLoss` stands alone and gets all heads.

    Args:
        logits_list: logits (N, K, ...) of each head, as a network's `forward` returns them.
        label: (N, ...) class ids or (N, K, ...) masks, in the size of the first head.
        losses: `{"types": [loss, ...], "coef": [number, ...]}`, one of each per head.

    Returns:
        Scalars; a MixedLoss gives several.

    Raises:
        ConfigError: the numbers of heads, losses and coefficients differ.
    """
    types, coef = losses["types"], losses["coef"]
    if len(types) == len(coef) == 1 and getattr(types[0], "of_all_heads", False):
        with sharing():
            return [coef[0] * types[0](logits_list, label)]
    if not len(logits_list) == len(types) == len(coef):
        raise ConfigError(
            f"loss: the network has {len(logits_list)} outputs, but loss.types has {len(types)} and loss.coef "
            f"{len(coef)} entries; give one per output"
        )
    with sharing():
        return [
            factor * part
            for head, (logits, loss, factor) in enumerate(zip(logits_list, types, coef, strict=True))
            for part in as_list(loss(logits, label if head == 0 else label_for(_spatial(logits, loss), label)))
        ]


def _spatial(logits: paddle.Tensor, loss: Any) -> list[int]:
    last = getattr(loss, "data_format", None) in CHANNELS_LAST
    return list(logits.shape[1:-1] if last else logits.shape[2:])
