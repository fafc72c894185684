"""SegNeXt: counts, keys and numbers of PaddleSeg, and what every network must do."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import paddle
import pytest

from medicalseg import ops
from medicalseg.core.export_graph import compose_group_norms
from medicalseg.core.export_onnx import write_onnx
from medicalseg.cvlibs import manager
from medicalseg.cvlibs.components import build
from medicalseg.errors import ConfigError
from medicalseg.models import SegmentationModel, segnext
from medicalseg.models.backbones import mscan
from medicalseg.models.layers.drop_path import DropPath
from tests.models.base import ModelTests, image
from tests.models.configs import trainable_elements

GOLDEN = json.loads((Path(__file__).parent / "paddleseg" / "segnext.json").read_text())
SMALL = {"embed_dims": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "mlp_ratios": [2, 2, 2, 2]}
DECODER = {"channels": 16, "ham_channels": 16, "num_groups": 4, "ham_kwargs": {"MD_R": 4}}
SEED_COUNTS = {
    "T": (4_224_833, 4_263_414, 3_903_296),
    "S": (13_894_017, 13_932_886, 13_449_600),
    "B": (27_559_297, 27_636_310, 26_277_248),
    "L": (48_773_249, 48_926_550, 44_636_288),
}


class TestSegNeXt(ModelTests):
    name = "SegNeXt"
    random = True
    arguments: ClassVar[dict[str, Any]] = {"num_classes": 3}
    shape = (2, 1, 40, 48)
    odd_sizes = ((33, 50), (7, 31), (1, 1))
    wrong_arguments = (
        ({"decoder_cfg": {"widths": 3}}, "decoder_cfg: 'widths'"),
        ({"decoder_cfg": {"channels": 40}}, "decoder_cfg.channels: needs a multiple of num_groups 32"),
        ({"decoder_cfg": {**DECODER, "ham_kwargs": {"RANK": 3}}}, "ham_kwargs: 'RANK'"),
        ({"decoder_cfg": {**DECODER, "ham_kwargs": {"MD_R": 0}}}, "rank: needs a positive integer"),
        ({"decoder_cfg": {**DECODER, "ham_kwargs": {"MD_S": 2}}}, "MD_S: only 1"),
        ({"decoder_cfg": {**DECODER, "dropout_rate": 1}}, "decoder_cfg.dropout_rate: needs a number from 0"),
        ({"decoder_cfg": {**DECODER, "align_corners": "no"}}, "decoder_cfg.align_corners: needs true or false"),
        ({"decoder_cfg": 3}, "needs a mapping"),
        ({"backbone_indices": [2, 1]}, "rising numbers from 0 to 3"),
        ({"backbone_indices": [4]}, "rising numbers"),
        ({"backbone": paddle.nn.ReLU()}, "needs an encoder such as MSCAN_T, got ReLU"),
    )

    def build(self, **arguments: Any) -> SegmentationModel:
        backbone = mscan.MSCAN(arguments.pop("in_channels", 1), **SMALL)
        given = {"backbone": backbone, "decoder_cfg": DECODER, **self.arguments, **arguments}
        return segnext.SegNeXt(**given)


@pytest.mark.parametrize("size", "TSBL")
def test_counts_and_keys_are_those_of_paddleseg(size: str) -> None:
    expected = GOLDEN["sizes"][size]
    small = manager.MODELS[f"SegNeXt_{size}"](1, 1)
    large = {"in_channels": 3, "num_classes": 150}
    counts = (expected["1 channel, 1 class"], expected["3 channels, 150 classes"], expected["encoder"])
    assert counts == SEED_COUNTS[size]
    added = 2 * small.backbone.patch_embed1.proj[0].weight.size + 149 * (small.decode_head.conv_seg.weight.size + 1)
    assert trainable_elements(small) == counts[0]
    assert trainable_elements(small) + added == counts[1]
    assert trainable_elements(small.backbone) == counts[2]
    if size == "T":
        assert trainable_elements(manager.MODELS["SegNeXt_T"](**large)) == counts[1]
        assert [[key, list(value.shape)] for key, value in small.state_dict().items()] == GOLDEN["keys_of_T"]
    rates = [layer.rate for layer in small.sublayers() if isinstance(layer, DropPath)]
    np.testing.assert_allclose(rates, np.linspace(0, 0.3 if size == "L" else 0.1, len(rates)))
    assert _digest(small.state_dict()) == expected["sha256"]
    assert _digest(small.backbone.state_dict()) == expected["encoder_sha256"]


def _digest(state: dict[str, paddle.Tensor]) -> str:
    text = "".join(f"{key} {list(value.shape)}\n" for key, value in state.items())
    return hashlib.sha256(text.encode()).hexdigest()


def _noise(seed: int, shape: list[int]) -> np.ndarray:
    return np.random.RandomState(seed).standard_normal(shape)


def _weight(index: int, key: str, shape: list[int]) -> np.ndarray:
    w = _noise(index, shape)
    if "layer_scale" in key:
        w = 0.3 + 0.1 * w
    elif len(shape) == 4:
        w = w / np.sqrt(np.prod(shape[1:]))
    elif key.endswith("_variance"):
        w = 1 + 0.3 * np.abs(w)
    else:
        w = 1 + 0.1 * w if key.endswith("weight") else 0.1 * w
    return w.astype(np.float32)


@pytest.mark.parametrize("golden", GOLDEN["golden"], ids=["T", "small", "small in training"])
def test_numbers_are_those_of_paddleseg(golden: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(golden["model"], "model")
    state = model.state_dict()
    model.set_state_dict({key: _weight(i, key, list(value.shape)) for i, (key, value) in enumerate(state.items())})
    ham = model.decode_head.hamburger.ham
    bases = np.abs(_noise(9001, [1, ham.channels, ham.rank])).astype(np.float32)
    monkeypatch.setattr(paddle, "rand", lambda shape: paddle.to_tensor(bases).expand(shape))
    ham.bases.set_value(bases / np.linalg.norm(bases, axis=1, keepdims=True))
    model.train() if golden["training"] else model.eval()
    with paddle.no_grad():
        output = model(paddle.to_tensor(_noise(9002, golden["input_shape"]).astype(np.float32)))[0].numpy()
    expected = golden["output"]
    assert list(output.shape) == expected["shape"]
    np.testing.assert_allclose(output.reshape(-1)[expected["at"]], expected["values"], rtol=0, atol=2e-5)
    np.testing.assert_allclose([output.mean(), output.std()], [expected["mean"], expected["std"]], atol=1e-5)


def test_evaluation_depends_on_the_image_alone() -> None:
    paddle.seed(3)
    model = TestSegNeXt().build()
    model.eval()
    images = paddle.to_tensor(image((3, 1, 40, 33), 1))
    with paddle.no_grad():
        together = model(images)[0].numpy()
        paddle.seed(4)
        model(paddle.rand([1, 1, 64, 64]))
        alone = [model(images[i : i + 1])[0].numpy() for i in (2, 1, 0)]
    np.testing.assert_allclose(np.concatenate(alone[::-1]), together, atol=1e-6)
    again = TestSegNeXt().build()
    again.set_state_dict(model.state_dict())
    again.eval()
    with paddle.no_grad():
        np.testing.assert_array_equal(again(images)[0].numpy(), together)


def test_other_stages_for_the_decoder() -> None:
    model = TestSegNeXt().build(backbone_indices=[0, 2])
    model.eval()
    with paddle.no_grad():
        assert list(model(paddle.zeros([1, 1, 37, 40]))[0].shape) == [1, 3, 37, 40]


def test_config_with_a_backbone() -> None:
    config = {"type": "SegNeXt", "backbone": {"type": "MSCAN", "in_channels": 2, **SMALL}, "decoder_cfg": DECODER}
    model = build({**config, "num_classes": 5}, "model")
    assert (model.in_channels, model.num_classes) == (2, 5)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"in_channels": 0}, "in_channels"),
        ({"depths": [1, 2]}, "depths"),
        ({"embed_dims": [1, 2, 3, 0]}, "embed_dims"),
        ({"mlp_ratios": 4}, "mlp_ratios"),
        ({"atten_kernel_sizes": [4]}, "atten_kernel_sizes"),
        ({"mlp_ratios": ["1", 1, 1, 1]}, "mlp_ratios"),
        ({"drop_rate": "0.1"}, "drop_rate"),
        ({"drop_path_rate": 1.0}, "drop_path_rate"),
    ],
)
def test_wrong_arguments_of_the_encoder(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        mscan.MSCAN(**{**SMALL, **arguments})


@pytest.fixture(params=["SegNeXt", "SimpleSegNeXt"])
def model(request: pytest.FixtureRequest) -> SegmentationModel:
    """Either network, small, with residuals that matter."""
    small = {"embed_dims": [8, 8, 16, 16], "depths": [1, 1, 1, 1]}
    paddle.seed(6)
    built = TestSegNeXt().build() if request.param == "SegNeXt" else manager.MODELS[request.param](1, 3, **small)
    for key, value in built.state_dict().items():
        if "scale" in key:
            value.set_value(np.full(value.shape, 0.2, np.float32))
    return built


def test_onnx_of_any_size_gives_the_same(model: SegmentationModel, tmp_path: Path) -> None:
    if paddle.__version__.startswith("2."):
        pytest.skip("ONNX export needs Paddle 3")
    for package in ("paddle2onnx", "onnx"):
        pytest.importorskip(package)
    onnxruntime, openvino = (pytest.importorskip(package) for package in ("onnxruntime", "openvino"))
    model.eval()
    composed = compose_group_norms(copy.deepcopy(model))
    spec = [paddle.static.InputSpec([None, 1, None, None], "float32", "x")]
    paddle.jit.save(composed, str(tmp_path / "model"), input_spec=spec)
    file = tmp_path / "model.onnx"
    write_onnx(tmp_path / "model.json", tmp_path / "model.pdiparams", file)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    compiled = openvino.Core().compile_model(str(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for size in ((64, 48), (45, 70)):
        x = image((2, 1, *size), 4)
        with paddle.no_grad():
            expected = model(paddle.to_tensor(x))[0].numpy()
        np.testing.assert_allclose(session.run(None, {"x": x})[0], expected, atol=1e-4)
        np.testing.assert_allclose(next(iter(compiled([x]).values())), expected, atol=1e-4)


@pytest.mark.skipif(not ops.is_available(), reason="no oneDNN here")
def test_accelerated_layers_compute_the_same(model: SegmentationModel) -> None:
    weights = {key: value.numpy() for key, value in model.state_dict().items()}
    results = []
    try:
        for mode in ("off", "auto"):
            ops.accelerate(model, mode)
            model.set_state_dict(weights)
            results.append(_training_step(model))
    finally:
        ops.accelerate(model, "off")
    largest = max(np.abs(gradient).max() for gradient in results[0].values())
    for key, expected in results[0].items():
        np.testing.assert_allclose(results[1][key], expected, rtol=0, atol=1e-4 * largest, err_msg=key)


def _training_step(model: SegmentationModel) -> dict[str, np.ndarray]:
    """The logits and all gradients."""
    model.train()
    paddle.seed(8)
    logits = model(paddle.to_tensor(image((2, 1, 40, 45), 2)))[0]
    logits.square().mean().backward()
    found = {name: p.grad.numpy() for name, p in model.named_parameters() if p.grad is not None}
    model.clear_gradients()
    return {**found, "logits": logits.numpy()}
