"""Sums over the voxels of a batch, one per class, which is all that most losses are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import paddle
from paddle.nn import functional as F

from medicalseg.errors import ConfigError
from medicalseg.losses import blocks
from medicalseg.losses.mask_target import MaskTarget
from medicalseg.losses.rows import Row
from medicalseg.losses.sharing import expected_rows, remembered
from medicalseg.losses.target import Target
from medicalseg.utils.arrays import host_array, is_host_array

NO_SOFTMAX = "a softmax over classes is asked for, but the label is of masks, each of which needs a sigmoid"


def class_sums(
    logits: paddle.Tensor, target: Target, rows: Iterable[Row], per_image: bool = False
) -> Mapping[Row, paddle.Tensor]:
    """The sums of float32 or float64 logits over this rank's batch, differentiable.

    On the CPU they are made of cache-sized blocks, and again for their gradient, so that nothing of the logits' size
    is kept or allocated but that gradient; elsewhere by Paddle's operations.

    Args:
        logits: (N, K, ...).
        target: their labels.
        rows: what to sum.
        per_image: sum over the voxels of each image only.

    Returns:
        (K,), or (N, K) per image, of the logits' type for each row.

    Raises:
        ConfigError: a softmax is asked for where there is none, see `masks`.
    """
    known = _known(logits, target, per_image)
    missing = frozenset(rows) - known.keys()
    if missing and not per_image:
        images = _known(logits, target, True)
        known.update({row: images[row].sum(axis=0) for row in missing & images.keys()})
        missing -= known.keys()
    if missing:
        more = frozenset() if per_image else expected_rows() - known.keys()
        known.update(_compute(logits, target, _possible(missing, more, target), per_image))
    return known


def _known(logits: paddle.Tensor, target: Target, per_image: bool) -> dict[Row, paddle.Tensor]:
    """Sums that were made before, inside `sharing`."""
    known: dict[Row, paddle.Tensor] = remembered((logits, target), (True, per_image), dict)
    if paddle.is_grad_enabled():
        return known
    return remembered((logits, target), (False, per_image), known.copy)


def _possible(missing: frozenset[Row], more: frozenset[Row], target: Target) -> tuple[Row, ...]:
    if not isinstance(target, MaskTarget):
        return tuple(sorted(missing | more))
    if any(not row.sigmoid for row in missing):
        raise ConfigError(NO_SOFTMAX)
    return tuple(sorted(missing | {row for row in more if row.sigmoid}))


def _compute(logits: paddle.Tensor, target: Target, rows: tuple[Row, ...], per_image: bool) -> dict[Row, paddle.Tensor]:
    if target.wrong is None and is_host_array(logits):
        differentiable = paddle.is_grad_enabled() and not logits.stop_gradient
        return dict(zip(rows, _BlockSums.apply(logits, target, rows, differentiable, per_image).unbind(0), strict=True))
    return {row: _plain_sum(logits, target, row, per_image) for row in rows}


class _BlockSums(paddle.autograd.PyLayer):
    """(R, K) or (R, N, K) of R rows. The softmax is kept for the gradient, which then takes its place."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: paddle.Tensor,
        target: Target,
        rows: tuple[Row, ...],
        differentiable: bool,
        per_image: bool,
    ) -> paddle.Tensor:
        ctx.save_for_backward(logits)
        ignored = target.ignore_index if target.any_ignored else None
        ctx.task = blocks.Task(rows, host_array(target.label), ignored, isinstance(target, MaskTarget))
        ctx.softmax = paddle.empty(logits.shape, logits.dtype) if differentiable and ctx.task.uses_softmax else None
        sums = ctx.task.sums(host_array(logits), None if ctx.softmax is None else host_array(ctx.softmax), per_image)
        return paddle.to_tensor(sums, dtype=logits.dtype, place=logits.place)

    @staticmethod
    def backward(ctx: Any, gradient: paddle.Tensor) -> paddle.Tensor:
        (logits,) = ctx.saved_tensor()
        known, ctx.softmax = ctx.softmax, None
        result = paddle.empty(logits.shape, logits.dtype) if known is None else known
        ctx.task.gradient(host_array(logits), gradient.numpy(), host_array(result), known is not None)
        return result


def _plain_sum(logits: paddle.Tensor, target: Target, row: Row, per_image: bool) -> paddle.Tensor:
    chosen = target.is_class()
    if row.kind == "entropy":
        entropy = F.cross_entropy(logits, target.filled.unsqueeze(1), axis=1, reduction="none")
        if row.gamma:
            entropy = entropy * (-paddle.expm1(-entropy)).clip(min=blocks.SMALLEST) ** row.gamma
        sums = per_class(masked(entropy.expand_as(logits), chosen))
        return paddle.concat([sums.sum().reshape([1]), paddle.zeros_like(sums[1:])]) if row.pooled else sums
    p = F.sigmoid(logits) if row.sigmoid else F.softmax(logits, axis=1)
    if row.kind == "joint":
        return per_class(masked(p, chosen), per_image)
    if target.counted is not None:
        p = masked(p, target.counted.expand_as(p))
    return per_class(p.square() if row.kind == "squares" else p, per_image)


def per_class(values: paddle.Tensor, per_image: bool = False) -> paddle.Tensor:
    """Sum (N, K, ...) to (K,), or to (N, K).

    One axis after the other: a single float32 reduction over millions of voxels is off by a thousandth.
    """
    while values.ndim > 2:
        values = values.sum(axis=-1)
    return values if per_image else values.sum(axis=0)


def masked(values: paddle.Tensor, mask: paddle.Tensor) -> paddle.Tensor:
    """`values` where `mask`, elsewhere 0; the graph keeps the mask's bytes rather than floats."""
    return paddle.where(mask, values, paddle.zeros_like(values))
