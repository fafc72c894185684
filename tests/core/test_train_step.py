"""The Dice of the training log against PaddleSeg3D's golden numbers, schedules, precision."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from medicalseg.core.step import Precision, soft_dice_sums, step_schedule


def golden() -> tuple[paddle.Tensor, paddle.Tensor]:
    logits = np.sin(0.37 * np.arange(2 * 4 * 60)).astype(np.float32).reshape(2, 4, 3, 4, 5)
    label = (np.arange(120) % 3).reshape(2, 3, 4, 5)
    return paddle.to_tensor(logits), paddle.to_tensor(label)


def test_soft_dice_is_paddleseg3ds():
    overlap, squares = soft_dice_sums(*golden(), ignore_index=255).numpy()
    np.testing.assert_allclose(2 * overlap / squares, [0.5512771, 0.5412830, 0.5424442, 0.0], atol=2e-7)


def test_ignored_voxels_do_not_count():
    logits, label = golden()
    cut = label.clone()
    cut[1] = 255
    expected = soft_dice_sums(logits[:1], label[:1], 255).numpy()
    np.testing.assert_allclose(soft_dice_sums(logits, cut, 255).numpy(), expected, rtol=1e-6)


def test_schedules():
    weight = paddle.create_parameter([1], "float32")
    polynomial = paddle.optimizer.SGD(paddle.optimizer.lr.PolynomialDecay(0.1, 10), parameters=[weight])
    step_schedule(polynomial, 1.0)
    assert polynomial.get_lr() == pytest.approx(0.1 + (0.0001 - 0.1) * 0.1, rel=1e-3)
    plateau = paddle.optimizer.SGD(paddle.optimizer.lr.ReduceOnPlateau(0.1, patience=0), parameters=[weight])
    for _ in range(3):
        step_schedule(plateau, 1.0)
    assert plateau.get_lr() < 0.1
    step_schedule(paddle.optimizer.SGD(0.1, parameters=[weight]), 1.0)


def test_only_float16_is_scaled():
    assert Precision().scaler() is None
    assert Precision("bf16", cast=True).scaler() is None
    assert Precision("bf16", cast=True).dtype == "bfloat16"
