"""Binary cross-entropy."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
from scipy import ndimage

from medicalseg.errors import ConfigError, DataError
from medicalseg.losses import BCELoss
from tests.losses.base import LossTests, batch, kept, one_hot, sigmoid, value


class TestBCELoss(LossTests):
    variants = (
        {},
        {"weight": 0.5},
        {"weight": [1.0, 2.0, 3.0], "pos_weight": [2.0, 1.0, 0.5]},
        {"weight": "dynamic"},
        {"pos_weight": "dynamic"},
        {"pos_weight": 3},
    )

    def build(self, **arguments: Any) -> BCELoss:
        return BCELoss(**arguments)

    def reference(self, logits: np.ndarray, label: np.ndarray, weight: Any = None, pos_weight: Any = None) -> float:
        p, t = kept(sigmoid(logits), label), kept(one_hot(label, logits.shape[1]), label)
        frequent = 2 * (1 - t.mean())
        v = np.ones(1) if pos_weight is None else frequent if pos_weight == "dynamic" else np.asarray(pos_weight)
        v = np.broadcast_to(v, (3,))[:, None]
        if isinstance(weight, str):
            w = np.where(t == 1, frequent, 2 * t.mean())
        else:
            w = np.broadcast_to(1.0 if weight is None else weight, (3,))[:, None]
        return float(np.mean(-w * (v * t * np.log(p) + (1 - t) * np.log(1 - p))))

    def test_multi_hot_labels(self) -> None:
        logits, label = batch(0, ignored=4)
        hot = one_hot(label, 3).astype(np.int64)
        hot[np.broadcast_to((label == 255)[:, None], hot.shape)] = 255
        for arguments in self.variants:
            loss = BCELoss(**arguments)
            assert value(loss, logits, hot) == pytest.approx(value(loss, logits, label))
        with pytest.raises(DataError, match="0, 1 and ignore_index"):
            value(BCELoss(), logits, hot + 1)
        with pytest.raises(DataError, match="do not fit"):
            value(BCELoss(), logits, hot[:, :2])

    def test_one_output_channel(self) -> None:
        logits, label = batch(1)
        label = np.minimum(label, 1)
        p = sigmoid(logits[:, 0])
        expected = -np.mean(np.where(label == 1, np.log(p), np.log(1 - p)))
        assert value(BCELoss(), logits[:, :1], label) == pytest.approx(expected)

    @pytest.mark.parametrize("ignored", [0, 6])
    def test_edges(self, ignored: int) -> None:
        logits, label = batch(2, shape=(2, 3, 5, 4, 3), ignored=ignored)
        faces = np.zeros((3, 3, 3), bool)
        faces[1, 1], faces[1, :, 1], faces[:, 1, 1] = True, True, True
        low = np.stack([ndimage.minimum_filter(case, footprint=faces) for case in label])
        high = np.stack([ndimage.maximum_filter(np.where(case == 255, -1, case), footprint=faces) for case in label])
        edges = ((low != label) | (high != label)).astype(np.int64)
        edges[label == 255] = 255
        expected = value(BCELoss(), logits[:, :1], edges)
        assert value(BCELoss(edge_label=True), logits[:, :1], label) == pytest.approx(expected)

    def test_wrong_arguments(self) -> None:
        for arguments in ({"weight": "auto"}, {"pos_weight": -1.0}, {"weight": ["a"]}):
            with pytest.raises(ConfigError, match="BCELoss"):
                BCELoss(**arguments)
        logits, label = batch(3)
        with pytest.raises(ConfigError, match="2 entries"):
            value(BCELoss(weight=[1.0, 2.0]), logits, label)
        with pytest.raises(ConfigError, match="1 output channel"):
            value(BCELoss(edge_label=True), logits, label)
        with pytest.raises(DataError, match="do not fit"):
            BCELoss(edge_label=True)(paddle.zeros([1, 1, 4]), paddle.zeros([1, 3], dtype="int64"))
