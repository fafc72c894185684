"""What the tests of the U-Nets of stages share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import numpy as np
import paddle
import pytest

from medicalseg import losses, ops
from medicalseg.cvlibs import manager
from medicalseg.losses import DiceCELoss
from medicalseg.models import SegmentationModel
from medicalseg.models.staged_unet import StagedUNet
from tests.models.base import ModelTests, image

WRONG = (
    ({"features": [8]}, "features: needs the channels of at least 2 stages"),
    ({"features": [8, 0, 8]}, "features: needs a list of positive integers, one per stage"),
    ({"features": 8}, "features"),
    ({"kernel_size": [3, 3]}, "kernel_size: needs a list of 3"),
    ({"kernel_size": 2}, "kernel_size: .* even"),
    ({"strides": [1, 2]}, "strides: needs a list of 3"),
    ({"strides": [2, 2, 2]}, "strides: the first stage keeps the size"),
    ({"strides": [1, 2, 0]}, "strides: 0"),
    ({"deep_supervision": 3}, "deep_supervision: needs true, false or a number of heads from 1 to 2"),
    ({"deep_supervision": "yes"}, "deep_supervision"),
    ({"decoder_convolutions": [1]}, "decoder_convolutions: needs a list of 2"),
    ({"decoder_convolutions": 0}, "decoder_convolutions"),
)
SMALL = {"in_channels": 2, "num_classes": 3, "features": [4, 6, 8]}
THIN = {**SMALL, "strides": [1, [2, 2, 1], 2], "kernel_size": [[3, 3, 1], 3, 3]}


class StagedTests(ModelTests):
    heads = 2
    evaluated_heads = 1

    @pytest.fixture(scope="class")
    def model(self) -> SegmentationModel:
        paddle.seed(7)
        return stirred(self.build())

    def test_evaluation_has_the_main_head_alone(self, model: SegmentationModel) -> None:
        x = paddle.to_tensor(image(self.shape, 8))
        with paddle.no_grad():
            model.train()
            trained = [head.numpy() for head in model(x)]
            model.eval()
            evaluated = [head.numpy() for head in model(x)]
        assert (len(trained), len(evaluated)) == (self.heads, 1)
        np.testing.assert_array_equal(trained[0], evaluated[0])

    def test_fewer_heads(self) -> None:
        for asked, count in ((False, 1), (1, 1), (2, 2), (True, 2)):
            model = self.build(deep_supervision=asked)
            model.train()
            assert len(model(paddle.to_tensor(image(self.shape)))) == len(model.heads) == count

    def test_every_parameter_is_trained(self) -> None:
        for asked in (False, True):
            model = stirred(self.build(deep_supervision=asked))
            label = paddle.to_tensor(np.random.default_rng(0).integers(0, 3, (self.shape[0], *self.shape[2:])))
            heads = model(paddle.to_tensor(image(self.shape)))
            settings = {"types": [DiceCELoss()] * len(heads), "coef": [0.5**k for k in range(len(heads))]}
            sum(losses.compute(heads, label, settings), paddle.zeros([])).backward()
            assert all(parameter.grad is not None for parameter in model.parameters())

    def test_bfloat16_is_near(self) -> None:
        if not ops.supports_bf16():
            pytest.skip("no bfloat16 on this processor")
        model = stirred(self.build())
        x = paddle.to_tensor(image(self.shape, 10))
        with paddle.no_grad():
            expected = [head.numpy() for head in model(x)]
            ops.accelerate(model, "auto", bf16=True)
            found = model(x)
        for head, wanted in zip(found, expected, strict=True):
            assert head.dtype == paddle.float32
            assert np.corrcoef(head.numpy().ravel(), wanted.ravel())[0, 1] > 0.99

    def test_weights_of_a_network_with_more_heads(self, model: SegmentationModel, tmp_path: Path) -> None:
        path = str(tmp_path / "deep.pdparams")
        paddle.save(model.state_dict(), path)
        alone = self.build(deep_supervision=False, pretrained=path)
        alone.eval(), model.eval()
        x = paddle.to_tensor(image(self.shape, 11))
        with paddle.no_grad():
            np.testing.assert_array_equal(alone(x)[0].numpy(), model(x)[0].numpy())


class Volumes:
    """A thin volume: strides and kernels differ by axis."""

    arguments: ClassVar = THIN
    shape = (2, 2, 8, 12, 4)
    head_sizes = ((8, 12, 4), (4, 6, 4))
    misfits = (((8, 13, 5), (8, 16, 6)), ((1, 1, 1), (4, 4, 2)))
    wrong_arguments = (
        *WRONG,
        ({"strides": [1, [2, 2], 2]}, r"strides: \[2, 2\] is neither a positive integer nor three"),
    )


class Images:
    """Images whose sizes the strides do not divide."""

    arguments: ClassVar = {**SMALL, "strides": [1, [2, 1], 2], "kernel_size": [[3, 1], 3, 3]}
    shape = (2, 2, 13, 10)
    head_sizes = ((13, 10), (7, 10))
    wrong_arguments = (*WRONG, ({"strides": [1, [2, 2, 1], 2]}, r"strides: .* neither a positive integer nor two"))


def stirred(model: StagedUNet) -> StagedUNet:
    """Every scale, shift and bias away from 0 and 1, where a fault may hide; a residual block's scale starts at 0."""
    rng = np.random.default_rng(3)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.set_value(rng.uniform(0.5, 1.5, parameter.shape).astype("float32"))
    return model


def numbered(model: StagedUNet) -> StagedUNet:
    """Weights that are the same on every machine: drawn in the order in which the network has them."""
    rng = np.random.default_rng(5)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            values = rng.uniform(0.5, 1.5, parameter.shape)
        else:
            values = rng.standard_normal(parameter.shape) / np.sqrt(np.prod(parameter.shape[1:]))
        parameter.set_value(values.astype("float32"))
    return model


def check_numbers_of_nnunet(name: str) -> None:
    """Against `nnunet.json`, made with dynamic_network_architectures 0.4.4 in PyTorch and the weights of `numbered`."""
    golden = json.loads((Path(__file__).parent / "nnunet.json").read_text())[name]
    model = numbered(manager.MODELS[name](2, 3, [4, 6, 8], golden["kernel_size"], golden["strides"]))
    with paddle.no_grad():
        heads = model(paddle.to_tensor(image(tuple(golden["shape"]), 6)))
    for head, expected in zip(heads, golden["heads"], strict=True):
        values = head.numpy().ravel()
        np.testing.assert_allclose(values[:: values.size // 12][:12], expected, atol=1e-4)
