"""Dice loss."""

from __future__ import annotations

from collections.abc import Sequence

import paddle

from medicalseg.cvlibs import manager
from medicalseg.losses.arguments import check_class_weights, check_number
from medicalseg.losses.base import SegmentationLoss
from medicalseg.losses.class_weights import DATA_FREQUENCY, weighted
from medicalseg.losses.rows import Row, overlap_rows
from medicalseg.losses.sums import Overlap
from medicalseg.losses.target import Target

EPSILON = 1e-6


@manager.LOSSES.add_component
class DiceLoss(SegmentationLoss):
    """1 - mean over classes of the soft Dice, its sums taken over the whole batch (Milletari et al. 2016).

    With p the probability and t the one-hot label, a class has
    D = (2 Σ p t + smooth) / max(Σ p² + Σ t² + smooth, 1e-6).
    As in PaddleSeg3D a class that the batch's labels lack has D = 0 when `smooth` is 0: it raises the loss, without a
    gradient. With `smooth` above 0 false positives of such a class are pushed down. The soft Dice of MONAI's default
    `DiceLoss(sigmoid=True)` is `smooth: 1e-5, squared: False, per_image: True`.

    Args:
        sigmoid_norm: p is the sigmoid of the logits; False: their softmax.
        weight: one weight per class for a weighted mean; "frequency": from the training data, see
            `frequency_weights`; null: the plain mean.
        ignore_index: label id to leave out.
        include_background: False leaves class 0 out of the mean; masks have no background, and all of them count.
        smooth: added to numerator and denominator, in voxels.
        squared: False takes Σ p instead of Σ p² in the denominator.
        per_image: mean over the images of each image's loss; an image without a voxel to count is left out. nnU-Net
            calls the default, False, batch Dice.

    Raises:
        ConfigError: an argument is wrong; also, when first used, a weight list of another length than the classes.

    Example:
        >>> logits = paddle.to_tensor([[[9.0, -9.0], [-9.0, 9.0]]])
        >>> round(DiceLoss()(logits, paddle.to_tensor([[0, 1]])).item(), 3)
        0.0
    """

    class_weighted = "weight"

    def __init__(
        self,
        sigmoid_norm: bool = True,
        weight: Sequence[float] | str | None = None,
        ignore_index: int | None = 255,
        include_background: bool = True,
        smooth: float = 0.0,
        squared: bool = True,
        per_image: bool = False,
    ) -> None:
        super().__init__(ignore_index)
        self.sigmoid_norm = sigmoid_norm
        self.weight = check_class_weights(weight, "DiceLoss.weight", (DATA_FREQUENCY,))
        self.include_background = include_background
        self.smooth = check_number(smooth, "DiceLoss.smooth")
        self.squared = squared
        self.per_image = per_image

    def compute(self, logits: paddle.Tensor, target: Target) -> paddle.Tensor:
        """See the class."""
        overlap = Overlap.of(logits, target, self.sigmoid_norm, self.squared, self.per_image)
        size = (overlap.predicted + overlap.reference + self.smooth).clip(min=EPSILON)
        dice = (2 * overlap.joint + self.smooth) / size
        first = 0 if self.include_background else target.background
        return overlap.mean_loss(weighted(dice, self.weight, first, "DiceLoss.weight"))

    def rows(self) -> frozenset[Row]:
        """See `SegmentationLoss.rows`."""
        return frozenset() if self.per_image else self.image_rows()

    def image_rows(self) -> frozenset[Row]:
        """The sums it needs of each image, or of all."""
        return frozenset(overlap_rows(self.sigmoid_norm, self.squared))
