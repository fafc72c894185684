"""SwinUNet and its Swin Transformer, compared with PaddleSeg3D's keys, shapes and numbers and with the papers."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import paddle
import pytest

from medicalseg.cvlibs import manager
from medicalseg.cvlibs.components import build
from medicalseg.errors import ConfigError, UserError
from medicalseg.models import SegmentationModel, SwinUNet
from medicalseg.models.backbones import SwinTransformer
from medicalseg.models.backbones.swin_transformer import VARIANTS, _source
from medicalseg.models.layers.swin_blocks import PatchExpand, PatchMerging, SwinOptions, SwinTransformerBlock
from medicalseg.models.layers.swin_windows import cut, put_together, relative_positions, shift_mask
from medicalseg.utils.weights_table import PUBLISHED
from tests.models.base import ModelTests, image
from tests.models.golden import check_golden

SMALL = {
    "type": "SwinTransformer", "img_size": 32, "patch_size": 2, "embed_dim": 6, "depths": [2, 2, 1],
    "num_heads": [1, 2, 3], "window_size": 4, "drop_path_rate": 0.3,
}  # fmt: skip


OPTIONS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"mlp_ratio": 0}, "mlp_ratio: needs a finite positive number, got 0"),
    ({"mlp_ratio": -1}, "mlp_ratio"),
    ({"qkv_bias": "false"}, "qkv_bias: needs true or false"),
    ({"qk_scale": 0}, "qk_scale: needs a finite positive number, got 0"),
    ({"qk_scale": "0.5"}, "qk_scale"),
    ({"drop_rate": 1.5}, "drop_rate: needs a number from 0 to below 1"),
    ({"drop_rate": "0.1"}, "drop_rate"),
    ({"attn_drop_rate": -0.1}, "attn_drop_rate"),
    ({"drop_path_rate": 2}, "drop_path_rate"),
    ({"drop_path_rate": "0.1"}, "drop_path_rate"),
    ({"norm_layer": "LayerNorm"}, "norm_layer: needs a class such as paddle.nn.LayerNorm"),
)


class TestSwinUNet(ModelTests):
    name = "SwinUNet"
    arguments: ClassVar = {"num_classes": 3, "depths": [2, 1, 1]}
    shape = (2, 3, 32, 32)
    config = "synapse/swinunet_abdomen_224_224_1_14k_5e-2.yml"
    published = "swinunet_abdomen"
    random = True
    odd_sizes = ((33, 50), (1, 40))
    wrong_arguments = (
        ({"depths": [2, 2]}, r"num_heads: has 3 values, depths has 2"),
        ({"depths": 2}, r"SwinUNet\.depths: needs a list"),
        ({"img_size": [224]}, r"SwinUNet\.img_size"),
        ({"final_upsample": False}, "final_upsample"),
        ({"backbone": {"type": "MSCAN_T"}}, "MSCAN is no SwinTransformer"),
        ({"num_heads": 3}, r"SwinUNet\.num_heads: needs a list"),
        ({"window_size": "7"}, r"SwinUNet\.window_size: needs a positive integer"),
        *((given, f"SwinUNet\\.{said}") for given, said in OPTIONS),
    )

    def build(self, in_channels: int = 3, **arguments: Any) -> SegmentationModel:
        backbone = {**SMALL, "in_chans": in_channels}
        return build({"type": self.name, **self.arguments, "backbone": backbone, **arguments}, "model")

    def test_grey_slices_in_all_layouts(self, model: SegmentationModel) -> None:
        model.eval()
        grey = image((2, 1, 32, 32), 8)
        with paddle.no_grad():
            expected = model(paddle.to_tensor(np.repeat(grey, 3, axis=1)))[0].numpy()
            for shape in ((2, 1, 32, 32), (2, 1, 1, 32, 32), (1, 2, 1, 32, 32)):
                logits = model(paddle.to_tensor(grey.reshape(shape)))[0].numpy()
                np.testing.assert_array_equal(logits.reshape(expected.shape), expected)


def test_numbers_of_paddleseg3d(shared_compat: Path) -> None:
    check_golden(shared_compat / "golden" / "swinunet.json", tolerance=5e-4)


def test_relative_positions_by_hand() -> None:
    index = relative_positions(3)
    for first in range(9):
        for second in range(9):
            rows, columns = first // 3 - second // 3 + 2, first % 3 - second % 3 + 2
            assert index[first, second] == rows * 5 + columns


def test_windows_are_cut_and_put_together() -> None:
    x = paddle.arange(2 * 4 * 6 * 3, dtype="float32").reshape([2, 4, 6, 3])
    windows = cut(x, (4, 6), 2)
    assert list(windows.shape) == [12, 4, 3]
    np.testing.assert_array_equal(windows[7].numpy(), x[1, 0:2, 2:4].reshape([4, 3]).numpy())
    np.testing.assert_array_equal(put_together(windows, (4, 6), 2).numpy(), x.numpy())


def test_only_neighbours_see_each_other_in_shifted_windows() -> None:
    """A pair is allowed if, before the shift, it was within one window of the shifted lattice."""
    size, window, shift = (8, 12), 4, 2
    rows, columns = np.meshgrid(np.arange(8), np.arange(12), indexing="ij")
    rows, columns = (np.roll(place, (-shift, -shift), (0, 1)) for place in (rows, columns))
    tiles = [
        (rows[i : i + 4, j : j + 4].ravel(), columns[i : i + 4, j : j + 4].ravel())
        for i in range(0, 8, 4)
        for j in range(0, 12, 4)
    ]
    mask = shift_mask(size, window, shift)
    for found, (row, column) in zip(mask, tiles, strict=True):
        near = (abs(row[:, None] - row) < window) & (abs(column[:, None] - column) < window)
        np.testing.assert_array_equal(found, np.where(near, 0, -100))


def test_attention_of_a_block_by_its_formula() -> None:
    """softmax(q k^T / sqrt(d) + B) v, head by head, within windows of a map that is shifted by half of one."""
    paddle.seed(3)
    block = SwinTransformerBlock(4, (4, 4), 2, True, 0.0, SwinOptions(window_size=2))
    assert block.shift == 1
    attention = block.attn
    x = np.roll(image((1, 4, 4, 4), 2), (-1, -1), (1, 2))
    windows = x.reshape(2, 2, 2, 2, 4).transpose(0, 2, 1, 3, 4).reshape(4, 4, 4)
    joined = windows @ attention.qkv.weight.numpy() + attention.qkv.bias.numpy()
    queries, keys, values = joined.reshape(4, 4, 3, 2, 2).transpose(2, 0, 3, 1, 4)
    bias = attention.relative_position_bias_table.numpy()[relative_positions(2)].transpose(2, 0, 1)
    scores = queries @ keys.swapaxes(-1, -2) / np.sqrt(2) + bias + shift_mask((4, 4), 2, 1)[:, None]
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    mixed = (weights @ values).swapaxes(1, 2).reshape(4, 4, 4)
    expected = mixed @ attention.proj.weight.numpy() + attention.proj.bias.numpy()
    expected = expected.reshape(2, 2, 2, 2, 4).transpose(0, 2, 1, 3, 4).reshape(1, 4, 4, 4)
    found = block._attended(paddle.to_tensor(np.roll(x, (1, 1), (1, 2)))).numpy()
    np.testing.assert_allclose(found, np.roll(expected, (1, 1), (1, 2)), atol=1e-6)


def test_merging_takes_neighbours_column_by_column() -> None:
    layer = PatchMerging(2, (4, 6), paddle.nn.LayerNorm)
    x = image((1, 4, 6, 2), 4)
    fours = np.concatenate([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], axis=-1)
    normal = (fours - fours.mean(-1, keepdims=True)) / np.sqrt(fours.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(
        layer(paddle.to_tensor(x)).numpy(), normal @ layer.reduction.weight.numpy(), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("factor", [2, 4])
def test_expanding_makes_squares_of_each_pixel(factor: int) -> None:
    layer = PatchExpand(3, 5, (2, 3), factor, lambda channels: paddle.nn.Identity())
    x = image((1, 2, 3, 3), 5)
    found = layer(paddle.to_tensor(x)).numpy()
    for row in range(2 * factor):
        for column in range(3 * factor):
            part = (row % factor * factor + column % factor) * 5
            weight = layer.expand.weight.numpy()[:, part : part + 5]
            np.testing.assert_allclose(found[0, row, column], x[0, row // factor, column // factor] @ weight, atol=1e-6)


def test_stochastic_depth_rises() -> None:
    model = build({"type": "SwinUNet", "backbone": SMALL, "depths": [2, 1, 1], "drop_path_rate": 0.3}, "model")
    encoder = [block.drop_path.rate for stage in model.backbone.layers for block in stage.blocks]
    np.testing.assert_allclose(encoder, np.linspace(0, 0.3, 5))
    decoder = [[block.drop_path.rate for block in stage.blocks] for stage in list(model.layers_up)[1:]]
    np.testing.assert_allclose(decoder[0] + decoder[1], [0.2, 0.0, 0.1], atol=1e-12)


def test_the_encoder_counts_where_both_differ(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "medicalseg"):
        build({"type": "SwinUNet", "backbone": SMALL, "depths": [1, 1, 1], "num_classes": 2}, "model")
        assert not caplog.records, "nobody wrote the defaults"
        own = {"embed_dim": 48, "img_size": [64, 32], "num_heads": [1, 2, 3], "window_size": 7}
        model = build({"type": "SwinUNet", "backbone": SMALL, "depths": [1, 1, 1], "num_classes": 2, **own}, "model")
    assert model.only_size == (32, 32)
    assert [record.getMessage() for record in caplog.records] == [
        "SwinUNet.img_size: [64, 32] is not the backbone's, (32, 32), which counts.",
        "SwinUNet.embed_dim: 48 is not the backbone's, 6, which counts.",
    ]


def test_learned_positions_and_unequal_sides() -> None:
    backbone = SwinTransformer((32, 16), 2, 1, embed_dim=4, depths=[1, 1], num_heads=[1, 1], window_size=4, ape=True)
    assert next(iter(backbone.state_dict())) == "absolute_pos_embed"
    model = SwinUNet(backbone, depths=[1, 1], num_classes=2)
    assert list(model(paddle.zeros([1, 1, 32, 16]))[0].shape) == [1, 2, 32, 16]
    with pytest.raises(UserError, match="images of 32x16"):
        model(paddle.zeros([1, 1, 16, 32]))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"img_size": 225}, "img_size: 225x225.*multiples of 224"),
        ({"img_size": 256}, "img_size: 256x256 cannot be cut into windows of 7"),
        ({"window_size": 0}, "window_size: needs a positive integer"),
        ({"depths": [2, 2, 0, 2]}, "depths: needs a list of positive integers"),
        ({"num_heads": 3}, "num_heads: needs a list of positive integers"),
        ({"num_heads": [3, 6, 12, 7]}, "7 heads do not divide 768 channels"),
        ({"ape": "no"}, "ape: needs true or false"),
        ({"patch_norm": "no"}, "patch_norm: needs true or false"),
        *((given, f"SwinTransformer.{said}") for given, said in OPTIONS),
    ],
)
def test_wrong_arguments_of_the_encoder(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        SwinTransformer(**arguments)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("tiny", 28_288_354), ("small", 49_606_258), ("base", 87_768_224), ("large", 196_532_476)],
)
def test_counts_of_the_published_classifiers(name: str, parameters: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The published counts include a classifier of 1000 classes behind the last norm; a window of 12 has 360 offsets
    more than one of 7, for each head of each block."""
    monkeypatch.setattr("medicalseg.models.backbones.swin_transformer.initialise", lambda layer: None)
    for window, side in ((7, 224), (12, 384))[: 1 + (name in ("base", "large"))]:
        with paddle.LazyGuard():
            backbone = manager.BACKBONES[f"SwinTransformer_{name}_patch4_window{window}_{side}"]()
        count = sum(int(np.prod(parameter.shape)) for parameter in backbone.parameters())
        heads = sum(depth * number for depth, number in zip(backbone.depths, backbone.num_heads, strict=True))
        classifier = 1000 * (backbone.feat_channels[-1] + 1)
        assert count + classifier == parameters + (360 * heads if window == 12 else 0)
        assert backbone.image_size == (side, side)


def test_where_pretrained_weights_come_from() -> None:
    assert _source("tiny_patch4_window7_224", False) is None
    assert _source("tiny_patch4_window7_224", "mine.pdparams") == "mine.pdparams"
    published = {entry.name for entry in PUBLISHED if entry.network == "SwinTransformer"}
    assert {_source(name, True) for name in VARIANTS if not name.startswith("tinier")} == published
    with pytest.raises(ConfigError, match="there are none of this size"):
        build({"type": "SwinTransformer_tinier_patch4_window7_224", "pretrained": True}, "backbone")
