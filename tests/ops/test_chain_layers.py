"""Layers between convolutions on channels-last tensors, against Paddle's own on plain ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import paddle
import pytest
from paddle import nn

from medicalseg import ops
from medicalseg.models import UNet3D, VNet, VNetDeepSup
from medicalseg.ops import combine, layout
from medicalseg.ops import functional as fast

pytestmark = pytest.mark.skipif(not ops.is_available(), reason="this Paddle ships no usable oneDNN library")

SHAPE_3D = (2, 20, 6, 5, 4)
SHAPE_2D = (3, 16, 7, 6)
LAYERS: dict[str, tuple[Callable[[], nn.Layer], tuple[int, ...]]] = {
    "batch norm 3d": (lambda: nn.BatchNorm3D(20), SHAPE_3D),
    "batch norm 2d": (lambda: nn.BatchNorm2D(16, momentum=0.7, epsilon=1e-3), SHAPE_2D),
    "batch norm of one value per channel": (lambda: nn.BatchNorm3D(20), (1, 20, 1, 1, 1)),
    "batch norm with stored statistics": (lambda: nn.BatchNorm3D(20, use_global_stats=True), SHAPE_3D),
    "instance norm 3d": (lambda: nn.InstanceNorm3D(20), SHAPE_3D),
    "instance norm 2d": (lambda: nn.InstanceNorm2D(16), SHAPE_2D),
    "instance norm without scale": (lambda: nn.InstanceNorm3D(20, weight_attr=False, bias_attr=False), SHAPE_3D),
    "relu": (nn.ReLU, SHAPE_3D),
    "leaky relu": (lambda: nn.LeakyReLU(0.05), SHAPE_3D),
    "leaky relu, negative slope below 0": (lambda: nn.LeakyReLU(-0.5), SHAPE_3D),
    "elu": (lambda: nn.ELU(0.7), SHAPE_3D),
    "prelu per channel": (lambda: nn.PReLU(20, init=0.3), SHAPE_3D),
    "prelu, one slope": (lambda: nn.PReLU(1, init=-0.2), SHAPE_2D),
    "max pool 3d": (lambda: nn.MaxPool3D(2), SHAPE_3D),
    "max pool 3d, anisotropic": (lambda: nn.MaxPool3D([2, 2, 1], stride=[2, 2, 1]), SHAPE_3D),
    "max pool 2d, overlapping": (lambda: nn.MaxPool2D(3, stride=2, padding=1), SHAPE_2D),
    "max pool, ceil": (lambda: nn.MaxPool3D(2, ceil_mode=True), SHAPE_3D),
    "average pool 3d": (lambda: nn.AvgPool3D(2), SHAPE_3D),
    "average pool 2d, padding counted": (lambda: nn.AvgPool2D(3, stride=2, padding=1, exclusive=False), SHAPE_2D),
    "average pool 2d, padding left out": (lambda: nn.AvgPool2D(3, stride=2, padding=1), SHAPE_2D),
    "average pool, ceil without a difference": (lambda: nn.AvgPool3D([2, 1, 2], ceil_mode=True), SHAPE_3D),
    "group norm, by Paddle": (lambda: nn.GroupNorm(4, 20), SHAPE_3D),
    "softplus, by Paddle": (nn.Softplus, SHAPE_3D),
    "channel dropout 3d": (lambda: nn.Dropout3D(0.4), SHAPE_3D),
    "channel dropout 2d": (lambda: nn.Dropout2D(0.4), SHAPE_2D),
}


BY_PADDLE = {
    "batch norm of one value per channel",
    "batch norm with stored statistics",
    "instance norm without scale",
    "leaky relu, negative slope below 0",
    "max pool, ceil",
    "group norm, by Paddle",
    "softplus, by Paddle",
}


def varied(model: nn.Layer) -> nn.Layer:
    """The model with random parameters and statistics, so that none can be left out unnoticed."""
    generator = np.random.default_rng(12)
    for value in model.state_dict().values():
        value.set_value(paddle.to_tensor(generator.uniform(0.2, 1.5, value.shape).astype("float32")))
    return model


class Chain(nn.Layer):
    """One layer that is told its input comes from an accelerated one."""

    channels_last = True

    def __init__(self, layer: nn.Layer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return fast.plain(self.layer(x))


def channels_last(x: np.ndarray, dtype: str) -> paddle.Tensor:
    """A leaf with channels-last memory."""
    tensor = layout.as_channels_last(paddle.to_tensor(x), getattr(paddle, dtype))
    tensor.stop_gradient = False
    return tensor


def results(model: nn.Layer, x: paddle.Tensor) -> list[np.ndarray]:
    """Output, gradients of the input and the parameters, running statistics, output in evaluation."""
    model.train()
    paddle.seed(11)
    model.clear_gradients()
    output = model(x)
    weights = np.random.default_rng(5).normal(size=output.shape).astype("float32")
    (output * paddle.to_tensor(weights)).sum().backward()
    found = [output.numpy(), x.grad.astype("float32").numpy()]
    found += [parameter.grad.numpy() for parameter in model.parameters() if not parameter.stop_gradient]
    found += [value.numpy() for value in model.state_dict().values()]
    model.eval()
    with paddle.no_grad():
        return [*found, model(x).numpy()]


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_values_gradients_and_statistics_equal_paddles(name: str, dtype: str) -> None:
    if dtype == "bfloat16" and not ops.supports_bf16():
        pytest.skip("this processor has no bfloat16 arithmetic")
    make, shape = LAYERS[name]
    x = np.random.default_rng(1).normal(size=shape).astype("float32")
    x = paddle.to_tensor(x).astype(dtype).astype("float32").numpy()
    expected = results(varied(Chain(make())), paddle.to_tensor(x, stop_gradient=False))
    model = ops.accelerate(varied(Chain(make())), "auto", bf16=dtype == "bfloat16")
    if name not in BY_PADDLE:
        assert layout.is_fast(model.layer(channels_last(x, dtype)))
        model = ops.accelerate(varied(Chain(make())), "auto", bf16=dtype == "bfloat16")
    for ours, theirs in zip(results(model, channels_last(x, dtype)), expected, strict=True):
        scale = np.abs(theirs).max() + 1e-6
        np.testing.assert_allclose(ours / scale, theirs / scale, atol=2e-2 if dtype == "bfloat16" else 5e-6)


def test_functions_keep_the_layout_and_give_paddles_gradients() -> None:
    x = np.random.default_rng(2).normal(size=SHAPE_3D).astype("float32")
    y = np.random.default_rng(3).normal(size=SHAPE_3D).astype("float32")

    def run(a: paddle.Tensor, b: paddle.Tensor) -> tuple[list[np.ndarray], paddle.Tensor]:
        first, second = fast.fork(a)
        joined = fast.concat([fast.add(first, b), second])
        total = fast.plain(joined)
        weights = np.random.default_rng(4).normal(size=total.shape).astype("float32")
        (total * paddle.to_tensor(weights)).sum().backward()
        return [total.numpy(), a.grad.numpy(), b.grad.numpy()], joined

    theirs, _ = run(*(paddle.to_tensor(array, stop_gradient=False) for array in (x, y)))
    ours, joined = run(channels_last(x, "float32"), channels_last(y, "float32"))
    assert layout.is_fast(joined)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_parts_that_do_not_fit_are_an_error() -> None:
    a, b = (channels_last(np.zeros((1, 2, side, 4, 4), np.float32), "float32") for side in (4, 5))
    with pytest.raises(ValueError, match=r"(?i)concat|shape|dim"):
        fast.concat([a, b])


@pytest.mark.parametrize("shape", [(2, 4, 3, 3, 3), (2, 1, 3, 3, 3), (2, 4, 1, 1, 1)])
def test_gradients_of_a_sum_do_not_share_memory(shape: tuple[int, ...]) -> None:
    a, b = (channels_last(np.ones(shape, np.float32), "float32") for _ in range(2))
    for _ in range(2):  # the second pass adds to the gradients of the first
        combine.AddFunction.apply(a, b).sum().backward()
    np.testing.assert_array_equal(a.grad.numpy(), np.full(shape, 2, np.float32))
    np.testing.assert_array_equal(b.grad.numpy(), np.full(shape, 2, np.float32))


def test_functions_are_paddles_own_on_plain_tensors() -> None:
    x = paddle.arange(24, dtype="float32").reshape([1, 2, 3, 2, 2])
    assert fast.plain(x) is x
    assert all(part is x for part in fast.fork(x))
    np.testing.assert_array_equal(fast.add(x, x).numpy(), 2 * x.numpy())
    np.testing.assert_array_equal(fast.concat([x, x]).numpy(), np.concatenate([x.numpy()] * 2, axis=1))


def test_paddles_operations_understand_a_channels_last_tensor() -> None:
    x = np.random.default_rng(0).normal(size=SHAPE_3D).astype("float32")
    tensor = channels_last(x, "float32")
    assert not tensor.is_contiguous()
    np.testing.assert_array_equal(tensor.numpy(), x)
    np.testing.assert_array_equal((tensor * 2 + 1).numpy(), x * 2 + 1)
    np.testing.assert_allclose(tensor.mean(axis=[2, 3, 4]).numpy(), x.mean(axis=(2, 3, 4)), atol=1e-6)


def test_conversion_there_and_back_keeps_every_bit() -> None:
    x = np.random.default_rng(0).normal(size=SHAPE_3D).astype("float32")
    np.testing.assert_array_equal(layout.as_plain(channels_last(x, "float32")).numpy(), x)


def test_bfloat16_rounds_to_nearest() -> None:
    x = np.random.default_rng(0).normal(size=SHAPE_3D).astype("float32")
    rounded = layout.as_plain(channels_last(x, "bfloat16")).numpy()
    bits = x.view(np.uint32).astype(np.uint64)
    nearest_even = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    np.testing.assert_array_equal(rounded, nearest_even.astype(np.uint32).view(np.float32))


def test_a_layer_without_a_fast_form_switches_the_chain_off(caplog: pytest.LogCaptureFixture) -> None:
    model = Chain(nn.Sequential(nn.Conv3D(1, 4, 3, padding=1), nn.Hardtanh(), nn.Conv3D(4, 2, 1)))
    x = paddle.randn([1, 1, 5, 5, 5])
    expected = model(x).numpy()
    with caplog.at_level("INFO", logger="medicalseg"):
        ops.accelerate(model, "auto")
    assert not model.layer[0].chained
    np.testing.assert_allclose(model(x).numpy(), expected, atol=1e-5)


def test_frozen_parameters_get_no_gradient() -> None:
    model = Chain(nn.Sequential(nn.Conv3D(1, 4, 3), nn.BatchNorm3D(4), nn.PReLU(4), nn.Conv3D(4, 2, 1)))
    ops.accelerate(model, "auto")
    frozen = [model.layer[0].weight, model.layer[1].bias, model.layer[2]._weight, model.layer[3].bias]
    for parameter in frozen:
        parameter.stop_gradient = True
    model(paddle.randn([1, 1, 5, 5, 5])).sum().backward()
    assert all(parameter.grad is None for parameter in frozen)
    assert all(parameter.grad is not None for parameter in model.parameters() if not parameter.stop_gradient)


def test_parameters_move_with_the_first_step_as_paddles_do() -> None:
    def trained(mode: str) -> list[np.ndarray]:
        paddle.seed(3)
        model = Chain(nn.Sequential(nn.Conv3D(1, 4, 3), nn.BatchNorm3D(4), nn.ELU(), nn.Conv3D(4, 2, 1)))
        ops.accelerate(model, mode)
        optimizer = paddle.optimizer.SGD(0.1, parameters=model.parameters())
        for step in range(3):
            x = paddle.to_tensor(np.random.default_rng(step).normal(size=(2, 1, 6, 6, 6)).astype("float32"))
            model(x).square().mean().backward()
            optimizer.step()
            optimizer.clear_grad()
        return [value.numpy() for value in model.state_dict().values()]

    for ours, theirs in zip(trained("auto"), trained("off"), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bf16", [False, True])
def test_same_seed_same_bits(bf16: bool) -> None:
    if bf16 and not ops.supports_bf16():
        pytest.skip("this processor has no bfloat16 arithmetic")

    def weights() -> list[np.ndarray]:
        paddle.seed(8)
        model = UNet3D(num_classes=3, base_channels=4, depth=2, norm="instance", dropout=0.3)
        ops.accelerate(model, "auto", bf16=bf16)
        optimizer = paddle.optimizer.SGD(0.1, parameters=model.parameters())
        for step in range(2):
            x = np.random.default_rng(step).normal(size=(2, 1, 8, 6, 10)).astype("float32")
            model(paddle.to_tensor(x))[0].square().mean().backward()
            optimizer.step()
            optimizer.clear_grad(set_to_zero=False)
        return [value.numpy() for value in model.state_dict().values()]

    for first, second in zip(weights(), weights(), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("network", ["vnet", "vnet deep", "unet instance", "unet group"])
def test_networks_train_alike_with_and_without(network: str) -> None:
    make = {
        "vnet": lambda: VNet(elu=True, num_classes=3),
        "vnet deep": lambda: VNetDeepSup(elu=True, num_classes=3),
        "unet instance": lambda: UNet3D(num_classes=3, base_channels=4, depth=2, norm="instance"),
        "unet group": lambda: UNet3D(num_classes=3, base_channels=4, depth=2, norm="group"),
    }[network]
    side = 32 if network.startswith("vnet") else 12

    def outputs(mode: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
        paddle.seed(6)
        model = ops.accelerate(make(), mode)
        generator = np.random.default_rng(0)
        paddle.seed(9)
        heads = model(paddle.to_tensor(generator.normal(size=(1, 1, side, side, side)).astype("float32")))
        assert all(head.is_contiguous() and head.dtype == paddle.float32 for head in heads)
        parts = [(head * paddle.to_tensor(generator.normal(size=head.shape).astype("float32"))).sum() for head in heads]
        sum(parts[1:], parts[0]).backward()
        parameters = [p for name, p in model.named_parameters() if p.grad is not None and not name.endswith("bias")]
        return [head.numpy() for head in heads], [parameter.grad.numpy() for parameter in parameters]

    heads, gradients = zip(outputs("auto"), outputs("off"), strict=True)
    for ours, theirs in zip(*heads, strict=True):
        assert np.linalg.norm(ours - theirs) < 1e-4 * np.linalg.norm(theirs)
    for ours, theirs in zip(*gradients, strict=True):
        assert np.linalg.norm(ours - theirs) < 0.02 * np.linalg.norm(theirs)
