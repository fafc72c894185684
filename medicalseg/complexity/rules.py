"""How many multiply-accumulates an operation is: truly ("plain"), and as torchprofile 0.0.4 counts ("torchprofile").

The second rule is needed because published figures are made with it. It counts a transposed convolution as if every
output saw the whole kernel, and adds one per output of a normalisation with scale and shift, of an elementwise
product, of a mean, an average pooling and a leaky ReLU, and four per output of a bilinear interpolation.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from medicalseg.complexity.operation import Operation
from medicalseg.errors import UserError

MODES = ("plain", "torchprofile")
CONVOLUTIONS = ("conv2d", "depthwise_conv2d", "conv3d")
TRANSPOSED = ("conv2d_transpose", "depthwise_conv2d_transpose", "conv3d_transpose")
NORMS = ("batch_norm", "layer_norm", "group_norm", "instance_norm")
PRODUCTS = ("multiply", "scale")
UNCOUNTED = (
    *("einsum", "flash_attn", "memory_efficient_attention", "deformable_conv", "rnn", "if", "while"),
    *("fused_attention", "fused_feedforward", "correlation", "fft_r2c", "fft_c2c", "tensordot"),
)
Rule = Callable[[Operation], int]


def category(op: Operation) -> str | None:
    """Under which name an operation is counted; None if no mode counts it."""
    if op.kind in CONVOLUTIONS:
        return "convolution"
    if op.kind in TRANSPOSED:
        return "transposed convolution"
    if op.kind in ("matmul", "bmm", "mv", "addmm"):
        return "linear" if op.learned and op.kind == "matmul" else "matmul"
    if op.kind in NORMS:
        return op.kind
    if op.kind == "bilinear_interp":
        return "bilinear upsampling"
    if op.kind in PRODUCTS:
        return "multiplication"
    if op.kind == "mean" or (op.kind in ("pool2d", "pool3d") and op.pooling == "avg"):
        return "average pooling"
    return "leaky_relu" if op.kind == "leaky_relu" else None


def count(op: Operation, mode: str) -> int:
    """Multiply-accumulates of an operation.

    Args:
        op: an operation.
        mode: "plain" or "torchprofile".

    Raises:
        UserError: if the operation counts and a size it has is not known.
    """
    name = category(op)
    rule = RULES[mode].get(name) if name else None
    if rule is None:
        return 0
    if min((*op.output, *(n for shape in op.inputs for n in shape)), default=1) < 0:
        raise UserError(
            f"{op.kind}: the size of its input {list(op.inputs)} or output {list(op.output)} is not known before the "
            "network runs, so its cost cannot be counted"
        )
    return rule(op)


def _convolution(op: Operation) -> int:
    return math.prod(op.output) * math.prod(op.inputs[1][1:])


def _transposed(op: Operation) -> int:
    return math.prod(op.inputs[0]) * math.prod(op.inputs[1][1:])


def _transposed_per_output(op: Operation) -> int:
    weight = op.inputs[1]
    channels = weight[1] if op.output[1] == weight[0] else weight[0]
    return math.prod(op.output) * channels * math.prod(weight[2:])


def _product(op: Operation) -> int:
    first = op.inputs[0]
    if op.kind == "addmm":
        return math.prod(op.output) * op.inputs[1][-1]
    return math.prod(op.output) * (first[-2] if op.transposed and len(first) > 1 else first[-1])


def _per_output(op: Operation) -> int:
    return math.prod(op.output)


def _norm(op: Operation) -> int:
    return math.prod(op.output) if op.affine else 0


def _bilinear(op: Operation) -> int:
    return 4 * math.prod(op.output)


def _multiplication(op: Operation) -> int:
    return 0 if op.kind == "scale" and op.factor == 1 else math.prod(op.output)


PLAIN: dict[str, Rule] = {
    "convolution": _convolution,
    "transposed convolution": _transposed,
    "linear": _product,
    "matmul": _product,
}
RULES: dict[str, dict[str, Rule]] = {
    "plain": PLAIN,
    "torchprofile": {
        **PLAIN,
        "transposed convolution": _transposed_per_output,
        **dict.fromkeys(NORMS, _norm),
        "bilinear upsampling": _bilinear,
        "multiplication": _multiplication,
        "average pooling": _per_output,
        "leaky_relu": _per_output,
    },
}
