"""Tversky loss."""

from __future__ import annotations

from collections.abc import Sequence

import paddle

from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError
from medicalseg.losses.arguments import check_class_weights, check_number
from medicalseg.losses.base import SegmentationLoss
from medicalseg.losses.class_weights import DATA_FREQUENCY, weighted
from medicalseg.losses.rows import Row, overlap_rows
from medicalseg.losses.sums import Overlap
from medicalseg.losses.target import Target


@manager.LOSSES.add_component
class TverskyLoss(SegmentationLoss):
    """Mean over classes of (1 - T)^gamma, T = TP / (TP + alpha FP + beta FN) with soft counts over the whole batch.

    Salehi et al. 2017 ("Tversky loss function for image segmentation using 3D fully convolutional deep networks");
    with `gamma` the focal Tversky loss of Abraham and Khan 2019, whose gamma is the inverse of this one.

    Args:
        alpha: weight of false positives.
        beta: weight of false negatives; above alpha it favours recall.
        gamma: exponent; 1 is the plain Tversky loss.
        sigmoid_norm: probabilities are the sigmoid of the logits; False: their softmax.
        ignore_index: label id to leave out.
        include_background: False leaves class 0 out of the mean; masks have no background, and all of them count.
        smooth: added to numerator and denominator, in voxels.
        weight: one weight per class for a weighted mean; "frequency": from the training data, see
            `frequency_weights`; null: the plain mean.

    Raises:
        ConfigError: an argument is wrong; also, when first used, a weight list of another length than the classes.
    """

    class_weighted = "weight"

    def __init__(
        self,
        alpha: float = 0.3,
        beta: float = 0.7,
        gamma: float = 1.0,
        sigmoid_norm: bool = False,
        ignore_index: int | None = 255,
        include_background: bool = True,
        smooth: float = 1e-5,
        weight: Sequence[float] | str | None = None,
    ) -> None:
        super().__init__(ignore_index)
        self.alpha = check_number(alpha, "TverskyLoss.alpha")
        self.beta = check_number(beta, "TverskyLoss.beta")
        self.gamma = check_number(gamma, "TverskyLoss.gamma")
        self.smooth = check_number(smooth, "TverskyLoss.smooth")
        if not (self.gamma and self.smooth):
            raise ConfigError("TverskyLoss.gamma and TverskyLoss.smooth: must be above 0")
        self.sigmoid_norm = sigmoid_norm
        self.include_background = include_background
        self.weight = check_class_weights(weight, "TverskyLoss.weight", (DATA_FREQUENCY,))

    def compute(self, logits: paddle.Tensor, target: Target) -> paddle.Tensor:
        """See the class."""
        overlap = Overlap.of(logits, target, self.sigmoid_norm, squared=False)
        hits, smooth = overlap.joint, self.smooth
        wrong = self.alpha * (overlap.predicted - hits) + self.beta * (overlap.reference - hits)
        distance = wrong / (hits + wrong + smooth)
        if self.gamma != 1:
            distance = distance.clip(min=1e-7) ** self.gamma
        first = 0 if self.include_background else target.background
        return overlap.mean_loss(1 - weighted(distance, self.weight, first, "TverskyLoss.weight"))

    def rows(self) -> frozenset[Row]:
        """See `SegmentationLoss.rows`."""
        return frozenset(overlap_rows(self.sigmoid_norm, squared=False))
