"""Class sums: by blocks, by Paddle's operations, by the formula; threads, sharing, repeated gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
import pytest

from medicalseg.core.step import soft_dice_sums
from medicalseg.losses import CrossEntropyLoss, DiceCELoss, DiceLoss, FocalLoss, MixedLoss, blocks, class_sums
from medicalseg.losses.rows import Row
from medicalseg.losses.sharing import sharing
from medicalseg.losses.target import Target
from tests.losses.base import batch, gradient, kept, one_hot, sigmoid, softmax

ROWS = tuple(Row(kind, norm) for kind in ("joint", "sum", "squares") for norm in (False, True)) + (
    Row("entropy"),
    Row("entropy", gamma=1.5),
    Row("entropy", pooled=True),
)


def formula(row: Row, logits: np.ndarray, label: np.ndarray) -> np.ndarray:
    p = kept(sigmoid(logits) if row.sigmoid else softmax(logits), label)
    t = kept(one_hot(label, logits.shape[1]), label)
    terms = {"joint": p * t, "sum": p, "squares": p**2, "entropy": -t * np.log(p) * (1 - p) ** row.gamma}
    sums = terms[row.kind].sum(1)
    return np.r_[sums.sum(), np.zeros(len(sums) - 1)] if row.pooled else sums


def sums_and_slope(logits: np.ndarray, label: np.ndarray, rows: tuple[Row, ...]) -> tuple[np.ndarray, np.ndarray]:
    """(R, K) sums and the gradient of them under fixed weights."""
    tensor = paddle.to_tensor(logits, stop_gradient=False)
    found = class_sums.class_sums(tensor, Target.of(tensor, paddle.to_tensor(label), 255), rows)
    together = paddle.stack([found[row] for row in rows])
    weights = np.random.default_rng(5).standard_normal(together.shape).astype(logits.dtype)
    (together * paddle.to_tensor(weights)).sum().backward()
    return together.numpy(), tensor.grad.numpy()


@pytest.mark.parametrize("ignored", [0, 11])
@pytest.mark.parametrize("block", [7, 30, 1 << 16])
def test_blocks_formula_and_plain_agree(monkeypatch: pytest.MonkeyPatch, block: int, ignored: int) -> None:
    monkeypatch.setattr(blocks, "BLOCK", block)
    logits, label = batch(0, (2, 5, 4, 3, 5), ignored)
    sums, slope = sums_and_slope(logits, label, ROWS)
    np.testing.assert_allclose(sums, [formula(row, logits, label) for row in ROWS], rtol=1e-12, atol=1e-14)
    monkeypatch.setattr(class_sums, "is_host_array", lambda tensor: False)
    plain_sums, plain_slope = sums_and_slope(logits, label, ROWS)
    np.testing.assert_allclose(plain_sums, sums, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(plain_slope, slope, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("row", ROWS)
def test_each_row_alone(monkeypatch: pytest.MonkeyPatch, row: Row) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 40)
    logits, label = batch(1, (2, 4, 5, 4, 3), ignored=6)
    sums, slope = sums_and_slope(logits, label, (row,))
    np.testing.assert_allclose(sums[0], formula(row, logits, label), rtol=1e-12, atol=1e-14)
    monkeypatch.setattr(class_sums, "is_host_array", lambda tensor: False)
    np.testing.assert_allclose(sums_and_slope(logits, label, (row,))[1], slope, rtol=1e-9, atol=1e-13)


def test_threads_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, label = batch(2, (2, 3, 20, 20, 20), ignored=100)
    monkeypatch.setattr(blocks, "BLOCK", 3000)
    results = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(blocks, "openmp_threads", lambda threads=threads: threads)
        results.append(sums_and_slope(logits.astype(np.float32), label, ROWS))
    for sums, slope in results[1:]:
        np.testing.assert_array_equal(sums, results[0][0])
        np.testing.assert_array_equal(slope, results[0][1])


def test_an_error_in_a_thread_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "openmp_threads", lambda: 2)
    monkeypatch.setattr(blocks, "BLOCK", 30)
    logits, label = batch(3)
    task = blocks.Task((Row("unknown"),), label, None)
    with pytest.raises(KeyError):
        task.sums(logits)


def test_large_sums_keep_their_digits() -> None:
    logits, label = batch(4, (1, 3, 96, 96, 64))
    rows = (Row("squares"), Row("sum"), Row("joint", True), Row("squares", True), Row("entropy"))
    sums, _ = sums_and_slope(logits.astype(np.float32), label, rows)
    np.testing.assert_allclose(sums, [formula(row, logits, label) for row in rows], rtol=5e-7)


def test_more_classes_than_a_block_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 4)
    logits, label = batch(5, (1, 9, 3, 2))
    sums, _ = sums_and_slope(logits, label, ROWS)
    np.testing.assert_allclose(sums, [formula(row, logits, label) for row in ROWS], rtol=1e-12, atol=1e-14)


def test_logits_of_any_layout() -> None:
    logits, label = batch(7, ignored=4)
    stored = paddle.to_tensor(np.moveaxis(logits, 1, -1).copy(), stop_gradient=False)
    DiceCELoss()(stored.transpose([0, 4, 1, 2, 3]), paddle.to_tensor(label)).backward()
    expected = np.moveaxis(gradient(DiceCELoss(), logits, label), 1, -1)
    np.testing.assert_allclose(stored.grad.numpy(), expected, rtol=1e-12)


def count_passes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Row, ...]]:
    passes: list[tuple[Row, ...]] = []
    original: Callable[..., Any] = blocks.Task.sums

    def counted(task: blocks.Task, *arguments: Any) -> Any:
        passes.append(task.rows)
        return original(task, *arguments)

    monkeypatch.setattr(blocks.Task, "sums", counted)
    return passes


def test_losses_and_report_share_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, label = (paddle.to_tensor(array) for array in batch(8, ignored=3))
    logits.stop_gradient = False
    losses = [CrossEntropyLoss(), DiceLoss(), FocalLoss()]
    apart = [loss(logits, label) for loss in losses]
    sum(apart[1:], apart[0]).backward()
    slope = logits.grad.numpy()
    logits.clear_gradient(False)
    report = soft_dice_sums(logits, label, 255).numpy()
    passes = count_passes(monkeypatch)
    with sharing():
        together = MixedLoss(losses, [1, 1, 1])(logits, label)
        with paddle.no_grad():
            shared = soft_dice_sums(logits, label, 255)
    assert len(passes) == 1
    assert shared.stop_gradient
    np.testing.assert_array_equal(shared.numpy(), report)
    assert [float(part) for part in together] == pytest.approx([float(part) for part in apart], rel=1e-12)
    sum(together[1:], together[0]).backward()
    np.testing.assert_allclose(logits.grad.numpy(), slope, rtol=1e-9, atol=1e-15)


def test_what_was_summed_without_gradients_is_not_differentiated(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, label = (paddle.to_tensor(array) for array in batch(9))
    logits.stop_gradient = False
    with sharing():
        with paddle.no_grad():
            assert DiceLoss()(logits, label).stop_gradient
        DiceLoss()(logits, label).backward()
    assert np.any(logits.grad.numpy() != 0)


def test_nothing_is_remembered_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, label = (paddle.to_tensor(array) for array in batch(10))
    passes = count_passes(monkeypatch)
    for _ in range(2):
        DiceLoss()(logits, label)
    assert len(passes) == 2


def test_the_report_takes_ids_that_are_no_class() -> None:
    logits, label = batch(11, ignored=3)
    label[1, 0] = 7
    overlap, squares = soft_dice_sums(paddle.to_tensor(logits), paddle.to_tensor(label), 255).numpy()
    p, t = kept(sigmoid(logits), label), kept(one_hot(label, 3), label)
    np.testing.assert_allclose(overlap, (p * t).sum(1), rtol=1e-6)
    np.testing.assert_allclose(squares, (p**2 + t).sum(1), rtol=1e-6)


@pytest.mark.parametrize("classes", [1, 3, 12])
@pytest.mark.parametrize("ignore", [None, 255, 1, -5])
def test_counts(classes: int, ignore: int | None) -> None:
    logits, label = batch(12, (2, classes, 6, 5))
    label = np.where(np.arange(5) == 2, ignore or 0, label)
    target = Target.of(paddle.to_tensor(logits), paddle.to_tensor(label), ignore).check()
    counted = label[label != ignore] if ignore is not None else label
    np.testing.assert_array_equal(target.class_counts("int64").numpy(), np.bincount(counted.ravel(), minlength=classes))
    assert target.voxels("float32").item() == counted.size
    assert target.any_ignored == (counted.size < label.size)
