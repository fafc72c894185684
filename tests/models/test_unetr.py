"""UNETR."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import paddle
import pytest
import yaml

from medicalseg.core.export import export
from medicalseg.errors import ConfigError, UserError
from medicalseg.inference.task import TaskSpec
from medicalseg.models import UNETR
from medicalseg.models.layers.fixed_size import as_shape
from medicalseg.models.layers.unetr_encoder import SelfAttention
from tests.extras import needs_onnx
from tests.models.base import ModelTests
from tests.models.golden import check_golden

SMALL = {
    **{"img_shape": [32, 16, 48], "embed_dim": 24, "num_heads": 3, "base_filters": 4, "dim_linear_block": 32},
    **{"num_layers": 5, "ext_layers": [1, 3, 4, 5]},
}


class TestUNETR(ModelTests):
    name = "UNETR"
    config = "msd_brain_seg/unetr_msd_brain_seg_1e-4.yml"
    published = "unetr_msd_brain_seg"
    random = True
    arguments: ClassVar = {**SMALL, "in_channels": 2, "num_classes": 3, "dropout": 0.1}
    shape = (2, 2, 32, 16, 48)
    misfits = (((32, 16, 32), (32, 16, 48)), ((64, 32, 96), (32, 16, 48)))
    wrong_arguments = (
        ({"img_shape": [32, 32, 40]}, r"UNETR.img_shape: \[32, 32, 40\] are no multiples of 16.*\[32, 32, 48\]"),
        ({"img_shape": "open('x')"}, "UNETR.img_shape: .* is not a size"),
        ({"img_shape": "(32, 32)"}, "UNETR.img_shape"),
        ({"num_heads": 5}, "UNETR.num_heads: 5 does not divide embed_dim, 24"),
        ({"embed_dim": 0}, "UNETR.embed_dim: needs a positive integer"),
        ({"patch_size": 8}, "UNETR.patch_size: 8, .* 16 voxels"),
        ({"ext_layers": [3, 6, 9]}, "UNETR.ext_layers: needs four rising numbers of blocks, 1 to 5"),
        ({"ext_layers": [1, 2, 5, 6]}, "UNETR.ext_layers"),
        ({"dropout": 1}, "UNETR.dropout: needs a number from 0 to below 1"),
        ({"ext_layers": [True, 3, 4, 5]}, "UNETR.ext_layers"),
        ({"norm": "layer"}, "norm: 'layer' is not one of"),
        ({"norm": ["batch"]}, r"norm: \['batch'\] is not one of"),
    )

    def test_only_size(self, model: UNETR) -> None:
        assert model.only_size == model.img_shape == (32, 16, 48)
        assert model.smallest_input == (32, 16, 48)
        with pytest.raises(UserError, match=r"model.img_shape\), got 16x16x16.*crops of it.*windows of it"):
            model.check_input_shape((16, 16, 16))

    @needs_onnx
    def test_as_many_tokens_as_heads_in_openvino(self, tmp_path: Path) -> None:
        """OpenVINO takes one axis for the other where queries, keys and values leave one transposition of five axes."""
        model = self.build(num_heads=6)
        written = export(model, TaskSpec(3, in_channels=2), tmp_path / "m", model_format="onnx")
        content = yaml.safe_load(written.read_text())["Deploy"]
        assert content["input_shape"] == [-1, *self.shape[1:]]
        assert content["task"]["sliding"]["window"] == [32, 16, 48]
        assert all(check["accepted"] for check in content["checks"] if check["precision"] == "fp32")


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_other_norms(norm: str) -> None:
    model = UNETR(**SMALL, norm=norm)
    assert list(model(paddle.zeros([1, 4, 32, 16, 48]))[0].shape) == [1, 4, 32, 16, 48]


def test_blocks_behind_the_last_that_is_used() -> None:
    model = UNETR(**{**SMALL, "img_shape": 16, "ext_layers": (1, 2, 3, 4), "num_layers": 6})
    model(paddle.zeros([1, 4, 16, 16, 16]))[0].sum().backward()
    without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert without == set(model.unused_parameters)
    assert {name.split(".")[2] for name in without} == {"4", "5"}


def test_attention_is_that_of_its_formula() -> None:
    """softmax(q k' / sqrt(d)) v head by head, from the columns that each head has in `to_qvk`."""
    layer = SelfAttention(6, 2)
    x = np.random.default_rng(1).standard_normal((1, 4, 6)).astype(np.float32)
    columns = (x[0] @ layer.to_qvk.weight.numpy()).reshape(4, 3, 3, 2)
    mixed = []
    for head in range(2):
        q, k, v = (columns[:, :, part, head] for part in range(3))
        scores = np.exp(q @ k.T / np.sqrt(3))
        mixed.append(scores / scores.sum(axis=1, keepdims=True) @ v)
    expected = np.concatenate(mixed, axis=1) @ layer.W_0.weight.numpy()
    np.testing.assert_allclose(layer(paddle.to_tensor(x)).numpy()[0], expected, rtol=1e-4, atol=1e-5)


def test_sizes_from_texts() -> None:
    assert as_shape("(128, 128, 64)", "n") == (128, 128, 64)
    assert as_shape("[16,16,16]", "n") == as_shape(16, "n") == (16, 16, 16)
    for wrong in ("__import__('os')", "(1, 2", "x", "(0, 1, 2)", None, [1.5, 2, 3], "1e9999"):
        with pytest.raises(ConfigError, match=r"^n: "):
            as_shape(wrong, "n")


def test_numbers_of_paddleseg3d(shared_compat: Path) -> None:
    """Logits reach 7.8 in size; the same network in float64 differs from the recorded numbers by 1.1e-4."""
    check_golden(shared_compat / "golden" / "unetr.json", tolerance=3e-4)
