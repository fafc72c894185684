"""Paddle's convolution layers with oneDNN behind them.

`accelerate` changes the class of a model's convolution layers and nothing else: parameters, names, state_dict and
hooks stay. A layer computes through oneDNN only where that is possible (eager mode, CPU, float32) and is Paddle's own
layer everywhere else, so `paddle.jit.to_static`, export and GPUs are not affected.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import paddle
from paddle import nn

from medicalseg.errors import UserError
from medicalseg.ops import library
from medicalseg.ops.convolution import Convolution, Geometry, convolution
from medicalseg.ops.process import default_threads, plain_threads, set_openmp_threads

ENVIRONMENT_VARIABLE = "MEDICALSEG_CPU_ACCEL"
MODES = ("auto", "off")


class _ConvolutionFunction(paddle.autograd.PyLayer):
    """Convolution with gradients to data, weights and bias."""

    @staticmethod
    def forward(
        ctx: Any, x: paddle.Tensor, weight: paddle.Tensor, bias: paddle.Tensor | None, primitives: Convolution
    ) -> paddle.Tensor:
        ctx.primitives = primitives
        ctx.needs_data = not x.stop_gradient
        ctx.has_bias = bias is not None
        ctx.save_for_backward(x, weight)
        return _forward(x, weight, bias, primitives)

    @staticmethod
    def backward(ctx: Any, gradient: paddle.Tensor) -> tuple[paddle.Tensor | None, ...]:
        x, weight = ctx.saved_tensor()
        gradient = gradient.contiguous()
        weight_gradient = paddle.empty(weight.shape, "float32")
        bias_gradient, bias_address = None, None
        if ctx.has_bias and ctx.primitives.geometry.bf16:
            bias_gradient = gradient.sum(axis=[0, *range(2, gradient.ndim)])
        elif ctx.has_bias:
            bias_gradient = paddle.empty([gradient.shape[1]], "float32")
            bias_address = bias_gradient.data_ptr()
        ctx.primitives.backward_weights(x.data_ptr(), gradient.data_ptr(), weight_gradient.data_ptr(), bias_address)
        data_gradient = None
        if ctx.needs_data:
            data_gradient = paddle.empty(x.shape, "float32")
            ctx.primitives.backward_data(gradient.data_ptr(), weight.data_ptr(), data_gradient.data_ptr())
        gradients = (data_gradient, weight_gradient)
        return (*gradients, bias_gradient) if ctx.has_bias else gradients


def _forward(
    x: paddle.Tensor, weight: paddle.Tensor, bias: paddle.Tensor | None, primitives: Convolution
) -> paddle.Tensor:
    output = paddle.empty(primitives.geometry.output, "float32")
    address = None if bias is None else bias.data_ptr()
    primitives.forward(x.data_ptr(), weight.data_ptr(), address, output.data_ptr())
    return output


class _Accelerated:
    """What the accelerated layers share; mixed in before one of Paddle's layers."""

    bf16 = False
    transposed = False

    @paddle.jit.not_to_static
    def forward(self, x: paddle.Tensor, *args: Any, **kwargs: Any) -> paddle.Tensor:
        """Same as the layer it stands for."""
        primitives = None if args or kwargs else self._primitives(x)
        if primitives is None:
            return super().forward(x, *args, **kwargs)  # type: ignore[misc]
        x = x.contiguous()
        weight, bias = self.weight, self.bias  # type: ignore[attr-defined]
        if paddle.is_grad_enabled():
            return _ConvolutionFunction.apply(x, weight, bias, primitives)
        return _forward(x, weight, bias, primitives)

    def _primitives(self, x: paddle.Tensor) -> Convolution | None:
        if not paddle.in_dynamic_mode() or not self._fits(x):
            return None
        geometry = self._geometry(tuple(x.shape))
        if min(geometry.output) < 1:
            return None
        if geometry.bf16 and not geometry.sound_in_bf16:
            geometry = replace(geometry, bf16=False)
        return convolution(geometry)

    def _fits(self, x: paddle.Tensor) -> bool:
        layer: Any = self
        channels = layer.weight.shape[0] if self.transposed else layer.weight.shape[1] * layer._groups
        return (
            x.place.is_cpu_place()
            and x.dtype == paddle.float32
            and layer.weight.dtype == paddle.float32
            and x.ndim == layer.weight.ndim
            and x.shape[1] == channels
            and min(x.shape) > 0
            and layer._data_format in ("NCHW", "NCDHW")
            and getattr(layer, "_padding_mode", "zeros") == "zeros"
            and _per_axis(layer._padding, x.ndim - 2) is not None
        )

    def _geometry(self, source: tuple[int, ...]) -> Geometry:
        layer: Any = self
        axes = len(source) - 2
        extra = _per_axis(getattr(layer, "output_padding", 0), axes) if self.transposed else None
        return Geometry(
            source=source,
            weight=tuple(layer.weight.shape),
            stride=_per_axis(layer._stride, axes) or (),
            padding=_per_axis(layer._padding, axes) or (),
            dilation=_per_axis(layer._dilation, axes) or (),
            groups=layer._groups,
            bias=layer.bias is not None,
            transposed=self.transposed,
            output_padding=extra if extra and any(extra) else (),
            bf16=self.bf16,
        )


def _per_axis(value: Any, axes: int) -> tuple[int, ...] | None:
    """`value` as one integer per spatial axis, None where it is given in another form (pairs, "SAME")."""
    if isinstance(value, int):
        return (value,) * axes
    if isinstance(value, (list, tuple)) and len(value) == axes and all(isinstance(item, int) for item in value):
        return tuple(value)
    return None


class Conv2D(_Accelerated, nn.Conv2D):
    """`paddle.nn.Conv2D` through oneDNN."""


class Conv3D(_Accelerated, nn.Conv3D):
    """`paddle.nn.Conv3D` through oneDNN."""


class Conv2DTranspose(_Accelerated, nn.Conv2DTranspose):
    """`paddle.nn.Conv2DTranspose` through oneDNN."""

    transposed = True


class Conv3DTranspose(_Accelerated, nn.Conv3DTranspose):
    """`paddle.nn.Conv3DTranspose` through oneDNN."""

    transposed = True


ACCELERATED: dict[type, type] = {
    nn.Conv2D: Conv2D,
    nn.Conv3D: Conv3D,
    nn.Conv2DTranspose: Conv2DTranspose,
    nn.Conv3DTranspose: Conv3DTranspose,
}
PLAIN = {fast: plain for plain, fast in ACCELERATED.items()}


def is_available() -> bool:
    """Whether layers on this machine's CPU can be accelerated."""
    return library.load() is not None


def accelerate(model: nn.Layer, mode: str | None = None, bf16: bool = False) -> nn.Layer:
    """Switch the convolution layers of `model` to oneDNN, in place, and set the OpenMP threads that suit.

    Args:
        model: any network; layers of subclasses are left alone.
        mode: "auto" switches where it helps (a CPU build or device with oneDNN), "off" switches back. None takes the
            environment variable `MEDICALSEG_CPU_ACCEL`, or "auto".
        bf16: multiply in bfloat16; weights, sums and statistics stay float32, and so do layers whose input is smaller
            than their kernel.

    Returns:
        The same model.

    Raises:
        UserError: if the mode is unknown, or bfloat16 is asked for and the processor has none.
    """
    mode = os.environ.get(ENVIRONMENT_VARIABLE, "auto") if mode is None else mode
    if mode not in MODES:
        raise UserError(f"CPU acceleration is one of {', '.join(MODES)}, not '{mode}'")
    wanted = mode == "auto" and paddle.get_device() == "cpu" and is_available()
    if bf16 and not (wanted and library.supports_bf16()):
        raise UserError("bf16 on this CPU needs AVX512-BF16 or AMX and CPU acceleration 'auto'; use --precision fp32")
    set_openmp_threads(default_threads() if wanted else plain_threads())
    table = ACCELERATED if wanted else PLAIN
    for layer in model.sublayers(include_self=True):
        if type(layer) in table:
            layer.__class__ = table[type(layer)]
        if isinstance(layer, _Accelerated):
            layer.bf16 = bf16
    return model
