"""Tversky loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest

from medicalseg.errors import ConfigError
from medicalseg.losses import DiceLoss, TverskyLoss
from tests.losses.base import LossTests, batch, kept, one_hot, sigmoid, softmax, value


class TestTverskyLoss(LossTests):
    variants = ({}, {"alpha": 0.5, "beta": 0.5, "sigmoid_norm": True}, {"gamma": 0.75, "include_background": False})

    def build(self, **arguments: Any) -> TverskyLoss:
        return TverskyLoss(**arguments)

    def reference(
        self,
        logits: np.ndarray,
        label: np.ndarray,
        alpha: float = 0.3,
        beta: float = 0.7,
        gamma: float = 1.0,
        sigmoid_norm: bool = False,
        include_background: bool = True,
    ) -> float:
        p = kept(sigmoid(logits) if sigmoid_norm else softmax(logits), label)
        t = kept(one_hot(label, logits.shape[1]), label)
        hits, extra, missed = (p * t).sum(1), (p * (1 - t)).sum(1), ((1 - p) * t).sum(1)
        index = (hits + 1e-5) / (hits + alpha * extra + beta * missed + 1e-5)
        return float(np.mean((1 - index[0 if include_background else 1 :]) ** gamma))

    def test_equal_halves_are_dice(self) -> None:
        logits, label = batch(0)
        dice = DiceLoss(sigmoid_norm=False, squared=False)
        assert value(TverskyLoss(0.5, 0.5), logits, label) == pytest.approx(value(dice, logits, label), rel=1e-5)

    def test_wrong_arguments(self) -> None:
        for arguments in ({"alpha": -1}, {"beta": "0.7"}, {"gamma": 0}, {"smooth": 0}):
            with pytest.raises(ConfigError, match="TverskyLoss"):
                TverskyLoss(**arguments)
        with pytest.raises(ConfigError, match=r"TverskyLoss, with one output channel.*sigmoid_norm: True"):
            TverskyLoss(include_background=False)(paddle.zeros([1, 1, 4]), paddle.zeros([1, 4], dtype="int64"))
