"""Dice and cross-entropy together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from medicalseg.errors import ConfigError
from medicalseg.losses import DiceCELoss
from tests.losses.base import LossTests, kept, one_hot, softmax


class TestDiceCELoss(LossTests):
    variants = ({}, {"weight_dice": 0.5, "weight_ce": 2.0})

    def build(self, **arguments: Any) -> DiceCELoss:
        return DiceCELoss(**arguments)

    def reference(
        self, logits: np.ndarray, label: np.ndarray, weight_dice: float = 1.0, weight_ce: float = 1.0
    ) -> float:
        p, t = kept(softmax(logits), label), kept(one_hot(label, logits.shape[1]), label)
        dice = (2 * (p * t).sum(1) + 1e-5) / (p.sum(1) + t.sum(1) + 1e-5)
        entropy = -(t * np.log(p)).sum() / t.sum()
        return float(weight_dice * (1 - dice[1:].mean()) + weight_ce * entropy)

    def test_wrong_arguments(self) -> None:
        for arguments in ({"weight_dice": -1}, {"weight_ce": None}, {"weight": 3}, {"smooth": "none"}):
            with pytest.raises(ConfigError):
                DiceCELoss(**arguments)
