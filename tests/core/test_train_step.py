"""The Dice of the training log against PaddleSeg3D's golden numbers, schedules, precision."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from medicalseg.core.step import Precision, Stepper, soft_dice_sums, step_schedule
from medicalseg.losses import CrossEntropyLoss, DiceLoss, MixedLoss


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


class TwoHeads(paddle.nn.Layer):
    """A convolution with two outputs."""

    def __init__(self):
        super().__init__()
        self.body = paddle.nn.Conv3D(1, 3, 1)
        self.unused = paddle.nn.Linear(2, 2)

    def forward(self, x):
        return [self.body(x), 2 * self.body(x)]


def test_a_step_reports_losses_and_dice_and_frees_the_gradients():
    paddle.seed(3)
    model = TwoHeads()
    mixed = MixedLoss([CrossEntropyLoss(), DiceLoss()], [1, 1])
    optimizer = paddle.optimizer.Momentum(0.1, parameters=model.parameters(), weight_decay=0.5)
    stepper = Stepper(model, {"types": [mixed, DiceLoss()], "coef": [1, 0.5]}, optimizer, Precision())
    images = np.random.default_rng(0).standard_normal((2, 1, 4, 5, 3)).astype(np.float32)
    labels = np.random.default_rng(1).integers(0, 3, (2, 4, 5, 3))
    unused = model.unused.weight.numpy()
    logits = model.body(paddle.to_tensor(images)).detach()
    label = paddle.to_tensor(labels)
    expected = [CrossEntropyLoss()(logits, label), DiceLoss()(logits, label), 0.5 * DiceLoss()(2 * logits, label)]
    result = stepper(0, images, labels)
    assert result.losses == pytest.approx([part.item() for part in expected], rel=1e-6)
    assert result.dsc == pytest.approx(100 * (1 - expected[1].item()), rel=1e-6)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert stepper(1, images, labels).loss < result.loss
    np.testing.assert_array_equal(model.unused.weight.numpy(), unused)
