"""SegFormer and its Mix Transformer, compared with PaddleSeg's keys, shapes and numbers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import paddle
import pytest

from medicalseg.cvlibs import manager
from medicalseg.cvlibs.components import build
from medicalseg.errors import ConfigError
from medicalseg.models import SegFormer
from medicalseg.models.backbones import MixVisionTransformer, MixVisionTransformer_B0, mix_transformer
from tests.models.base import ModelTests, image
from tests.models.configs import trainable_elements
from tests.models.golden import check_output, wave, weight

REFERENCE = json.loads((Path(__file__).parent / "paddleseg" / "segformer.json").read_text())
COUNTS = {
    "B0": (3_711_265, 3_752_694),
    "B1": (13_671_233, 13_715_798),
    "B2": (27_341_121, 27_461_974),
    "B3": (47_216_961, 47_337_814),
    "B4": (63_987_521, 64_108_374),
    "B5": (84_587_841, 84_708_694),
}


class TestSegFormer(ModelTests):
    name = "SegFormer_B0"
    config = "ich/segformer_b0.yml"
    random = True
    arguments: ClassVar = {"in_channels": 2, "num_classes": 3, "embedding_dim": 32}
    shape = (2, 2, 32, 64)
    wrong_arguments = (
        ({"embedding_dim": 0}, "SegFormer.embedding_dim"),
        ({"drop_path_rate": 1}, "drop_path_rate"),
        ({"align_corners": "no"}, "SegFormer.align_corners: needs true or false"),
    )


def entries(model: paddle.nn.Layer) -> list[list[Any]]:
    return [[key, list(value.shape)] for key, value in model.state_dict().items()]


@pytest.mark.parametrize("size", COUNTS)
def test_keys_shapes_and_counts(size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mix_transformer, "_initialise", lambda layer: None)
    with paddle.LazyGuard():
        model = manager.MODELS[f"SegFormer_{size}"](in_channels=1, num_classes=1)
    expected, own = REFERENCE["variants"][size], entries(model)
    if size == "B0":
        assert own == REFERENCE["state_dict_of_B0"]
    assert len(own) == expected["entries"]
    assert hashlib.sha256(json.dumps(own).encode()).hexdigest() == expected["sha256_1_1"]
    assert trainable_elements(model) == expected["trainable_1_1"] == COUNTS[size][0]


@pytest.mark.parametrize("size", COUNTS)
def test_counts_of_the_paper_follow_from_the_shapes(size: str) -> None:
    """3 channels instead of 1 add two planes of the first convolution, 150 classes 149 rows of the last."""
    first = 2 * 7 * 7 * (32 if size == "B0" else 64)
    last = 149 * ((256 if size in ("B0", "B1") else 768) + 1)
    assert COUNTS[size][0] + first + last == COUNTS[size][1] == REFERENCE["variants"][size]["trainable_3_150"]


def test_colour_and_150_classes() -> None:
    model = manager.MODELS["SegFormer_B0"](num_classes=150)
    assert (
        hashlib.sha256(json.dumps(entries(model)).encode()).hexdigest() == (REFERENCE["variants"]["B0"]["sha256_3_150"])
    )
    assert trainable_elements(model) == COUNTS["B0"][1]


@pytest.mark.parametrize("case", REFERENCE["cases"], ids=lambda case: f"{case['size']}-{case['input_shape']}")
def test_numbers_of_paddleseg(case: dict[str, Any]) -> None:
    names = ("in_channels", "num_classes", "align_corners")
    model = manager.MODELS[f"SegFormer_{case['size']}"](**{name: case[name] for name in names})
    state = model.state_dict()
    model.set_state_dict({key: weight(i, key, list(v.shape), 0.0) for i, (key, v) in enumerate(state.items())})
    model.eval()
    shape = case["input_shape"]
    x = paddle.to_tensor(wave(int(np.prod(shape)), 0.2, 0.013).reshape(shape).astype(np.float32))
    with paddle.no_grad():
        outputs = [*model.backbone(x), *model(x)]
        model.as_published = True
        outputs += model(x)
    for output, expected in zip(outputs, [*case["maps"], case["output"], case["output"]], strict=True):
        check_output(output.numpy().astype(np.float64), expected, 1e-4)


def test_both_forms_of_the_decoder_have_the_same_gradients() -> None:
    model = manager.MODELS["SegFormer_B0"](in_channels=1, embedding_dim=24, drop_path_rate=0)
    model.dropout.p = 0
    x = paddle.to_tensor(image((2, 1, 40, 56)))
    gradients = []
    for model.as_published in (False, True):
        model(x)[0].square().mean().backward()
        trained = {name: p for name, p in model.named_parameters() if not p.stop_gradient}
        gradients.append({name: p.grad.numpy() for name, p in trained.items()})
        model.clear_gradients()
    scale = max(float(np.abs(value).max()) for value in gradients[1].values())
    for name, value in gradients[1].items():
        np.testing.assert_allclose(gradients[0][name], value, atol=1e-5 * scale, err_msg=name)


def test_from_a_configuration_as_paddleseg_writes_it() -> None:
    backbone = {"type": "MixVisionTransformer_B0", "in_channels": 5}
    model = build({"type": "SegFormer", "num_classes": 2, "backbone": backbone, "embedding_dim": 16}, "model")
    assert isinstance(model, SegFormer)
    assert (model.in_channels, model.num_classes, model.smallest_side) == (5, 2, 29)


def test_weights_start_as_published() -> None:
    paddle.seed(0)
    backbone = MixVisionTransformer(embed_dims=(64, 64, 64, 64), num_heads=(1, 2, 2, 4), depths=(1, 1, 1, 1))
    block = backbone.block2[0]
    linear = block.mlp.fc1.weight.numpy()
    assert linear.std() == pytest.approx(0.02, rel=0.05)
    assert block.mlp.dwconv.dwconv.weight.numpy().std() == pytest.approx((2 / 9) ** 0.5, rel=0.1)
    assert backbone.patch_embed1.proj.weight.numpy().std() == pytest.approx((2 / (49 * 64)) ** 0.5, rel=0.05)


def test_stochastic_depth_rises_to_a_tenth() -> None:
    backbone = MixVisionTransformer_B0()
    rates = [block.drop_path.rate for stage in range(1, 5) for block in getattr(backbone, f"block{stage}")]
    np.testing.assert_allclose(rates, np.linspace(0, 0.1, 8))


def test_mix_transformer_of_other_widths_runs() -> None:
    backbone = MixVisionTransformer(
        in_channels=1, embed_dims=(8, 8, 12, 16), num_heads=(1, 2, 3, 4), mlp_ratios=(2, 2, 2, 2), depths=(1, 1, 2, 1),
        sr_ratios=(4, 2, 1, 1), drop_rate=0.1, attn_drop_rate=0.1,
    )  # fmt: skip
    model = SegFormer(num_classes=2, backbone=backbone, embedding_dim=8)
    assert model.smallest_side == 13
    assert list(model(paddle.to_tensor(image((1, 1, 20, 24))))[0].shape) == [1, 2, 20, 24]
    maps = backbone(paddle.to_tensor(image((1, 1, 32, 64))))
    assert [list(level.shape) for level in maps] == [[1, 8, 8, 16], [1, 8, 4, 8], [1, 12, 2, 4], [1, 16, 1, 2]]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"in_channels": 0}, "in_channels"),
        ({"embed_dims": (8, 8, 8)}, "embed_dims: needs a list of 4"),
        ({"num_heads": (3, 2, 4, 8)}, "num_heads that divide"),
        ({"sr_ratios": (8, 4, 2, 0)}, "sr_ratios"),
        ({"drop_path_rate": -0.1}, "drop_path_rate"),
        ({"drop_path_rate": "0.1"}, "drop_path_rate"),
        ({"drop_rate": 1}, "MixVisionTransformer.drop_rate"),
        ({"attn_drop_rate": None}, "attn_drop_rate"),
        ({"mlp_ratios": (4, 4, 4)}, "mlp_ratios: needs a list of 4 positive numbers"),
        ({"qk_scale": 0}, "qk_scale: needs a finite positive number"),
        ({"qkv_bias": 1}, "qkv_bias: needs true or false"),
    ],
)
def test_wrong_arguments_of_the_encoder(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        MixVisionTransformer(**arguments)


def test_an_encoder_that_does_not_fit() -> None:
    with pytest.raises(ConfigError, match="Linear has no feat_channels"):
        SegFormer(num_classes=2, backbone=paddle.nn.Linear(2, 2), embedding_dim=8)
