"""Paddle's convolution layers with oneDNN behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import paddle
from paddle import nn

from medicalseg.ops import layout, pool
from medicalseg.ops.accelerated import Accelerated
from medicalseg.ops.convolution import Convolution, Geometry, convolution
from medicalseg.ops.library import OneDNNError


class ConvolutionFunction(paddle.autograd.PyLayer):
    """Convolution with gradients to data, weights and bias."""

    @staticmethod
    def forward(
        ctx: Any, x: paddle.Tensor, weight: paddle.Tensor, bias: paddle.Tensor | None, primitives: Convolution
    ) -> paddle.Tensor:
        """x: (N, C, *spatial) laid out as `primitives` says."""
        ctx.primitives = primitives
        ctx.wanted = layout.trained(x, weight) if bias is None else layout.trained(x, weight, bias)
        x = _source(x, primitives.geometry)
        ctx.save_for_backward(x, weight)
        return convolve(x, weight, bias, primitives)

    @staticmethod
    def backward(ctx: Any, gradient: paddle.Tensor) -> tuple[paddle.Tensor | None, ...]:
        """Gradients of x, weight and bias."""
        x, weight = layout.taken(ctx)
        gradient = _output(gradient, ctx.primitives.geometry)
        primitives, (data_wanted, *parameters_wanted) = ctx.primitives, ctx.wanted
        gradients: list[paddle.Tensor | None] = [None] * len(ctx.wanted)
        if any(parameters_wanted):
            shapes = (weight.shape, [gradient.shape[1]])[: len(parameters_wanted)]
            made = [paddle.empty(shape, "float32") for shape in shapes]
            addresses = [array.data_ptr() for array in made]
            primitives.backward_weights(x.data_ptr(), gradient.data_ptr(), *addresses)
            gradients[1:] = layout.only(parameters_wanted, made)
        if data_wanted:
            data_gradient = gradients[0] = _empty(x.shape, primitives.geometry, primitives.geometry.source_bf16)
            primitives.backward_data(gradient.data_ptr(), weight.data_ptr(), data_gradient.data_ptr())
        return tuple(gradients)


def _dtype(bf16: bool) -> paddle.dtype:
    return paddle.bfloat16 if bf16 else paddle.float32


def _source(x: paddle.Tensor, geometry: Geometry) -> paddle.Tensor:
    return x.contiguous() if geometry.plain else layout.as_channels_last(x, _dtype(geometry.source_bf16))


def _output(gradient: paddle.Tensor, geometry: Geometry) -> paddle.Tensor:
    return gradient.contiguous() if geometry.plain else layout.as_channels_last(gradient, _dtype(geometry.output_bf16))


def _empty(shape: Sequence[int], geometry: Geometry, bf16: bool) -> paddle.Tensor:
    make = pool.empty if geometry.plain else layout.empty
    return make(list(shape), _dtype(bf16))


def convolve(
    x: paddle.Tensor, weight: paddle.Tensor, bias: paddle.Tensor | None, primitives: Convolution
) -> paddle.Tensor:
    """The convolution without a gradient."""
    geometry = primitives.geometry
    output = _empty(geometry.output, geometry, geometry.output_bf16)
    address = None if bias is None else bias.data_ptr()
    primitives.forward(x.data_ptr(), weight.data_ptr(), address, output.data_ptr())
    return output


class _Convolution(Accelerated):
    """What the accelerated convolutions share; mixed in before one of Paddle's layers."""

    transposed = False

    @paddle.jit.not_to_static
    def forward(self, x: paddle.Tensor, *args: Any, **kwargs: Any) -> paddle.Tensor:
        """Same as the layer it stands for."""
        primitives = None if args or kwargs else self._primitives(x)
        if primitives is None:
            return super().forward(x, *args, **kwargs)  # type: ignore[misc]
        weight, bias = self.filters(), self.bias  # type: ignore[attr-defined]
        if paddle.is_grad_enabled():
            return ConvolutionFunction.apply(x, weight, bias, primitives)
        return convolve(_source(x, primitives.geometry), weight, bias, primitives)

    def filters(self) -> paddle.Tensor:
        """What is applied, of the weight's shape: the weight, unless a subclass computes it from that."""
        return self.weight  # type: ignore[attr-defined]

    def _primitives(self, x: paddle.Tensor) -> Convolution | None:
        if not self._fits(x):
            return None
        geometry = self._geometry(tuple(x.shape))
        if min(geometry.output) < 1:
            return None
        if geometry.bf16 and not geometry.sound_in_bf16:
            geometry = replace(geometry, bf16=False)
        try:
            return convolution(geometry)
        except OneDNNError:
            return None

    def _fits(self, x: paddle.Tensor) -> bool:
        layer: Any = self
        channels = layer.weight.shape[0] if self.transposed else layer.weight.shape[1] * layer._groups
        return (
            self._takes(x)
            and layer.weight.dtype == paddle.float32
            and x.ndim == layer.weight.ndim
            and x.shape[1] == channels
            and layer._data_format in ("NCHW", "NCDHW")
            and getattr(layer, "_padding_mode", "zeros") == "zeros"
            and per_axis(layer._padding, x.ndim - 2) is not None
        )

    def _geometry(self, source: tuple[int, ...]) -> Geometry:
        layer: Any = self
        axes = len(source) - 2
        extra = per_axis(getattr(layer, "output_padding", 0), axes) if self.transposed else None
        return Geometry(
            source=source,
            weight=tuple(layer.weight.shape),
            stride=per_axis(layer._stride, axes) or (),
            padding=per_axis(layer._padding, axes) or (),
            dilation=per_axis(layer._dilation, axes) or (),
            groups=layer._groups,
            bias=layer.bias is not None,
            transposed=self.transposed,
            output_padding=extra if extra and any(extra) else (),
            bf16=self.bf16,
            source_bf16=self.bf16 and self.chained,
            output_bf16=self.bf16 and self.chained and not self.head,
            plain=not self.chained,
        )


def per_axis(value: Any, axes: int) -> tuple[int, ...] | None:
    """`value` as one integer per spatial axis, None where it is given in another form (pairs, "SAME")."""
    if isinstance(value, int):
        return (value,) * axes
    if isinstance(value, (list, tuple)) and len(value) == axes and all(isinstance(item, int) for item in value):
        return tuple(value)
    return None


class Conv2D(_Convolution, nn.Conv2D):
    """`paddle.nn.Conv2D` through oneDNN."""


class Conv3D(_Convolution, nn.Conv3D):
    """`paddle.nn.Conv3D` through oneDNN."""


class Conv2DTranspose(_Convolution, nn.Conv2DTranspose):
    """`paddle.nn.Conv2DTranspose` through oneDNN."""

    transposed = True


class Conv3DTranspose(_Convolution, nn.Conv3DTranspose):
    """`paddle.nn.Conv3DTranspose` through oneDNN."""

    transposed = True
