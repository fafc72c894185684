"""Sums per channel, and the bias gradient that is one."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from medicalseg import ops
from medicalseg.ops import functional as fast
from medicalseg.ops import layout
from medicalseg.ops import library as dnn
from medicalseg.ops.channel_sums import channel_sums

pytestmark = pytest.mark.skipif(not ops.is_available(), reason="this Paddle ships no usable oneDNN library")


@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 1, 1, 1, 1), (3, 17, 4, 6, 5), (2, 16, 20, 1, 40)])
@pytest.mark.parametrize("dtype", [paddle.float32, paddle.bfloat16])
def test_equal_numpys(shape: tuple[int, ...], dtype: paddle.dtype) -> None:
    if dtype == paddle.bfloat16 and not ops.supports_bf16():
        pytest.skip("no bfloat16 on this processor")
    values = np.random.default_rng(0).standard_normal(shape).astype("float32") + 1
    x = layout.copy(paddle.to_tensor(values), layout.empty(shape, dtype))
    result = paddle.zeros([shape[1]])
    channel_sums(shape, dnn.F32 if dtype == paddle.float32 else dnn.BF16)(x.data_ptr(), result.data_ptr())
    held = x.astype("float32").numpy().astype(np.float64)
    np.testing.assert_allclose(result.numpy(), held.sum(axis=(0, *range(2, held.ndim))), rtol=1e-5)


class _Up(nn.Layer):
    channels_last = True

    def __init__(self, layer: nn.Layer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return fast.plain(self.layer(x))


@pytest.mark.parametrize("stride", [(2, 2, 2), (1, 2, 1), (2, 2)])
def test_bias_of_a_transposed_convolution_between_fast_layers(stride: tuple[int, ...]) -> None:
    kind = {2: nn.Conv2DTranspose, 3: nn.Conv3DTranspose}[len(stride)]
    paddle.seed(1)
    model = _Up(kind(6, 4, list(stride), list(stride)))
    rng = np.random.default_rng(1)
    x = paddle.to_tensor(rng.standard_normal((2, 6, 5, 4, 3)[: 2 + len(stride)]).astype("float32"))
    found = []
    for mode in ("off", "auto"):
        ops.accelerate(model, mode)
        output = model(x)
        weights = np.random.default_rng(2).random(output.shape, dtype="float32")
        (output * paddle.to_tensor(weights)).sum().backward()
        found.append([parameter.grad.numpy() for parameter in model.parameters()])
        model.clear_gradients()
    for plain, quick in zip(*found, strict=True):
        np.testing.assert_allclose(quick, plain, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found[1][1], weights.sum(axis=(0, *range(2, weights.ndim))), rtol=1e-4)
