"""Paddle's layers between convolutions with oneDNN behind them: norms, activations, pooling, channel dropout."""

from __future__ import annotations

from typing import Any

import paddle
from paddle import nn

from medicalseg.ops import activation, layout, pooling
from medicalseg.ops import library as dnn
from medicalseg.ops.accelerated import ChainLayer
from medicalseg.ops.combine import ScaleChannelsFunction
from medicalseg.ops.convolution_layers import per_axis
from medicalseg.ops.normalization import normalize


class _BatchNorm(ChainLayer):
    def _fast(self, x: paddle.Tensor) -> paddle.Tensor | None:
        layer: Any = self
        if layer._data_format not in ("NCHW", "NCDHW", "NC") or layer.weight is None or layer.bias is None:
            return None
        stored = not layer.training if layer._use_global_stats is None else layer._use_global_stats
        if not stored and x.size == x.shape[1]:
            return None  # Paddle passes a single value per channel through as it is
        given = (layer._mean, layer._variance) if stored else None
        output, mean, variance = normalize(x, layer.weight, layer.bias, layer._epsilon, given)
        if not stored:
            self._follow(mean[0], variance[0])
        return output

    def _follow(self, mean: paddle.Tensor, variance: paddle.Tensor) -> None:
        layer: Any = self
        kept = layer._momentum
        with paddle.no_grad():
            for running, new in ((layer._mean, mean), (layer._variance, variance)):
                running.set_value(running * kept + new * (1 - kept))


class BatchNorm2D(_BatchNorm, nn.BatchNorm2D):
    """`paddle.nn.BatchNorm2D` through oneDNN."""


class BatchNorm3D(_BatchNorm, nn.BatchNorm3D):
    """`paddle.nn.BatchNorm3D` through oneDNN."""


class _InstanceNorm(ChainLayer):
    def _fast(self, x: paddle.Tensor) -> paddle.Tensor | None:
        layer: Any = self
        if layer.scale is None or layer.bias is None or layer._data_format not in ("NCHW", "NCDHW"):
            return None
        return normalize(x, layer.scale, layer.bias, layer._epsilon, per_sample=True)[0]


class InstanceNorm2D(_InstanceNorm, nn.InstanceNorm2D):
    """`paddle.nn.InstanceNorm2D` through oneDNN."""


class InstanceNorm3D(_InstanceNorm, nn.InstanceNorm3D):
    """`paddle.nn.InstanceNorm3D` through oneDNN."""


def _rectified(x: paddle.Tensor, algorithm: int, alpha: float) -> paddle.Tensor:
    if paddle.is_grad_enabled():
        return activation.RectifierFunction.apply(x, algorithm, alpha)
    return activation.rectify(x, algorithm, alpha)


class ReLU(ChainLayer, nn.ReLU):
    """`paddle.nn.ReLU` through oneDNN."""

    def _fast(self, x: paddle.Tensor) -> paddle.Tensor | None:
        return _rectified(x, dnn.ELTWISE_RELU_FROM_DST, 0.0)


class LeakyReLU(ChainLayer, nn.LeakyReLU):
    """`paddle.nn.LeakyReLU` through oneDNN."""

    def _fast(self, x: paddle.Tensor) -> paddle.Tensor | None:
        return _rectified(x, dnn.ELTWISE_RELU_FROM_DST, self._negative_slope) if self._negative_slope >= 0 else None


class ELU(ChainLayer, nn.ELU):
    """`paddle.nn.ELU` through oneDNN."""

    def _fast(self, x: paddle.Tensor) -> paddle.Tensor | None:
        return _rectified(x, dnn.ELTWISE_ELU_FROM_DST, self._alpha) if self._alpha >= 0 else None


class PReLU(ChainLayer, nn.PReLU):
    """`paddle.nn.PReLU` through oneDNN."""

    def _fast(self, x: paddle.Tensor) -> paddle.Tensor | None:
        weight = self._weight
        if self._data_format not in ("NCHW", "NCDHW") or weight.size not in (1, x.shape[1]):
            return None
        if paddle.is_grad_enabled():
            return activation.PReLUFunction.apply(x, weight)
        return activation.leak(x, weight)


class _Pool(ChainLayer):
    def _pooled(self, x: paddle.Tensor, algorithm: int, kernel: Any, stride: Any) -> paddle.Tensor | None:
        layer: Any = self
        axes = x.ndim - 2
        given = (per_axis(value, axes) for value in (kernel, kernel if stride is None else stride, layer.padding))
        sizes = [size for size in given if size is not None]
        if layer.data_format not in ("NCHW", "NCDHW") or len(sizes) < 3 or (layer.ceil_mode and _rounded(x, *sizes)):
            return None
        window = pooling.Window(tuple(x.shape), layout.kind(x), algorithm, *sizes)
        if min(window.output) < 1:
            return None
        return pooling.PoolingFunction.apply(x, window) if paddle.is_grad_enabled() else pooling.pool(x, window)[0]


def _rounded(x: paddle.Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...]) -> bool:
    """Whether windows do not come out even, so that rounding up makes a difference."""
    axes = zip(x.shape[2:], kernel, stride, padding, strict=True)
    return any((size + 2 * around - window) % step for size, window, step, around in axes)


class _MaxPool(_Pool):
    def _fast(self, x: paddle.Tensor) -> paddle.Tensor | None:
        layer: Any = self
        return None if layer.return_mask else self._pooled(x, dnn.POOLING_MAX, layer.ksize, layer.stride)


class MaxPool2D(_MaxPool, nn.MaxPool2D):
    """`paddle.nn.MaxPool2D` through oneDNN."""


class MaxPool3D(_MaxPool, nn.MaxPool3D):
    """`paddle.nn.MaxPool3D` through oneDNN."""


class _AvgPool(_Pool):
    def _fast(self, x: paddle.Tensor) -> paddle.Tensor | None:
        layer: Any = self
        exclusive = layer.exclusive
        divisor = getattr(layer, "divisor", None)
        algorithm = dnn.POOLING_AVERAGE_EXCLUDE_PADDING if exclusive else dnn.POOLING_AVERAGE_INCLUDE_PADDING
        return None if divisor else self._pooled(x, algorithm, layer.ksize, layer.stride)


class AvgPool2D(_AvgPool, nn.AvgPool2D):
    """`paddle.nn.AvgPool2D` through oneDNN."""


class AvgPool3D(_AvgPool, nn.AvgPool3D):
    """`paddle.nn.AvgPool3D` through oneDNN."""


class _ChannelDropout(ChainLayer):
    """Draws the same random numbers as Paddle's layer."""

    def _fast(self, x: paddle.Tensor) -> paddle.Tensor | None:
        layer: Any = self
        if not layer.training or layer.p == 0:
            return x
        factors = paddle.ones([*x.shape[:2], *(1 for _ in x.shape[2:])], "float32")
        factors = nn.functional.dropout(factors, p=layer.p, training=True, mode="upscale_in_train")
        return ScaleChannelsFunction.apply(x, factors)


class Dropout2D(_ChannelDropout, nn.Dropout2D):
    """`paddle.nn.Dropout2D` through oneDNN."""


class Dropout3D(_ChannelDropout, nn.Dropout3D):
    """`paddle.nn.Dropout3D` through oneDNN."""
