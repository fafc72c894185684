"""Switches a model's layers to oneDNN and back.

`accelerate` changes the class of a model's layers and nothing else: parameters, names, state_dict and hooks stay. A
layer computes through oneDNN only where that is possible (eager mode, CPU, float32) and is Paddle's own layer
everywhere else, so `paddle.jit.to_static`, export and GPUs are not affected.
"""

from __future__ import annotations

import os

import paddle
from paddle import nn

from medicalseg.errors import UserError
from medicalseg.ops import chain_layers, convolution_layers, library
from medicalseg.ops.accelerated import Accelerated, ChainLayer
from medicalseg.ops.process import default_threads, plain_threads, set_openmp_threads
from medicalseg.utils.logger import logger

ENVIRONMENT_VARIABLE = "MEDICALSEG_CPU_ACCEL"
MODES = ("auto", "off")
CONVOLUTIONS = ("Conv2D", "Conv3D", "Conv2DTranspose", "Conv3DTranspose")
BETWEEN = (
    *("BatchNorm2D", "BatchNorm3D", "InstanceNorm2D", "InstanceNorm3D"),
    *("ReLU", "LeakyReLU", "ELU", "PReLU"),
    *("MaxPool2D", "MaxPool3D", "AvgPool2D", "AvgPool3D", "Dropout2D", "Dropout3D"),
)
CONVERTED = ("GroupNorm", "Dropout", "GELU", "Sigmoid", "Silu", "Softmax", "Softplus", "Swish", "Tanh", "Upsample")
ACCELERATED: dict[type, type] = {
    **{getattr(nn, name): getattr(convolution_layers, name) for name in CONVOLUTIONS},
    **{getattr(nn, name): getattr(chain_layers, name) for name in BETWEEN},
    **{getattr(nn, name): type(name, (ChainLayer, getattr(nn, name)), {}) for name in CONVERTED},
}
PLAIN = {fast: plain for plain, fast in ACCELERATED.items()}
NEUTRAL = (nn.Identity, nn.Sequential, nn.LayerList, nn.LayerDict)


def add_accelerated(plain: type, fast: type) -> None:
    """Have `accelerate` switch layers of the class `plain` to `fast`, which is derived from it and `Accelerated`."""
    ACCELERATED[plain], PLAIN[fast] = fast, plain


def is_available() -> bool:
    """Whether layers on this machine's CPU can be accelerated."""
    return library.load() is not None


def accelerate(model: nn.Layer, mode: str | None = None, bf16: bool = False) -> nn.Layer:
    """Switch the layers of `model` to oneDNN, in place, and set the OpenMP threads that suit.

    The convolutions of any network gain. A network whose class says `channels_last = True`, because its `forward`
    joins and adds tensors with `medicalseg.ops.functional` alone, also keeps its activations channels-last from one
    layer to the next, and in bfloat16 if that is asked for, but for the outputs of the layers it names in `heads`.

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
    chained = wanted and _can_chain(model)
    for layer in model.sublayers(include_self=True):
        if type(layer) in table:
            layer.__class__ = table[type(layer)]
        if isinstance(layer, Accelerated):
            layer.bf16, layer.chained = bf16, chained
    for name, layer in model.named_sublayers():
        if isinstance(layer, Accelerated):
            layer.head = name in getattr(model, "heads", ())
    return model


def _can_chain(model: nn.Layer) -> bool:
    """Whether the model says that its layers may pass channels-last tensors on, and every layer of it can."""
    if not getattr(model, "channels_last", False):
        return False
    leaves = [layer for layer in model.sublayers(include_self=True) if not layer.sublayers()]
    strange = {type(leaf).__name__ for leaf in leaves if type(leaf) not in (*ACCELERATED, *PLAIN, *NEUTRAL)}
    if strange:
        logger.info("%s: no fast form of %s; only its convolutions are.", type(model).__name__, ", ".join(strange))
    return not strange
