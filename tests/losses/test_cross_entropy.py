"""Cross-entropy."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
from sklearn.metrics import log_loss

from medicalseg.errors import ConfigError
from medicalseg.losses import CrossEntropyLoss
from tests.losses import golden
from tests.losses.base import LossTests, batch, kept, softmax, value


class TestCrossEntropyLoss(LossTests):
    variants = ({}, {"weight": [1.0, 2.0, 0.5]}, {"weight": "auto"}, {"weight": "label_frequency"})

    def build(self, **arguments: Any) -> CrossEntropyLoss:
        return CrossEntropyLoss(**arguments)

    def reference(self, logits: np.ndarray, label: np.ndarray, weight: Any = None) -> float:
        classes = logits.shape[1]
        truth = label[label != 255]
        if isinstance(weight, str):
            weight = 1 / np.bincount(truth, minlength=classes)
        weights = None if weight is None else np.asarray(weight)[truth]
        return log_loss(truth, kept(softmax(logits), label).T, sample_weight=weights, labels=range(classes))

    def test_golden(self) -> None:
        logits, label = golden.LOGITS, golden.LABEL
        assert value(CrossEntropyLoss(), logits, label) == pytest.approx(golden.CROSS_ENTROPY, abs=1e-6)
        weighted = CrossEntropyLoss(weight=golden.UPSTREAM_WEIGHTS)
        assert value(weighted, logits, label) == pytest.approx(golden.WEIGHTED_CROSS_ENTROPY, abs=1e-6)

    def test_upstreams_own_weights_come_from_predictions(self) -> None:
        p = softmax(golden.LOGITS.astype(np.float64))
        mass = p.sum(axis=(0, 2, 3, 4))
        np.testing.assert_allclose((p.size / 4 - mass) / mass, golden.UPSTREAM_WEIGHTS, rtol=1e-6)

    def test_null_weights_do_not_depend_on_earlier_batches(self) -> None:
        loss = CrossEntropyLoss(weight=None)
        first, second = batch(0), batch(1)
        fresh = value(CrossEntropyLoss(), *second)
        value(loss, *first)
        assert value(loss, *second) == fresh

    def test_frequency_weights_give_each_class_the_same_share(self) -> None:
        label = np.array([[0] * 97 + [1, 1, 1]])
        logits = np.zeros((1, 3, 100))
        logits[:, 0] = 2
        wrong, right = -np.log(1 / (np.e**2 + 2)), -np.log(np.e**2 / (np.e**2 + 2))
        assert value(CrossEntropyLoss(weight="auto"), logits, label) == pytest.approx((wrong + right) / 2)

    def test_classes_on_the_last_axis(self) -> None:
        logits, label = batch(3)
        last = np.moveaxis(logits, 1, -1).copy()
        assert value(CrossEntropyLoss(data_format="NDHWC"), last, label) == value(CrossEntropyLoss(), logits, label)

    def test_wrong_arguments(self) -> None:
        for arguments in ({"weight": "automatic"}, {"weight": []}, {"weight": 2.0}, {"data_format": "XYZ"}):
            with pytest.raises(ConfigError, match="CrossEntropyLoss"):
                CrossEntropyLoss(**arguments)
        logits, label = batch(4)
        with pytest.raises(ConfigError, match="has 4 entries, but the network has 3 classes"):
            value(CrossEntropyLoss(weight=[1.0] * 4), logits, label)
        with pytest.raises(ConfigError, match="BCELoss"):
            CrossEntropyLoss()(paddle.zeros([1, 1, 4]), paddle.zeros([1, 4], dtype="int64"))
