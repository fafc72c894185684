"""Dice and cross-entropy together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from medicalseg.errors import ConfigError
from medicalseg.losses import DiceCELoss
from medicalseg.losses.blocks import Task
from tests.losses.base import LossTests, batch, kept, one_hot, softmax, value


def soft_dice(logits: np.ndarray, label: np.ndarray) -> float:
    """Mean over the foreground classes, background left out."""
    p, t = kept(softmax(logits), label), kept(one_hot(label, logits.shape[1]), label)
    return float(((2 * (p * t).sum(1) + 1e-5) / (p.sum(1) + t.sum(1) + 1e-5))[1:].mean())


class TestDiceCELoss(LossTests):
    variants = ({}, {"weight_dice": 0.5, "weight_ce": 2.0}, {"per_image": True})

    def build(self, **arguments: Any) -> DiceCELoss:
        return DiceCELoss(**arguments)

    def reference(
        self,
        logits: np.ndarray,
        label: np.ndarray,
        weight_dice: float = 1.0,
        weight_ce: float = 1.0,
        per_image: bool = False,
    ) -> float:
        cuts = [slice(case, case + 1) for case in range(len(logits))] if per_image else [slice(None)]
        dice = np.mean([soft_dice(logits[cut], label[cut]) for cut in cuts])
        p, t = kept(softmax(logits), label), kept(one_hot(label, logits.shape[1]), label)
        entropy = -(t * np.log(p)).sum() / t.sum()
        return float(weight_dice * (1 - dice) + weight_ce * entropy)

    def test_one_pass_gives_both(self, monkeypatch: pytest.MonkeyPatch) -> None:
        passes = []
        whole = Task.sums
        monkeypatch.setattr(Task, "sums", lambda task, *args: passes.append(task.rows) or whole(task, *args))
        value(DiceCELoss(per_image=True), *batch(0))
        assert len(passes) == 1

    def test_wrong_arguments(self) -> None:
        for arguments in ({"weight_dice": -1}, {"weight_ce": None}, {"weight": 3}, {"smooth": "none"}):
            with pytest.raises(ConfigError):
                DiceCELoss(**arguments)
