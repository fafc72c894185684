"""Dice loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest

from medicalseg.errors import ConfigError
from medicalseg.losses import DiceLoss
from tests.losses import golden
from tests.losses.base import LossTests, batch, gradient, kept, one_hot, sigmoid, softmax, value


class TestDiceLoss(LossTests):
    variants = (
        {},
        {"sigmoid_norm": False},
        {"include_background": False, "smooth": 0.5},
        {"weight": [1.0, 2.0, 4.0]},
        {"weight": [1.0, 2.0, 4.0], "include_background": False, "squared": False},
    )

    def build(self, **arguments: Any) -> DiceLoss:
        return DiceLoss(**arguments)

    def reference(
        self,
        logits: np.ndarray,
        label: np.ndarray,
        sigmoid_norm: bool = True,
        include_background: bool = True,
        smooth: float = 0.0,
        weight: Any = None,
        squared: bool = True,
    ) -> float:
        p = kept(sigmoid(logits) if sigmoid_norm else softmax(logits), label)
        t = kept(one_hot(label, logits.shape[1]), label)
        size = (p**2 if squared else p).sum(1) + (t**2).sum(1)
        dice = (2 * (p * t).sum(1) + smooth) / (size + smooth)
        first = 0 if include_background else 1
        return 1 - np.average(dice[first:], weights=None if weight is None else weight[first:])

    def test_golden(self) -> None:
        assert value(DiceLoss(), golden.LOGITS, golden.LABEL) == pytest.approx(golden.SIGMOID_LOSS, abs=1e-6)
        assert value(DiceLoss(False), golden.LOGITS, golden.LABEL) == pytest.approx(golden.SOFTMAX_LOSS, abs=1e-6)

    @pytest.mark.parametrize(("sigmoid_norm", "expected"), [(True, golden.SIGMOID_DICE), (False, golden.SOFTMAX_DICE)])
    def test_golden_classes(self, sigmoid_norm: bool, expected: list[float]) -> None:
        for index, dice in enumerate(expected):
            weight = [float(c == index) for c in range(4)]
            got = 1 - value(DiceLoss(sigmoid_norm, weight=weight), golden.LOGITS, golden.LABEL)
            assert got == pytest.approx(dice, abs=1e-6)

    @pytest.mark.parametrize(("size", "dice"), [(1, 0.8708), (5, 0.9999), (20, 1.0)])
    def test_confidence_of_a_perfect_prediction(self, size: float, dice: float) -> None:
        logits = size * (2 * one_hot(golden.LABEL, 4) - 1)
        assert 4 / 3 * (1 - value(DiceLoss(), logits, golden.LABEL)) == pytest.approx(dice, abs=5e-5)

    def test_absent_class(self) -> None:
        logits, label = batch(0)
        label = np.where(label == 2, 1, label)
        assert np.all(gradient(DiceLoss(), logits, label)[:, 2] == 0)
        assert np.all(gradient(DiceLoss(smooth=1.0), logits, label)[:, 2] > 0)

    def test_large_volume_keeps_its_digits(self) -> None:
        logits = np.full((1, 2, 128, 128, 96), 0.3, np.float32)
        label = np.zeros((1, 128, 128, 96), np.int32)
        label[:, :, :, ::2] = 1
        p = 1 / (1 + np.exp(-0.3))
        exact = 1 - 2 * 0.5 * p / (p**2 + 0.5)
        assert value(DiceLoss(), logits, label) == pytest.approx(exact, rel=2e-6)

    def test_two_axes(self) -> None:
        logits, label = batch(1, shape=(2, 3, 5, 4))
        assert value(DiceLoss(), logits, label) == pytest.approx(self.reference(logits, label))

    def test_wrong_arguments(self) -> None:
        for arguments in ({"weight": "auto"}, {"weight": [-1.0, 1.0]}, {"smooth": -1}, {"weight": [0.0, 0.0]}):
            with pytest.raises(ConfigError, match="DiceLoss"):
                DiceLoss(**arguments)
        logits, label = batch(2)
        with pytest.raises(ConfigError, match="2 entries, but the network has 3 classes"):
            value(DiceLoss(weight=[1.0, 1.0]), logits, label)
        with pytest.raises(ConfigError, match="every class"):
            value(DiceLoss(weight=[1.0, 0.0, 0.0], include_background=False), logits, label)
        with pytest.raises(ConfigError, match=r"DiceLoss, with one output channel.*sigmoid_norm: True"):
            DiceLoss(sigmoid_norm=False)(paddle.zeros([1, 1, 4]), paddle.zeros([1, 4], dtype="int64"))
