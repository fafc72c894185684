"""Class weights from the training data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from medicalseg import losses
from medicalseg.errors import ConfigError
from medicalseg.losses import (
    BCELoss,
    CrossEntropyLoss,
    DiceCELoss,
    DiceLoss,
    FocalLoss,
    MixedLoss,
    TverskyLoss,
    frequency_weights,
    resolve_class_weights,
    wants_class_frequencies,
)
from tests.losses.base import batch, value

SHARES = [0.9, 0.09, 0.01]
MAKERS: dict[str, Callable[[Any], Any]] = {
    "CrossEntropyLoss": lambda weight: CrossEntropyLoss(weight),
    "DiceCELoss": lambda weight: DiceCELoss(weight=weight),
    "DiceLoss": lambda weight: DiceLoss(weight=weight, smooth=1e-5),
    "FocalLoss": lambda weight: FocalLoss(alpha=weight),
    "TverskyLoss": lambda weight: TverskyLoss(weight=weight, gamma=1.5),
    "BCELoss": lambda weight: BCELoss(weight=weight),
}


def test_rule() -> None:
    weights = np.array(frequency_weights(SHARES))
    assert weights[2] / weights[0] == pytest.approx(np.sqrt(90))
    assert (weights * SHARES).sum() == pytest.approx(1)
    assert frequency_weights(np.multiply(SHARES, 7)) == pytest.approx(weights)
    assert frequency_weights([0.25] * 4) == pytest.approx([1] * 4)
    assert frequency_weights([0.9, 0.0, 0.09, 0.01])[1] == pytest.approx(weights[2])


@pytest.mark.parametrize("name", MAKERS)
def test_the_word_becomes_the_list(name: str) -> None:
    logits, label = batch(1, ignored=4)
    loss = MAKERS[name]("frequency")
    settings = {"types": [loss], "coef": [1]}
    assert wants_class_frequencies(settings)
    with pytest.raises(ConfigError, match="'frequency' needs the class frequencies of the training data"):
        value(loss, logits, label)
    resolve_class_weights(settings, SHARES)
    assert not wants_class_frequencies(settings)
    assert value(loss, logits, label) == pytest.approx(value(MAKERS[name](frequency_weights(SHARES)), logits, label))
    assert value(loss, logits, label) != pytest.approx(value(MAKERS[name](frequency_weights([1, 1, 1])), logits, label))


def test_losses_in_losses_and_all_heads() -> None:
    mixed = MixedLoss([CrossEntropyLoss("frequency"), DiceLoss(weight=[1, 2, 3])], [1, 1])
    settings = {"types": [mixed, DiceCELoss(weight="frequency"), CrossEntropyLoss("auto")], "coef": [1, 1, 1]}
    resolve_class_weights(settings, np.array(SHARES))
    assert mixed.losses[0].weight == settings["types"][1].cross_entropy.weight == frequency_weights(SHARES)
    assert mixed.losses[1].weight == [1, 2, 3]
    assert settings["types"][2].weight == "auto"
    assert not wants_class_frequencies({"types": [CrossEntropyLoss("auto"), DiceLoss()], "coef": [1, 1]})


def test_weights_of_the_mean_over_classes() -> None:
    logits, label = batch(2)
    alone = [value(TverskyLoss(weight=[float(k == c) for k in range(3)]), logits, label) for c in range(3)]
    whole = value(TverskyLoss(), logits, label)
    assert whole == pytest.approx(np.mean(alone))
    assert value(TverskyLoss(weight=[1, 2, 5]), logits, label) == pytest.approx(np.dot(alone, [1, 2, 5]) / 8)
    foreground = value(TverskyLoss(weight=[9, 1, 3], include_background=False), logits, label)
    assert foreground == pytest.approx((alone[1] + 3 * alone[2]) / 4)


@pytest.mark.parametrize("wrong", [[], [0, 0], [0.5, -0.1], [0.5, np.nan], [[0.5, 0.5]]])
def test_wrong_frequencies(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="class frequencies"):
        frequency_weights(wrong)


def test_wrong_weights() -> None:
    for loss in (DiceLoss, TverskyLoss):
        with pytest.raises(ConfigError, match=f"{loss.__name__}.weight"):
            loss(weight="auto")
        with pytest.raises(ConfigError, match="2 entries, but the network has 3 classes"):
            value(loss(weight=[1, 2]), *batch(3))
        with pytest.raises(ConfigError, match="every class that counts has weight 0"):
            value(loss(weight=[1, 0, 0], include_background=False), *batch(3))
    assert losses.resolve_class_weights is resolve_class_weights
