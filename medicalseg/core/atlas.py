"""A majority-label atlas: the figure that a network must beat to have learned more than where things usually are."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
from paddle import nn

from medicalseg.errors import DataError
from medicalseg.inference.decision import pack
from medicalseg.metrics.soft_dice import of_channel
from medicalseg.utils.logger import logger


class MajorityAtlas(nn.Layer):
    """Gives every voxel the label it has most often among training cases, whatever the image shows.

    Args:
        dataset: labelled cases on one network grid, without augmentation.

    Attributes:
        labels: (X, Y, Z), the most frequent label per voxel; the smaller id where two are equally frequent. Of sigmoids
            codes: each structure where more than half of the cases have it.

    Raises:
        DataError: if the cases have different grids, so that voxels do not correspond.
    """

    def __init__(self, dataset: Any) -> None:
        super().__init__()
        self.num_classes = int(dataset.num_classes)
        self.codes = getattr(getattr(dataset, "task", None), "head", "softmax") == "sigmoid"
        counts: np.ndarray | None = None
        for index in range(len(dataset.cases)):
            _, label, name = dataset[index]
            if counts is None:
                counts = np.zeros((self.num_classes, *label.shape), np.uint16)
            if counts.shape[1:] != label.shape:
                grids = f"{list(label.shape)} and not {list(counts.shape[1:])}"
                raise DataError(f"case {name}: its grid is {grids}; an atlas needs one grid for all")
            for value in range(self.num_classes):
                counts[value] += of_channel(label, value, self.codes)
        if counts is None:
            raise DataError("the training dataset is empty: no atlas")
        self.labels = pack(2 * counts > len(dataset.cases)) if self.codes else counts.argmax(axis=0)
        logger.info("Majority-label atlas of %d training cases.", len(dataset.cases))

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """Logits (N, K, X, Y, Z) with 1 at the atlas label, of sigmoids -1 elsewhere."""
        if list(x.shape[2:]) != list(self.labels.shape):
            raise DataError(f"the atlas has the grid {list(self.labels.shape)}, the case {list(x.shape[2:])}")
        scores = np.stack([of_channel(self.labels, label, self.codes) for label in range(self.num_classes)])
        scores = np.where(scores, 1, -1 if self.codes else 0).astype(np.float32)
        return [paddle.tile(paddle.to_tensor(scores)[None], [x.shape[0], 1, 1, 1, 1])]
