"""nnU-Net's losses under PaddleSeg3D's names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from medicalseg import losses
from medicalseg.core.fit import check_heads
from medicalseg.errors import ConfigError
from medicalseg.losses import DC_and_CE_loss, DiceCELoss, MultipleLoss
from tests.losses.base import LossTests, batch, gradient, kept, one_hot, softmax, value

THIN = Path(__file__).parents[1] / "models/plans/thin.json"


def mean_dice(p: np.ndarray, t: np.ndarray, smooth: float, do_bg: bool, squared: bool) -> float:
    """Of (K, voxels): 2 tp / (2 tp + fp + fn), as nnU-Net counts."""
    size = (p**2).sum(1) + t.sum(1) if squared else 2 * (p * t).sum(1) + (p * (1 - t)).sum(1) + ((1 - p) * t).sum(1)
    dice = (2 * (p * t).sum(1) + smooth) / (size + smooth)
    return float(dice[0 if do_bg else 1 :].mean())


class TestDCAndCELoss(LossTests):
    variants = (
        {},
        {"batch_dice": False, "do_bg": True, "smooth": 1.0},
        {"weight_ce": 2.0, "weight_dice": 0.5, "square_dice": True},
        {"log_dice": True},
        {"log_dice": True, "batch_dice": False, "weight_dice": 3.0},
        {"ce_kwargs": {"weight": [1.0, 2.0, 0.5]}},
    )

    def build(self, **arguments: Any) -> DC_and_CE_loss:
        ignored = arguments.pop("ignore_index", 255)
        return DC_and_CE_loss(ignore_label=ignored, **arguments)

    def reference(self, logits: np.ndarray, label: np.ndarray, **arguments: Any) -> float:
        pick = arguments.get
        cuts = [slice(None)] if pick("batch_dice", True) else [slice(case, case + 1) for case in range(len(logits))]
        hot = one_hot(label, logits.shape[1])
        options = (pick("smooth", 1e-5), pick("do_bg", False), pick("square_dice", False))
        pairs = [(kept(softmax(logits[cut]), label[cut]), kept(hot[cut], label[cut])) for cut in cuts]
        dice = np.mean([mean_dice(p, t, *options) for p, t in pairs])
        p, t = kept(softmax(logits), label), kept(hot, label)
        weights = np.array(pick("ce_kwargs", {}).get("weight", [1.0] * len(p)))[:, None] * t
        entropy = -(weights * np.log(p)).sum() / weights.sum()
        of_dice = -np.log(dice) if pick("log_dice", False) else -dice
        return float(pick("weight_ce", 1.0) * entropy + pick("weight_dice", 1.0) * of_dice)

    def test_a_constant_apart_from_dice_ce(self) -> None:
        logits, label = batch(4)
        ours, other = DC_and_CE_loss(weight_dice=2.0), DiceCELoss(weight_dice=2.0)
        assert value(ours, logits, label) == pytest.approx(value(other, logits, label) - 2.0)
        np.testing.assert_allclose(gradient(ours, logits, label), gradient(other, logits, label), rtol=1e-12)

    def test_wrong_arguments(self) -> None:
        for arguments, named in (
            ({"reduction": "mean"}, "DC_and_CE_loss.reduction"),
            ({"ce_kwargs": {"label_smoothing": 0.1}}, "ce_kwargs: 'label_smoothing' is unknown; allowed: weight"),
            ({"weight_ce": -1}, "DC_and_CE_loss.weight_ce"),
            ({"smooth": None}, "smooth"),
        ):
            with pytest.raises(ConfigError, match=named):
                DC_and_CE_loss(**arguments)


def heads(sizes: tuple[tuple[int, int, int], ...], classes: int = 3) -> list[paddle.Tensor]:
    rng = np.random.default_rng(1)
    return [paddle.to_tensor(rng.standard_normal((2, classes, *size))) for size in sizes]


SIZES = ((4, 8, 12), (4, 4, 6), (2, 2, 3))
LABEL = paddle.to_tensor(np.random.default_rng(2).integers(0, 3, (2, *SIZES[0])))


def test_heads_are_halved_and_the_coarsest_left_out() -> None:
    loss, alone = MultipleLoss([DC_and_CE_loss()], [3.0]), DC_and_CE_loss()
    outputs = heads(SIZES)
    labels = [LABEL, LABEL[:, :, 1::2, 1::2]]
    expected = [alone(output, label).item() for output, label in zip(outputs, labels, strict=False)]
    total = losses.compute(outputs, LABEL, {"types": [loss], "coef": [2.0]})
    assert [part.item() for part in total] == [pytest.approx(2.0 * 3.0 * (2 * expected[0] + expected[1]) / 3)]


def test_weights() -> None:
    free, planned = MultipleLoss([DC_and_CE_loss()], [1]), MultipleLoss([DC_and_CE_loss()], [1], 255, THIN, 0)
    assert free.weights(1) == [1.0]
    assert free.weights(4) == pytest.approx([4 / 7, 2 / 7, 1 / 7, 0])
    assert (planned.weights(2), planned.weights(1)) == ([1.0, 0.0], [1.0])
    with pytest.raises(ConfigError, match="the network has 3 heads, the plan 2 poolings"):
        planned(heads(SIZES), LABEL)
    lung = MultipleLoss([DC_and_CE_loss()], [1], plan_path="configs/nnunet/msd_lung/plans_3D.json", stage=1)
    assert lung.weights(5) == pytest.approx(np.array([16, 8, 4, 2, 0]) / 30)
    assert lung.weights(1) == pytest.approx([16 / 30])


def test_several_losses_on_one_head() -> None:
    both = MultipleLoss([DC_and_CE_loss(weight_ce=0), DC_and_CE_loss(weight_dice=0)], [1.0, 1.0])
    output = heads(SIZES[:1])[0]
    assert both(output, LABEL).item() == pytest.approx(DC_and_CE_loss()(output, LABEL).item())


def test_ignored_voxels() -> None:
    label = LABEL.clone()
    label[:, :2] = 255
    output = heads(SIZES[:1])[0]
    total = MultipleLoss([DC_and_CE_loss()], [1.0], ignore_index=255)(output, label).item()
    assert total == pytest.approx(DC_and_CE_loss(ignore_label=255)(output, label).item())
    empty = paddle.full_like(LABEL, 255)
    assert DC_and_CE_loss(ignore_label=255)(output, empty).item() == 0
    assert DC_and_CE_loss(ignore_label=255, log_dice=True)(output, empty).item() == 0


def test_the_number_of_heads_is_its_own_affair() -> None:
    class Network:
        heads = ("a", "b", "c")

    check_heads(Network(), {"types": [MultipleLoss([DC_and_CE_loss()], [1])], "coef": [1]})
    with pytest.raises(ConfigError, match="has 3 heads"):
        check_heads(Network(), {"types": [DC_and_CE_loss()], "coef": [1]})


def test_wrong_arguments() -> None:
    for arguments, named in (
        ({"losses": [], "coef": []}, "MultipleLoss.losses"),
        ({"losses": [DC_and_CE_loss()], "coef": [1, 2]}, "MultipleLoss.coef"),
        ({"losses": [DC_and_CE_loss()], "coef": [1], "plan_path": "nowhere.pkl"}, "nowhere.pkl"),
        ({"losses": [DC_and_CE_loss()], "coef": [1], "plan_path": THIN}, "stage: .* name one"),
    ):
        with pytest.raises(ConfigError, match=named):
            MultipleLoss(**arguments)
