"""TransUNet and its ResNet, compared with PaddleSeg3D's keys and numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import paddle
import pytest
from paddle.nn import functional as F

from medicalseg.core.export import export
from medicalseg.core.export_graph import fold_batch_norms
from medicalseg.cvlibs.components import build
from medicalseg.errors import ConfigError
from medicalseg.inference.slices import SliceSpec
from medicalseg.inference.task import TaskSpec
from medicalseg.models import TransUNet
from medicalseg.models.backbones import MixVisionTransformer_B0, ResNet
from medicalseg.models.backbones.mscan import MSCAN
from medicalseg.models.layers.trans_unet_resnet import FastStandardizedConv2D, StandardizedConv2D
from medicalseg.models.layers.trans_unet_transformer import Attention
from medicalseg.ops import accelerate, is_available
from tests.extras import needs_onnx
from tests.models.base import ModelTests, image
from tests.models.golden import check_golden

SMALL = {
    **{"hidden_size": 24, "num_heads": 3, "mlp_dim": 32, "num_layers": 1, "decoder_channels": [16, 12, 8, 6]},
    **{"img_size": [32, 48], "patches_grid": [2, 3], "skip_channels": [256, 128, 32]},
}


def resnet(**arguments: Any) -> ResNet:
    """The smallest one."""
    return ResNet(**{"block_units": [1, 1, 1], "width_factor": 0.5, **arguments})


class TestTransUNet(ModelTests):
    name = "TransUNet"
    config = "synapse/transunet_abdomen_224_224_1_14k_1e-2.yml"
    published = "transunet_abdomen"
    random = True
    task_channels = 1
    arguments: ClassVar = {**SMALL, "num_classes": 3}
    shape = (2, 3, 32, 48)
    other_channels = (1, 2, 5)
    wrong_arguments = (
        ({"img_size": 224}, r"patches_grid: \[2, 3\] does not fit img_size \[224, 224\].*\[14, 14\]"),
        ({"img_size": [40, 48]}, "img_size: needs multiples of 16"),
        ({"img_size": "224"}, "img_size"),
        ({"patches_grid": [2, 3, 4]}, "patches_grid"),
        ({"num_heads": 5}, "num_heads: 5 does not divide hidden_size 24"),
        ({"num_layers": 0}, "num_layers: needs a positive integer"),
        ({"dropout_rate": 1}, "dropout_rate: needs a number from 0 to below 1"),
        ({"attention_dropout_rate": "0"}, "attention_dropout_rate"),
        ({"n_skip": 4}, "n_skip: needs a number from 0 to 3"),
        ({"skip_channels": [512, 256, 64, 16]}, r"skip_channels: the backbone's maps have \[256, 128, 32\]"),
        ({"n_skip": 1.0}, "n_skip: needs a number from 0 to 3, got 1.0"),
        ({"n_skip": True}, "n_skip"),
        ({"decoder_channels": [16, 8]}, "decoder_channels: needs a list of 4 positive integers"),
        ({"zero_head": "false"}, "TransUNet.zero_head: needs true or false, got 'false'"),
        ({"classifier": "token"}, "only 'seg'"),
        ({"backbone": paddle.nn.Linear(2, 2)}, "TransUNet.backbone: Linear is no ResNet.*block_units such as"),
        ({"pretrained": "a", "pretrained_path": "b"}, "give one of them"),
    )

    def test_encoders_that_are_no_resnet(self) -> None:
        """Also those with four maps, which have other sizes or channels last."""
        for encoder in (MSCAN(3, embed_dims=[8, 8, 8, 8], depths=[1, 1, 1, 1]), MixVisionTransformer_B0()):
            with pytest.raises(ConfigError, match=rf"TransUNet\.backbone: {type(encoder).__name__} is no ResNet"):
                self.build(backbone=encoder, skip_channels=encoder.feat_channels[-2::-1])

    @pytest.fixture(scope="class")
    def model(self) -> TransUNet:
        """Norms far from their start, where a pass could drop them."""
        paddle.seed(7)
        model = self.build()
        self._move_norms(model)
        return model

    def build(self, **arguments: Any) -> TransUNet:
        channels = arguments.pop("in_channels", 3)
        backbone = arguments.pop("backbone", None) or resnet(in_channels=channels)
        return TransUNet(backbone, **{**self.arguments, **arguments})

    def test_layouts_of_paddleseg3d(self, model: TransUNet) -> None:
        model.eval()
        slices = image((2, 1, 32, 48), 3)
        with paddle.no_grad():
            flat = model(paddle.to_tensor(slices))[0].numpy()
            volume = model(paddle.to_tensor(slices[None]))[0].numpy()
        assert volume.shape == (2, 3, 1, 32, 48)
        np.testing.assert_array_equal(volume[:, :, 0], flat)

    @needs_onnx
    def test_exported_to_onnx(self, tmp_path: Path) -> None:
        """Export compares the logits itself. Paddle2ONNX writes pads without a value, so no layer may have any."""
        onnx = pytest.importorskip("onnx")
        model = self.build()
        self._move_norms(model)
        task = TaskSpec(num_classes=3, slices=SliceSpec())
        export(model, task, tmp_path, output_op="none", model_format="onnx")
        nodes = onnx.load(str(tmp_path / "model.onnx")).graph.node
        assert not any(node.op_type == "Pad" for node in nodes)

    def test_deployed_filters_are_not_computed_anew(self, model: TransUNet) -> None:
        model.eval()
        x = image((1, 3, 32, 48), 8)
        deployed = fold_batch_norms(model, x)
        assert not any(isinstance(layer, (StandardizedConv2D, paddle.nn.BatchNorm2D)) for layer in deployed.sublayers())
        assert any(isinstance(layer, StandardizedConv2D) for layer in model.sublayers())
        with paddle.no_grad():
            expected, got = (network(paddle.to_tensor(x))[0].numpy() for network in (model, deployed))
        np.testing.assert_allclose(got, expected, atol=1e-5)

    def _move_norms(self, model: TransUNet) -> None:
        generator = np.random.default_rng(0)
        for key, value in model.state_dict().items():
            if value.ndim == 1 and "transformer.encoder" not in key:
                start = 1.0 if key.endswith(("weight", "_variance")) else 0.0
                value.set_value((start + generator.uniform(-0.4, 0.4, value.shape)).astype(np.float32))


def test_numbers_of_paddleseg3d(shared_compat: Path) -> None:
    """105 million weights; the outputs go to 2400, so the tolerance is 1e-5 of them."""
    check_golden(shared_compat / "golden" / "transunet.json", tolerance=0.024)


def test_from_a_configuration_as_paddleseg3d_writes_it() -> None:
    backbone = {"type": "ResNet", "block_units": [1, 1, 1], "width_factor": 1}
    content = {"type": "TransUNet", "backbone": backbone, "classifier": "seg", "pretrained_path": None, "vis": False}
    sizes = {"hidden_size": 12, "num_heads": 2, "num_layers": 1, "mlp_dim": 8, "img_size": 32, "patches_grid": [2, 2]}
    model = build({**content, **sizes, "num_classes": 2, "zero_head": True}, "model")
    assert isinstance(model, TransUNet)
    assert (model.in_channels, model.num_classes, model.decoder.grid) == (3, 2, (2, 2))
    assert not model.segmentation_head[0].weight.numpy().any()
    weight = model.decoder.blocks[0].conv1[0].weight
    assert list(weight.shape) == [256, 1024, 3, 3]


@pytest.mark.parametrize("n_skip", [0, 1, 2])
def test_fewer_skips(n_skip: int) -> None:
    model = TransUNet(resnet(), **SMALL, n_skip=n_skip, num_classes=2)
    inputs = [block.conv1[0].weight.shape[1] for block in model.decoder.blocks]
    assert inputs == [32 + 256 * (n_skip > 0), 16 + 128 * (n_skip > 1), 12, 8]
    assert list(model(paddle.zeros([1, 1, 32, 48]))[0].shape) == [1, 2, 32, 48]


def test_maps_of_the_resnet() -> None:
    backbone = resnet(in_channels=2)
    backbone.eval()
    maps = backbone(paddle.to_tensor(image((1, 2, 64, 32))))
    assert [list(level.shape[1:]) for level in maps] == [[32, 32, 16], [128, 16, 8], [256, 8, 4], [512, 4, 2]]
    assert backbone.feat_channels == [level.shape[1] for level in maps]
    last = maps[1].numpy()
    assert not last[:, :, -1].any()
    assert not last[..., -1].any()
    assert last[:, :, -2].any()


def test_standardized_filters() -> None:
    layer = StandardizedConv2D(3, 4, 5, stride=2, padding=2)
    layer.weight.set_value(image((4, 3, 5, 5)) * 7 + 2)
    weight = layer.weight.numpy().reshape(4, -1).astype(np.float64)
    expected = (weight - weight.mean(1, keepdims=True)) / np.sqrt(weight.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(layer.standardized().numpy().reshape(4, -1), expected, atol=1e-5)
    x = paddle.to_tensor(image((2, 3, 12, 9), 1))
    filters = paddle.to_tensor(expected.reshape(4, 3, 5, 5).astype(np.float32))
    np.testing.assert_allclose(layer(x).numpy(), F.conv2d(x, filters, None, 2, 2).numpy(), atol=1e-4)


@pytest.mark.skipif(not is_available(), reason="no oneDNN for accelerated layers here")
def test_accelerated_filters() -> None:
    results = []
    for mode in ("off", "auto"):
        layer = StandardizedConv2D(3, 8, 3, stride=2, padding=1)
        layer.weight.set_value(image((8, 3, 3, 3), 2) * 5)
        accelerate(layer, mode)
        assert isinstance(layer, FastStandardizedConv2D) == (mode == "auto")
        x = paddle.to_tensor(image((2, 3, 12, 10), 3), stop_gradient=False)
        output = layer(x)
        (output * paddle.to_tensor(image(tuple(output.shape), 4))).sum().backward()
        results.append([value.numpy() for value in (output, x.grad, layer.weight.grad)])
    for plain, fast in zip(*results, strict=True):
        np.testing.assert_allclose(fast, plain, atol=1e-4)


def test_attention_by_the_formula() -> None:
    layer = Attention(6, 2, 0.0)
    x = image((2, 5, 6))
    query, key, value = (
        (x @ linear.weight.numpy() + linear.bias.numpy()).reshape(2, 5, 2, 3).transpose(0, 2, 1, 3)
        for linear in (layer.query, layer.key, layer.value)
    )
    scores = query @ key.swapaxes(-1, -2) / np.sqrt(3)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = (weights / weights.sum(-1, keepdims=True) @ value).transpose(0, 2, 1, 3).reshape(2, 5, 6)
    expected = mixed @ layer.out.weight.numpy() + layer.out.bias.numpy()
    np.testing.assert_allclose(layer(paddle.to_tensor(x)).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"block_units": [3, 4]}, "block_units: needs a list of 3"),
        ({"block_units": [3, 4, 0]}, "block_units"),
        ({"width_factor": 0.3}, "width_factor"),
        ({"width_factor": "1"}, "width_factor"),
        ({"in_channels": 0}, "in_channels"),
    ],
)
def test_wrong_arguments_of_the_resnet(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        resnet(**arguments)
