"""What the dataset says to ignore reaches every loss of a configuration, however deep it lies."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest

from medicalseg import losses
from medicalseg.cvlibs import effective, manager
from medicalseg.cvlibs.components import build
from medicalseg.cvlibs.tree import KeyPathError
from medicalseg.errors import ConfigError
from medicalseg.losses import DC_and_CE_loss, MixedLoss, MultipleLoss
from tests.losses.base import batch

IGNORED = 7
CONTAINERS = ("MixedLoss", "MultipleLoss")
ALONE = sorted(
    name
    for name, loss in manager.LOSSES.components_dict.items()
    if name not in CONTAINERS and loss.__module__.startswith("medicalseg.losses.")
)


def inside(*containers: str) -> dict[str, Any]:
    """`DC_and_CE_loss` in containers, the outermost first."""
    block: dict[str, Any] = {"type": "DC_and_CE_loss"}
    for name in reversed(containers):
        block = {"type": name, "losses": [block], "coef": [1.0]}
    return block


BLOCKS = [
    *({"type": name} for name in ALONE),
    inside("MixedLoss"),
    inside("MultipleLoss"),
    inside("MixedLoss", "MixedLoss"),
    inside("MultipleLoss", "MixedLoss"),
]


def built(block: dict[str, Any]) -> Any:
    """The loss of a configuration whose dataset ignores 7."""
    run = {
        "train_dataset": {"type": "MedicalDataset", "ignore_index": IGNORED},
        "loss": {"types": [block], "coef": [1]},
    }
    (content,) = effective.loss(run)[0]["types"]
    return build(content, ("loss", "types"))


def total(loss: Any, logits: np.ndarray, label: np.ndarray) -> float:
    parts = losses.compute([paddle.to_tensor(logits)], paddle.to_tensor(label), {"types": [loss], "coef": [1.0]})
    return sum(part.item() for part in parts)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_logits_of_ignored_voxels_do_not_count(block: dict[str, Any]) -> None:
    logits, label = batch(3)
    label[:, :2] = IGNORED
    other = logits.copy()
    other[:, 0, :2] += 5
    loss = built(block)
    assert total(loss, logits, label) == pytest.approx(total(loss, other, label), rel=1e-12)


def test_every_loss_is_here() -> None:
    assert {"BCELoss", "CrossEntropyLoss", "DC_and_CE_loss", "DiceCELoss", "DiceLoss", "FocalLoss"} < set(ALONE)


def test_of_losses_that_were_built_by_hand() -> None:
    logits, label = batch(4)
    label[:, :2] = IGNORED
    loss = MultipleLoss([MixedLoss([DC_and_CE_loss()], [1.0])], [1.0], ignore_index=IGNORED)
    expected = total(DC_and_CE_loss(ignore_label=IGNORED), logits, label)
    assert total(loss, logits, label) == pytest.approx(expected, rel=1e-12)


def test_two_values_are_an_error() -> None:
    with pytest.raises(KeyPathError, match=r"3 differs from train_dataset\.ignore_index: 7") as caught:
        built({"type": "DC_and_CE_loss", "ignore_label": 3})
    assert caught.value.path[-1] == "ignore_label"
    for ce_kwargs in ({"ignore_index": IGNORED}, {}):
        assert built({"type": "DC_and_CE_loss", "ce_kwargs": ce_kwargs}).ignore_index == IGNORED
    with pytest.raises(ConfigError, match=r"ce_kwargs\.ignore_index: 3 differs from ignore_label, 7"):
        built({"type": "DC_and_CE_loss", "ce_kwargs": {"ignore_index": 3}})
