"""A warm-up that fits a training which was made shorter than the file says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SHARE = 10


def shortened(block: Mapping[str, Any], iters: int | None, length_given: bool, warmup_given: bool) -> int | None:
    """Steps of the warm-up if it is to be shorter than `warmup_iters`, else None.

    A tenth of the training, at least a step. What the file says of its own length is left as it is, unless the
    training would end within the warm-up.

    Args:
        block: `lr_scheduler`.
        iters: length of the training; None if it is not known.
        length_given: whether a flag or an override gave that length.
        warmup_given: whether an override gave `warmup_iters`, which then stays.
    """
    steps = block.get("warmup_iters")
    if iters is None or warmup_given or isinstance(steps, bool) or not isinstance(steps, int):
        return None
    most = max(1, iters // SHARE)
    return most if steps > most and (length_given or steps >= iters) else None
