"""Sums over the voxels of a batch, on all ranks, and ratios of them."""

from __future__ import annotations

from dataclasses import dataclass

import paddle

from medicalseg.losses.class_sums import class_sums
from medicalseg.losses.rows import overlap_rows
from medicalseg.losses.target import Target
from medicalseg.utils.distributed import all_reduce_sum


def over_ranks(values: paddle.Tensor) -> paddle.Tensor:
    """Sum over the ranks of a training step, differentiable; `values` itself in one process or without gradients.

    Ranks evaluate different numbers of cases, so nothing may wait for the others where no gradient is asked for.
    """
    return all_reduce_sum(values) if paddle.is_grad_enabled() else values


def ratio(numerator: paddle.Tensor, denominator: paddle.Tensor) -> paddle.Tensor:
    """Quotient, as a scalar, of two sums over this rank's voxels, both summed over the ranks first; 0 for 0 / 0."""
    both = over_ranks(paddle.concat([numerator.reshape([1]), denominator.reshape([1])]))
    whole = both[1].detach()
    return (both[0] / paddle.where(whole > 0, whole, paddle.ones_like(whole))).sum()


@dataclass(frozen=True)
class Overlap:
    """What overlap losses are made of, over all ranks; t is the one-hot label, p the probability.

    Per image they are not summed over ranks.

    Attributes:
        joint: (K,) sum of p t; per image (N, K), as those that follow.
        predicted: (K,) sum of p, or of its square.
        reference: (K,) sum of t.
        voxels: (1,) voxels that are not ignored; per image (N,).
        per_image: whether each image has its own sums.
    """

    joint: paddle.Tensor
    predicted: paddle.Tensor
    reference: paddle.Tensor
    voxels: paddle.Tensor
    per_image: bool = False

    @classmethod
    def of(
        cls, logits: paddle.Tensor, target: Target, sigmoid: bool, squared: bool, per_image: bool = False
    ) -> Overlap:
        """Sum over logits (N, K, ...) and their target."""
        joint, predicted = overlap_rows(sigmoid, squared)
        if per_image:
            own = class_sums(logits, target, (joint, predicted), per_image=True)
            counts = target.image_counts(logits.dtype), target.image_voxels(logits.dtype)
            return cls(own[joint], own[predicted], *counts, per_image=True)
        sums = class_sums(logits, target, (joint, predicted))
        parts = [sums[joint], sums[predicted], target.class_counts(logits.dtype), target.voxels(logits.dtype)]
        k = target.num_classes
        return cls(*paddle.split(over_ranks(paddle.concat(parts)), [k, k, k, 1]))

    def mean_loss(self, scores: paddle.Tensor) -> paddle.Tensor:
        """1 - mean of `scores` (K',), a scalar; 0 where every voxel is ignored.

        Per image, of (N, K'): mean over the images, of all ranks, that have a voxel to count.
        """
        if self.per_image:
            counts = (self.voxels > 0).astype(scores.dtype)
            return ratio(((1 - scores.mean(axis=-1)) * counts).sum(), counts.sum())
        return ((1 - scores.mean()) * (self.voxels > 0).astype(scores.dtype)).sum()
