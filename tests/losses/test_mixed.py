"""Lists of losses, and the losses of several heads."""

from __future__ import annotations

import paddle
import pytest

from medicalseg import losses
from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError
from medicalseg.losses import CrossEntropyLoss, DiceLoss, MixedLoss
from tests.losses.base import batch, value


def test_parts_and_coefficients() -> None:
    logits, label = batch(0, ignored=3)
    parts = MixedLoss([CrossEntropyLoss(), DiceLoss()], [0.5, 2])(paddle.to_tensor(logits), paddle.to_tensor(label))
    assert [part.item() for part in parts] == pytest.approx(
        [0.5 * value(CrossEntropyLoss(), logits, label), 2 * value(DiceLoss(), logits, label)]
    )


def test_heads() -> None:
    logits, label = batch(1)
    mixed = MixedLoss([CrossEntropyLoss(), DiceLoss()], [1, 1])
    heads = [paddle.to_tensor(logits), paddle.to_tensor(2 * logits)]
    parts = losses.compute(heads, paddle.to_tensor(label), {"types": [mixed, DiceLoss()], "coef": [1, 0.25]})
    expected = [
        value(CrossEntropyLoss(), logits, label),
        value(DiceLoss(), logits, label),
        0.25 * value(DiceLoss(), 2 * logits, label),
    ]
    assert [part.item() for part in parts] == pytest.approx(expected)
    assert sum(parts).item() == pytest.approx(sum(expected))


@pytest.mark.parametrize(("types", "coef"), [(1, 2), (2, 1), (1, 1), (3, 3)])
def test_one_loss_per_head(types: int, coef: int) -> None:
    logits, label = batch(2)
    heads = [paddle.to_tensor(logits)] * 2
    with pytest.raises(ConfigError, match=f"2 outputs, but loss.types has {types} and loss.coef {coef}"):
        losses.compute(heads, paddle.to_tensor(label), {"types": [DiceLoss()] * types, "coef": [1.0] * coef})


def test_wrong_arguments() -> None:
    for arguments in (([], []), ([DiceLoss()], [1, 1]), (DiceLoss(), [1]), ([DiceLoss()], ["1"]), ([3], [1])):
        with pytest.raises(ConfigError, match="MixedLoss"):
            MixedLoss(*arguments)


def test_registered() -> None:
    for name in ("BCELoss", "CrossEntropyLoss", "DiceCELoss", "DiceLoss", "FocalLoss", "MixedLoss", "TverskyLoss"):
        assert manager.LOSSES[name] is getattr(losses, name)
