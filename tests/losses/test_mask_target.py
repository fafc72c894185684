"""Losses of masks (N, K, ...), of one structure and of several that overlap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
import pytest

from medicalseg.core.step import soft_dice_sums
from medicalseg.errors import ConfigError, DataError
from medicalseg.losses import (
    BCELoss,
    CrossEntropyLoss,
    DiceCELoss,
    DiceLoss,
    FocalLoss,
    MixedLoss,
    TverskyLoss,
    blocks,
    class_sums,
)
from medicalseg.losses.mask_target import MaskTarget, target_of
from medicalseg.losses.sharing import sharing
from tests.losses.base import _in_ranks, gradient, sigmoid, softmax, value

SHAPES = ((2, 1, 6, 5), (2, 3, 4, 3, 2))


def mask_batch(seed: int, shape: tuple[int, ...], ignored: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Logits float64 and masks uint8, both (N, K, ...); a third of the first image is 255, unalike by channel."""
    generator = np.random.default_rng(seed)
    logits = 2 * generator.standard_normal(shape)
    masks = generator.integers(0, 2, shape).astype(np.uint8)
    if ignored:
        masks[0][generator.random(shape[1:]) < 0.3] = 255
    return logits, masks


def per_channel(logits: np.ndarray, masks: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """p and t of each channel, without what is ignored."""
    pairs = [(sigmoid(logits[:, c]), masks[:, c]) for c in range(logits.shape[1])]
    return [(p[t != 255], t[t != 255].astype(float)) for p, t in pairs]


def dice(logits: np.ndarray, masks: np.ndarray, smooth: float = 0.0, power: int = 2, weight: Any = None) -> float:
    scores = [
        (2 * (p * t).sum() + smooth) / ((p**power).sum() + t.sum() + smooth) for p, t in per_channel(logits, masks)
    ]
    return 1 - float(np.average(scores, weights=weight))


def dice_per_image(logits: np.ndarray, masks: np.ndarray) -> float:
    return float(np.mean([dice(logits[n : n + 1], masks[n : n + 1], 1e-5, 1) for n in range(len(logits))]))


def tversky(logits: np.ndarray, masks: np.ndarray) -> float:
    scores = []
    for p, t in per_channel(logits, masks):
        tp, fp, fn = (p * t).sum(), (p * (1 - t)).sum(), ((1 - p) * t).sum()
        scores.append((1 - tp / (tp + 0.2 * fp + 0.8 * fn + 1e-5)) ** 0.75)
    return float(np.mean(scores))


def voxelwise(logits: np.ndarray, masks: np.ndarray, term: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> float:
    return float(np.mean(np.concatenate([term(p, t) for p, t in per_channel(logits, masks)])))


def weighted_bce(logits: np.ndarray, masks: np.ndarray) -> float:
    def term(p: np.ndarray, t: np.ndarray) -> np.ndarray:
        return -(3 * t * np.maximum(np.log(p), -5) + (1 - t) * np.maximum(np.log(1 - p), -5))

    return voxelwise(logits, masks, term)


def focal(logits: np.ndarray, masks: np.ndarray) -> float:
    def term(p: np.ndarray, t: np.ndarray) -> np.ndarray:
        q, factor = np.where(t == 1, p, 1 - p), np.where(t == 1, 0.75, 0.25)
        return -factor * (1 - q) ** 2.5 * np.log(q)

    return voxelwise(logits, masks, term)


def entropy(logits: np.ndarray, masks: np.ndarray) -> float:
    return voxelwise(logits, masks, lambda p, t: -np.log(np.where(t == 1, p, 1 - p)))


def mixed(logits: np.ndarray, masks: np.ndarray) -> float:
    return 0.5 * dice_per_image(logits, masks) + weighted_bce(logits, masks)


class Sum:
    """A MixedLoss as one scalar."""

    def __init__(self, *arguments: Any) -> None:
        self.loss = MixedLoss(*arguments)

    def __call__(self, logits: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
        parts = self.loss(logits, label)
        return sum(parts[1:], parts[0])


STUDY_DICE = {"smooth": 1e-5, "squared": False, "per_image": True}
STUDY_BCE = {"pos_weight": 3, "log_floor": -5}
LOSSES: dict[str, tuple[Callable[[], Any], Callable[[np.ndarray, np.ndarray], float]]] = {
    "dice": (DiceLoss, dice),
    "dice, smooth": (lambda: DiceLoss(smooth=0.5, include_background=False), lambda z, t: dice(z, t, 0.5)),
    "dice per image": (lambda: DiceLoss(**STUDY_DICE), dice_per_image),
    "tversky": (lambda: TverskyLoss(0.2, 0.8, 0.75, sigmoid_norm=True, include_background=False), tversky),
    "bce": (BCELoss, entropy),
    "weighted bce": (lambda: BCELoss(**STUDY_BCE), weighted_bce),
    "focal": (lambda: FocalLoss(2.5, balance=0.75), focal),
    "focal, gamma 0": (lambda: FocalLoss(0), entropy),
    "mixed": (lambda: Sum([DiceLoss(**STUDY_DICE), BCELoss(**STUDY_BCE)], [0.5, 1]), mixed),
}
loss_names = pytest.mark.parametrize("name", LOSSES)
shapes = pytest.mark.parametrize("shape", SHAPES)


@loss_names
@shapes
@pytest.mark.parametrize("ignored", [False, True])
def test_formulas(name: str, shape: tuple[int, ...], ignored: bool) -> None:
    logits, masks = mask_batch(1, shape, ignored)
    build, formula = LOSSES[name]
    tolerance = 1e-5 if name == "tversky" else 1e-9
    assert value(build(), logits, masks) == pytest.approx(formula(logits, masks), rel=tolerance)
    assert value(build(), logits.astype(np.float32), masks) == pytest.approx(formula(logits, masks), rel=1e-5)
    for kind in (np.int64, np.int32):
        assert value(build(), logits, masks.astype(kind)) == value(build(), logits, masks)


@loss_names
@shapes
def test_slopes(name: str, shape: tuple[int, ...]) -> None:
    logits, masks = mask_batch(2, shape, ignored=True)
    loss = LOSSES[name][0]()
    slope = gradient(loss, logits, masks)
    assert np.all(slope[masks == 255] == 0)
    for flat in np.random.default_rng(0).permutation(logits.size)[:6]:
        step = np.zeros_like(logits)
        step.flat[flat] = 1e-5
        difference = (value(loss, logits + step, masks) - value(loss, logits - step, masks)) / 2e-5
        assert slope.flat[flat] == pytest.approx(difference, rel=1e-5, abs=1e-9)


@loss_names
def test_ids_of_one_structure_are_its_mask(name: str) -> None:
    logits, masks = mask_batch(3, SHAPES[0], ignored=True)
    loss = LOSSES[name][0]()
    assert value(loss, logits, masks[:, 0].astype(np.int64)) == value(loss, logits, masks)


@loss_names
@shapes
def test_half_precision_and_extremes(name: str, shape: tuple[int, ...]) -> None:
    logits, masks = mask_batch(4, shape, ignored=True)
    loss = LOSSES[name][0]()
    rough = paddle.to_tensor(logits.astype(np.float32)).astype("bfloat16")
    rough.stop_gradient = False
    with paddle.amp.auto_cast(enable=True, level="O2", dtype="bfloat16"):
        result = loss(rough, paddle.to_tensor(masks))
    result.backward()
    assert result.ndim == 0
    assert result.dtype == paddle.float32
    assert result.item() == pytest.approx(value(loss, rough.astype("float32").numpy(), masks), rel=1e-6)
    assert rough.grad.dtype == paddle.bfloat16
    steep = (1e4 * logits).astype(np.float32)
    assert np.isfinite(value(loss, steep, masks))
    assert np.isfinite(gradient(loss, steep, masks)).all()


@loss_names
@shapes
def test_ranks(name: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    logits, masks = mask_batch(5, shape, ignored=True)
    loss = LOSSES[name][0]()
    expected, slope = value(loss, logits, masks), gradient(loss, logits, masks)
    for rank, (found, rank_slope) in enumerate(_in_ranks(loss, logits, masks, monkeypatch)):
        assert found == pytest.approx(expected, rel=1e-12)
        np.testing.assert_allclose(rank_slope[0] / 2, slope[rank], rtol=1e-9, atol=1e-15)


@loss_names
@shapes
def test_nothing_to_count(name: str, shape: tuple[int, ...]) -> None:
    logits, masks = mask_batch(6, shape)
    loss = LOSSES[name][0]()
    assert value(loss, logits, np.full_like(masks, 255)) == 0
    assert np.all(gradient(loss, logits, np.full_like(masks, 255)) == 0)


def test_an_image_without_a_known_voxel_is_left_out_per_image() -> None:
    logits, masks = mask_batch(7, SHAPES[1])
    masks[0] = 255
    assert value(DiceLoss(**STUDY_DICE), logits, masks) == pytest.approx(dice(logits[1:], masks[1:], 1e-5, 1), rel=1e-9)


@pytest.mark.parametrize("sigmoid_norm", [True, False])
def test_dice_of_ids_per_image(sigmoid_norm: bool) -> None:
    generator = np.random.default_rng(8)
    logits, label = generator.standard_normal((3, 4, 5, 6)), generator.integers(0, 4, (3, 5, 6))
    label[0, 0], label[2] = 255, 255
    p, scores = (sigmoid if sigmoid_norm else softmax)(logits), []
    for image in range(2):
        known = label[image] != 255
        for c in range(1, 4):
            q, t = p[image, c][known], (label[image] == c)[known]
            scores.append((2 * (q * t).sum() + 1) / ((q**2).sum() + t.sum() + 1))
    loss = DiceLoss(sigmoid_norm, include_background=False, smooth=1, per_image=True)
    assert value(loss, logits, label) == pytest.approx(1 - np.mean(scores), rel=1e-9)
    slope = gradient(loss, logits, label)
    step = np.zeros_like(logits)
    step[1, 2, 3, 4] = 1e-5
    difference = (value(loss, logits + step, label) - value(loss, logits - step, label)) / 2e-5
    assert slope[1, 2, 3, 4] == pytest.approx(difference, rel=1e-5)
    assert np.all(slope[2] == 0)


@shapes
def test_monai(shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    monai_losses = pytest.importorskip("monai.losses")
    logits, masks = mask_batch(9, shape)
    masks[0, 0] = 0
    expected = monai_losses.DiceLoss(sigmoid=True)(torch.tensor(logits), torch.tensor(masks.astype(float)))
    assert value(DiceLoss(**STUDY_DICE), logits, masks) == pytest.approx(float(expected), rel=1e-9)
    whole = monai_losses.DiceLoss(sigmoid=True, batch=True)(torch.tensor(logits), torch.tensor(masks.astype(float)))
    assert value(DiceLoss(smooth=1e-5, squared=False), logits, masks) == pytest.approx(float(whole), rel=1e-9)
    blurred = monai_losses.FocalLoss(gamma=2.0, alpha=0.75)(torch.tensor(logits), torch.tensor(masks.astype(float)))
    assert value(FocalLoss(balance=0.75), logits, masks) == pytest.approx(float(blurred), rel=1e-6)


@shapes
@pytest.mark.parametrize("block", [7, 1 << 16])
@pytest.mark.parametrize("name", ["dice", "dice per image", "tversky"])
def test_blocks_and_plain_agree(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], block: int, name: str) -> None:
    monkeypatch.setattr(blocks, "BLOCK", block)
    logits, masks = mask_batch(10, shape, ignored=True)
    loss = LOSSES[name][0]()
    expected, slope = value(loss, logits, masks), gradient(loss, logits, masks)
    monkeypatch.setattr(class_sums, "is_host_array", lambda tensor: False)
    assert value(loss, logits, masks) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(gradient(loss, logits, masks), slope, rtol=1e-9, atol=1e-15)


def test_threads_change_no_bit_of_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, masks = mask_batch(11, (2, 3, 64, 64), ignored=True)
    monkeypatch.setattr(blocks, "BLOCK", 3000)
    results = []
    for threads in (1, 3):
        monkeypatch.setattr(blocks, "openmp_threads", lambda threads=threads: threads)
        single = logits.astype(np.float32)
        results.append((value(DiceLoss(), single, masks), gradient(DiceLoss(**STUDY_DICE), single, masks)))
    assert results[0][0] == results[1][0]
    np.testing.assert_array_equal(results[0][1], results[1][1])


@shapes
def test_report_of_a_step(shape: tuple[int, ...]) -> None:
    logits, masks = mask_batch(12, shape, ignored=True)
    overlap, squares = soft_dice_sums(paddle.to_tensor(logits), paddle.to_tensor(masks), 255).numpy()
    np.testing.assert_allclose(overlap, [(p * t).sum() for p, t in per_channel(logits, masks)], rtol=1e-6)
    np.testing.assert_allclose(squares, [(p**2 + t).sum() for p, t in per_channel(logits, masks)], rtol=1e-6)


def test_losses_of_masks_share_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, masks = mask_batch(13, SHAPES[1])
    passes: list[Any] = []
    original = blocks.Task.sums
    monkeypatch.setattr(blocks.Task, "sums", lambda task, *rest: passes.append(task.rows) or original(task, *rest))
    tensor, label = paddle.to_tensor(logits, stop_gradient=False), paddle.to_tensor(masks)
    with sharing():
        MixedLoss([DiceLoss(), TverskyLoss(sigmoid_norm=True), FocalLoss()], [1, 1, 1])(tensor, label)
        with paddle.no_grad():
            soft_dice_sums(tensor, label, 255)
    assert len(passes) == 1


@pytest.mark.parametrize(
    ("loss", "advice"),
    [
        (CrossEntropyLoss(), "use BCELoss"),
        (DiceCELoss(sigmoid_norm=True), "MixedLoss of DiceLoss and BCELoss"),
        (DiceLoss(sigmoid_norm=False), "sigmoid_norm: True"),
        (TverskyLoss(), "sigmoid_norm: True"),
    ],
)
def test_a_softmax_has_no_masks(loss: Any, advice: str) -> None:
    for shape in SHAPES:
        logits, masks = mask_batch(14, shape)
        with pytest.raises(ConfigError, match=f"{type(loss).__name__}.*{advice}"):
            value(loss, logits, masks)


def test_wrong_masks() -> None:
    logits, masks = mask_batch(15, SHAPES[1])
    with pytest.raises(DataError, match="holds 2; a label with an axis of classes"):
        value(DiceLoss(), logits, masks + 1)
    with pytest.raises(DataError, match="do not fit"):
        value(DiceLoss(), logits, masks[:, :2])
    with pytest.raises(DataError, match="do not fit"):
        value(DiceLoss(), logits, masks[..., :1])
    with pytest.raises(DataError, match="integers"):
        value(DiceLoss(), logits, masks.astype(np.float32))
    with pytest.raises(DataError, match=r"holds 3.*one output channel"):
        value(DiceLoss(), logits[:, :1], np.where(masks[:, 0] == 1, 3, 0))
    with pytest.raises(DataError, match=r"holds 255.*None"):
        value(DiceLoss(ignore_index=None), *mask_batch(15, SHAPES[1], ignored=True))


def test_wrong_arguments_of_masks() -> None:
    logits, masks = mask_batch(16, SHAPES[1])
    for floor in (0, 5, "low", True):
        with pytest.raises(ConfigError, match="log_floor"):
            BCELoss(log_floor=floor)
    for balance in (-0.1, 2, "even", True):
        with pytest.raises(ConfigError, match="balance"):
            FocalLoss(balance=balance)
    with pytest.raises(ConfigError, match="not for masks"):
        value(FocalLoss(alpha="auto"), logits, masks)
    with pytest.raises(ConfigError, match="is for masks"):
        value(FocalLoss(balance=0.5), logits, masks[:, 0].astype(np.int64))
    with pytest.raises(ConfigError, match="2 entries"):
        value(DiceLoss(weight=[1.0, 2.0]), logits, masks)


@pytest.mark.parametrize("ignore", [None, 255, 0, 1])
def test_mask_counts(ignore: int | None) -> None:
    masks = np.random.default_rng(17).integers(0, 2, (2, 3, 9)).astype(np.uint8)
    if ignore == 255:
        masks[1, :, :4] = 255
    target = target_of(paddle.zeros([2, 3, 9]), paddle.to_tensor(masks), ignore).check()
    assert isinstance(target, MaskTarget)
    known = np.ones(masks.shape, bool) if ignore is None else masks != ignore
    np.testing.assert_array_equal(target.class_counts("int64").numpy(), ((masks == 1) & known).sum((0, 2)))
    np.testing.assert_array_equal(target.image_counts("int64").numpy(), ((masks == 1) & known).sum(2))
    np.testing.assert_array_equal(target.image_voxels("int64").numpy(), known.sum((1, 2)))
    np.testing.assert_array_equal(target.is_class().numpy(), (masks == 1) & known)
    assert target.voxels("float32").item() == known.sum()
