"""The simplified SegNeXt: counts, the same network computed with PyTorch, what every network must do."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import paddle
import pytest

from medicalseg.cvlibs import manager
from medicalseg.models import SegmentationModel, simple_segnext
from tests.models.base import ModelTests, image
from tests.models.configs import trainable_elements

SMALL = {"embed_dims": [8, 8, 16, 16], "depths": [1, 2, 1, 1], "align_channels": 8}
COUNTS = {
    "T": (4_804_481, 4_804_769),
    "S": (14_595_585, 14_596_161),
    "B": (27_554_817, 27_555_393),
    "L": (46_177_025, 46_177_601),
}


class TestSimpleSegNeXt(ModelTests):
    name = "SimpleSegNeXt"
    config = "ich/segnext_t.yml"
    random = True
    arguments: ClassVar[dict[str, Any]] = {"in_channels": 1, "num_classes": 2, **SMALL}
    shape = (2, 1, 40, 48)
    odd_sizes = ((33, 50), (7, 31), (1, 1))
    wrong_arguments = (
        ({"embed_dims": [8, 8]}, "embed_dims: needs a list of 4"),
        ({"depths": [1, 1, 1, 0]}, "depths: needs a list of 4"),
        ({"align_channels": 0}, "align_channels"),
        ({"bn_momentum": 1.0}, "bn_momentum"),
        ({"dropout_rate": -0.1}, "dropout_rate"),
        ({"drop_path_rate": 2}, "drop_path_rate"),
    )


@pytest.mark.parametrize("size", "TSBL")
def test_counts_are_those_of_the_comparison(size: str) -> None:
    model = manager.MODELS[f"SimpleSegNeXt_{size}"](1, 1)
    first = model.encoder.entries[0].proj[0].weight
    assert (trainable_elements(model), trainable_elements(model) + 2 * first.size) == COUNTS[size]
    if size == "T":
        assert trainable_elements(manager.MODELS["SimpleSegNeXt_T"](3, 1)) == COUNTS["T"][1]


class _InTorch:
    """The network as a formula over the weights by their order in our state dict, with `torch.nn.functional`."""

    def __init__(self, torch: Any, model: SegmentationModel) -> None:
        self.torch, self.f = torch, torch.nn.functional
        self.weights = {key: torch.from_numpy(value.numpy()) for key, value in model.state_dict().items()}
        self.bases = torch.from_numpy(model.hamburger.ham.bases.numpy())

    def conv(self, x: Any, name: str, stride: int = 1) -> Any:
        weight, bias = self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias")
        groups = x.shape[1] // weight.shape[1]
        padding = (weight.shape[2] // 2, weight.shape[3] // 2)
        return self.f.conv2d(x, weight, bias, stride, padding, 1, groups)

    def norm(self, x: Any, name: str) -> Any:
        given = [self.weights[f"{name}.{part}"] for part in ("_mean", "_variance", "weight", "bias")]
        return self.f.batch_norm(x, *given, eps=1e-5)

    def attention(self, x: Any, name: str) -> Any:
        value = self.f.gelu(self.conv(x, f"{name}.0"))
        seen = self.conv(value, f"{name}.2.square")
        for index in range(3):
            seen = seen + self.conv(self.conv(value, f"{name}.2.strips.{index}.0"), f"{name}.2.strips.{index}.1")
        return self.conv(self.conv(seen, f"{name}.2.mix") * value, f"{name}.3")

    def feed_forward(self, x: Any, name: str) -> Any:
        return self.conv(self.f.gelu(self.conv(self.conv(x, f"{name}.fc1"), f"{name}.dwconv")), f"{name}.fc2")

    def stage(self, x: Any, name: str, depth: int) -> Any:
        for index in range(2 * depth):
            part = f"{name}.{index}"
            body = self.feed_forward if index % 2 else self.attention
            x = x + self.weights[f"{part}.scale"] * body(self.norm(x, f"{part}.norm"), f"{part}.body")
        return self.norm(x, f"{name}.{2 * depth}")

    def encoder(self, x: Any) -> list[Any]:
        x = self.f.gelu(self.norm(self.conv(x, "encoder.entries.0.proj.0", 2), "encoder.entries.0.proj.1"))
        x = self.norm(self.conv(x, "encoder.entries.0.proj.3", 2), "encoder.entries.0.proj.4")
        outputs = []
        for index, depth in enumerate(SMALL["depths"]):
            x = self.conv(x, f"encoder.entries.{index}", 2) if index else x
            x = self.stage(x, f"encoder.stages.{index}", depth)
            outputs.append(x)
        return outputs

    def decomposed(self, x: Any) -> Any:
        """Lee and Seung's updates for X (C, n) ~ D C^T with D (C, r), C (n, r)."""
        results = []
        for data in x.flatten(2):
            d = self.bases[0]
            c = (data.T @ d).softmax(dim=1)
            for _ in range(6):
                c = c * (data.T @ d) / (c @ (d.T @ d) + 1e-7)
                d = d * (data @ c) / (d @ (c.T @ c) + 1e-7)
            c = c * (data.T @ d) / (c @ (d.T @ d) + 1e-7)
            results.append(d @ c.T)
        return self.torch.stack(results).reshape(x.shape)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        x = self.torch.from_numpy(x)
        features = self.encoder(x)[1:]
        size = features[0].shape[2:]
        resized = [self.f.interpolate(feature, size, mode="bilinear") for feature in features]
        y = self.f.relu(self.conv(self.torch.cat(resized, 1), "squeeze"))
        ham = self.decomposed(self.f.relu(self.conv(y, "hamburger.lower")))
        y = self.f.relu(y + self.conv(ham, "hamburger.upper"))
        logits = self.conv(self.conv(y, "align"), "classes")
        return self.f.interpolate(logits, x.shape[2:], mode="bilinear", align_corners=True).numpy()


def test_the_same_network_in_torch() -> None:
    torch = pytest.importorskip("torch")
    paddle.seed(5)
    model = TestSimpleSegNeXt().build()
    for index, (key, value) in enumerate(model.state_dict().items()):
        noise = np.abs(np.random.RandomState(index).standard_normal(value.shape)).astype(np.float32)
        if key.endswith(".scale"):
            value.set_value(0.1 + 0.1 * noise)
        elif value.ndim == 1 and key.endswith(("weight", "_variance")):
            value.set_value(1 + 0.3 * noise)
    model.eval()
    x = image((2, 1, 45, 70), 3)
    with paddle.no_grad():
        logits = model(paddle.to_tensor(x))[0].numpy()
    assert logits.std() > 0.1
    np.testing.assert_allclose(logits, _InTorch(torch, model)(x), rtol=0, atol=1e-4 * np.abs(logits).max())


def test_running_statistics_do_not_follow_the_last_batch() -> None:
    """One strange batch hardly matters after many others, unless the comparison's momentum is asked for."""
    moved = []
    for momentum in (0.9, 0.1):
        paddle.seed(2)
        model = TestSimpleSegNeXt().build(bn_momentum=momentum, dropout_rate=0.0)
        norm = model.encoder.entries[0].proj[1]
        model.train()
        with paddle.no_grad():
            for step in range(30):
                model(paddle.to_tensor(image((2, 1, 32, 32), step)))
            before = norm._variance.numpy()
            model(paddle.to_tensor(10 * image((2, 1, 32, 32), 99)))
        moved.append(float((norm._variance.numpy() / before).mean()))
    assert 5 < moved[0] < 15  # 0.9 + 0.1 * 100
    assert 80 < moved[1] < 100  # 0.1 + 0.9 * 100


def test_evaluation_depends_on_the_image_alone() -> None:
    model = TestSimpleSegNeXt().build()
    model.eval()
    images = paddle.to_tensor(image((3, 1, 33, 40), 1))
    with paddle.no_grad():
        together = model(images)[0].numpy()
        paddle.seed(4)
        alone = [model(images[i : i + 1])[0].numpy() for i in (2, 1, 0)]
    np.testing.assert_allclose(np.concatenate(alone[::-1]), together, atol=1e-5)


def test_training_draws_new_bases() -> None:
    model = TestSimpleSegNeXt().build(dropout_rate=0.0)
    model.train()
    x = paddle.to_tensor(image((2, 1, 32, 32), 1))
    with paddle.no_grad():
        assert float((model(x)[0] - model(x)[0]).abs().max()) > 1e-4
        assert list(model.state_dict()) == list(TestSimpleSegNeXt().build().state_dict())
    assert not [key for key in model.state_dict() if "bases" in key]
    assert simple_segnext.NMF2D(4, 2).bases.stop_gradient
