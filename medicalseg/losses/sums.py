"""Sums over the voxels of a batch, on all ranks, and ratios of them."""

from __future__ import annotations

from dataclasses import dataclass

import paddle
from paddle.nn import functional as F

from medicalseg.losses.target import Target
from medicalseg.utils.distributed import all_reduce_sum


def over_ranks(values: paddle.Tensor) -> paddle.Tensor:
    """Sum over the ranks of a training step, differentiable; `values` itself in one process or without gradients.

    Ranks evaluate different numbers of cases, so nothing may wait for the others where no gradient is asked for.
    """
    return all_reduce_sum(values) if paddle.is_grad_enabled() else values


def per_class(values: paddle.Tensor) -> paddle.Tensor:
    """Sum (N, K, ...) to (K,).

    One axis after the other: a single float32 reduction over millions of voxels is off by a thousandth.
    """
    while values.ndim > 2:
        values = values.sum(axis=-1)
    return values.sum(axis=0)


def ratio(numerator: paddle.Tensor, denominator: paddle.Tensor) -> paddle.Tensor:
    """Quotient, as a scalar, of two sums over this rank's voxels, both summed over the ranks first; 0 for 0 / 0."""
    both = over_ranks(paddle.concat([numerator.reshape([1]), denominator.reshape([1])]))
    whole = both[1].detach()
    return (both[0] / paddle.where(whole > 0, whole, paddle.ones_like(whole))).sum()


def masked(values: paddle.Tensor, mask: paddle.Tensor) -> paddle.Tensor:
    """`values` where `mask`, elsewhere 0; the graph keeps the mask's bytes rather than floats."""
    return paddle.where(mask, values, paddle.zeros_like(values))


def probabilities(logits: paddle.Tensor, sigmoid: bool) -> paddle.Tensor:
    """Sigmoid, or softmax over the classes, of (N, K, ...)."""
    return F.sigmoid(logits) if sigmoid else F.softmax(logits, axis=1)


@dataclass(frozen=True)
class Overlap:
    """What overlap losses are made of, over all ranks; t is the one-hot label, p the probability.

    Attributes:
        joint: (K,) sum of p t.
        predicted: (K,) sum of p, or of its square.
        reference: (K,) sum of t.
        voxels: (1,) voxels that are not ignored.
    """

    joint: paddle.Tensor
    predicted: paddle.Tensor
    reference: paddle.Tensor
    voxels: paddle.Tensor

    @classmethod
    def of(cls, logits: paddle.Tensor, target: Target, sigmoid: bool, squared: bool) -> Overlap:
        """Sum over logits (N, K, ...) and their target."""
        p = probabilities(logits, sigmoid)
        joint = per_class(masked(p, target.is_class()))
        if target.valid is not None:
            p = masked(p, target.valid.unsqueeze(1).expand_as(p))
        predicted = per_class(p.square() if squared else p)
        sums = [joint, predicted, target.class_counts(p.dtype), target.voxels(p.dtype)]
        k = target.num_classes
        return cls(*paddle.split(over_ranks(paddle.concat(sums)), [k, k, k, 1]))

    def mean_loss(self, scores: paddle.Tensor) -> paddle.Tensor:
        """1 - mean of `scores`, a scalar; 0 where every voxel is ignored."""
        return ((1 - scores.mean()) * (self.voxels > 0).astype(scores.dtype)).sum()
