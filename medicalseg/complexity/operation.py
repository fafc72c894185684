"""An operation of a traced program, alike for the two kinds of programs that Paddle has (before and since 3.0)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PARAMETER = "builtin.parameter"
OLD_NAMES = {
    "elementwise_mul": "multiply",
    "reduce_mean": "mean",
    "matmul_v2": "matmul",
    "bilinear_interp_v2": "bilinear_interp",
    "batch_norm_": "batch_norm",
    "sync_batch_norm_": "batch_norm",
    "sync_batch_norm": "batch_norm",
    "multiply_": "multiply",
    "scale_": "scale",
    "conditional_block": "if",
}
INPUTS = ("Input", "X", "Filter", "Y")
OUTPUTS = ("Output", "Out", "Y")
SCALE_POSITION = {"batch_norm": 3, "layer_norm": 1, "group_norm": 1, "instance_norm": 1}


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes:
        kind: Paddle's name of it, since 3.0.
        inputs: shapes of its first operands: image and weight of a convolution, both factors of a product.
        output: shape of its first result; -1 = not known.
        learned: whether the second operand is a parameter.
        affine: of a normalisation: whether it has a scale.
        transposed: of a matrix product: whether the first factor is transposed.
        pooling: of a pooling: "avg" or "max".
        factor: of a scaling: the number, None if it is not known.
    """

    kind: str
    inputs: tuple[tuple[int, ...], ...]
    output: tuple[int, ...]
    learned: bool = False
    affine: bool = False
    transposed: bool = False
    pooling: str = ""
    factor: float | None = None


def name_of(op: Any) -> str:
    """The name as the program has it."""
    return op.name() if callable(getattr(op, "name", None)) else op.type


def operation_of(op: Any, block: Any) -> Operation:
    """Read an operation of `block`."""
    name = name_of(op).rpartition(".")[2]
    kind = OLD_NAMES.get(name, name)
    return _read_new(op, kind) if hasattr(op, "operands_source") else _read_old(op, kind, block)


def _read_new(op: Any, kind: str) -> Operation:
    operands = [value if value.initialized() else None for value in op.operands_source()]
    results = op.results()
    attributes = op.attrs()
    scale = SCALE_POSITION.get(kind)
    return Operation(
        kind=kind,
        inputs=tuple(_shape(value) for value in operands[:2] if value is not None),
        output=_shape(results[0]) if results else (),
        learned=len(operands) > 1 and operands[1] is not None and _defined_by(operands[1]) == PARAMETER,
        affine=scale is not None and len(operands) > scale and operands[scale] is not None,
        transposed=bool(attributes.get("transpose_x", False)),
        pooling=str(attributes.get("pooling_type", "")),
        factor=_new_factor(operands) if kind == "scale" else None,
    )


def _shape(value: Any) -> tuple[int, ...]:
    """() of what is no tensor: a list of tensors has no shape."""
    try:
        return tuple(int(n) for n in value.shape)
    except ValueError:
        return ()


def _defined_by(value: Any) -> str:
    op = value.get_defining_op()
    return "" if op is None else op.name()


def _new_factor(operands: list[Any]) -> float | None:
    if len(operands) < 2 or operands[1] is None or _defined_by(operands[1]) != "pd_op.full":
        return None
    return float(operands[1].get_defining_op().attrs()["value"])


def _read_old(op: Any, kind: str, block: Any) -> Operation:
    inputs = [block.var(op.input(name)[0]) for name in INPUTS if name in op.input_names and op.input(name)]
    outputs = [block.var(op.output(name)[0]) for name in OUTPUTS if name in op.output_names and op.output(name)]
    return Operation(
        kind=kind,
        inputs=tuple(tuple(value.shape) for value in inputs[:2]),
        output=tuple(outputs[0].shape) if outputs else (),
        learned=len(inputs) > 1 and bool(getattr(inputs[1], "is_parameter", False) or inputs[1].persistable),
        affine="Scale" in op.input_names and bool(op.input("Scale")),
        transposed=kind == "matmul" and bool(op.attr("trans_x")),
        pooling=op.attr("pooling_type") if kind in ("pool2d", "pool3d") else "",
        factor=float(op.attr("scale")) if kind == "scale" and not op.input("ScaleTensor") else None,
    )
