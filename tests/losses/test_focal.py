"""Focal loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from medicalseg.errors import ConfigError
from medicalseg.losses import CrossEntropyLoss, FocalLoss
from tests.losses.base import LossTests, batch, kept, softmax, value


class TestFocalLoss(LossTests):
    variants = ({}, {"gamma": 0.5}, {"alpha": 0.25, "gamma": 3}, {"alpha": [1.0, 2.0, 0.5]}, {"alpha": "auto"})

    def build(self, **arguments: Any) -> FocalLoss:
        return FocalLoss(**arguments)

    def reference(self, logits: np.ndarray, label: np.ndarray, gamma: float = 2.0, alpha: Any = 1.0) -> float:
        truth = label[label != 255]
        p = kept(softmax(logits), label)[truth, np.arange(truth.size)]
        if alpha == "auto":
            counts = np.bincount(truth, minlength=3)
            alpha = truth.size / (np.count_nonzero(counts) * counts)
        factor = np.asarray(alpha)[truth] if np.ndim(alpha) else alpha
        return float(np.mean(-factor * (1 - p) ** gamma * np.log(p)))

    def test_gamma_zero_is_cross_entropy(self) -> None:
        logits, label = batch(0, ignored=4)
        assert value(FocalLoss(gamma=0), logits, label) == pytest.approx(value(CrossEntropyLoss(), logits, label))

    def test_wrong_arguments(self) -> None:
        for arguments in ({"gamma": -1}, {"gamma": "2"}, {"alpha": None, "gamma": None}, {"alpha": "often"}):
            with pytest.raises(ConfigError, match="FocalLoss"):
                FocalLoss(**arguments)
