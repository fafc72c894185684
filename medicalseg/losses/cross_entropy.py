"""Cross-entropy."""

from __future__ import annotations

from collections.abc import Sequence

import paddle

from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError
from medicalseg.losses.arguments import check_class_weights
from medicalseg.losses.base import SegmentationLoss
from medicalseg.losses.class_sums import class_sums
from medicalseg.losses.class_weights import FREQUENCY, class_weights
from medicalseg.losses.rows import Row, entropy_row
from medicalseg.losses.sums import ratio
from medicalseg.losses.target import Target

CHANNELS_FIRST = ("NCDHW", "NCHW")
CHANNELS_LAST = ("NDHWC", "NHWC")


@manager.LOSSES.add_component
class CrossEntropyLoss(SegmentationLoss):
    """Softmax cross-entropy, its mean over the voxels weighted by their classes: Σ w ce / Σ w.

    Args:
        weight: null: every voxel weighs 1 (PaddleSeg3D instead takes weights from the first predictions); a list: one
            weight per class; "auto" or "label_frequency": inversely as the classes are frequent in the batch's labels,
            so that each class present has the same share; "frequency": from the training data, see
            `frequency_weights`.
        ignore_index: label id to leave out.
        data_format: where the classes are in the logits: "NCDHW", or "NDHWC" for the last axis.

    Raises:
        ConfigError: an argument is wrong; also, when first used, a weight list of another length than the classes.
    """

    instead = "BCELoss"
    class_weighted = "weight"

    def __init__(
        self,
        weight: Sequence[float] | str | None = None,
        ignore_index: int | None = 255,
        data_format: str = "NCDHW",
    ) -> None:
        super().__init__(ignore_index)
        self.weight = check_class_weights(weight, "CrossEntropyLoss.weight", FREQUENCY)
        if data_format not in CHANNELS_FIRST + CHANNELS_LAST:
            allowed = list(CHANNELS_FIRST + CHANNELS_LAST)
            raise ConfigError(f"CrossEntropyLoss.data_format: {data_format!r} is not one of {allowed}")
        self.data_format = data_format

    def forward(self, logits: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
        """See `SegmentationLoss.forward`."""
        if self.data_format in CHANNELS_LAST:
            logits = paddle.moveaxis(logits, -1, 1)
        return super().forward(logits, label)

    def compute(self, logits: paddle.Tensor, target: Target) -> paddle.Tensor:
        """See the class."""
        row = entropy_row(self.weight is not None)
        entropy = class_sums(logits, target, (row,))[row]
        weights = class_weights(self.weight, target, logits.dtype, "CrossEntropyLoss.weight")
        if weights is None:
            return ratio(entropy.sum(), target.voxels(logits.dtype))
        return ratio((weights * entropy).sum(), (weights * target.class_counts(logits.dtype)).sum())

    def rows(self) -> frozenset[Row]:
        """See `SegmentationLoss.rows`."""
        return frozenset({entropy_row(self.weight is not None)})
