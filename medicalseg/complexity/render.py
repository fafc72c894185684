"""`ModelInfo` as text."""

from __future__ import annotations

from collections.abc import Sequence

from medicalseg.complexity.info import LayerInfo, ModelInfo

HEADINGS = ("layer", "type", "output", "parameters", "MACs", "activations")


def render_info(info: ModelInfo, depth: int = 2) -> str:
    """A table of the layers and the figures of the whole network.

    Args:
        info: from `inspect_model`.
        depth: how many levels of layers are listed, 0 = none; layers that cost nothing are left out.
    """
    shown = (layer for layer in info.layers if 0 < layer.depth <= depth)
    rows = [_cells(layer) for layer in shown if layer.parameters or layer.macs or layer.activations]
    table = [*_table([HEADINGS, *rows]), ""] if rows else []
    return "\n".join([*table, *_summary(info)])


def _cells(layer: LayerInfo) -> tuple[str, ...]:
    return (
        "  " * (layer.depth - 1) + layer.name.rpartition(".")[2],
        layer.type,
        "x".join(map(str, layer.output)) if layer.output else "-",
        f"{layer.parameters:,}",
        _amount(layer.macs),
        _amount(layer.activations),
    )


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column < 3 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return [lines[0], rule, *lines[1:], rule]


def _summary(info: ModelInfo) -> list[str]:
    phase = "as trained" if info.training else "as evaluated"
    operators = ", ".join(
        f"{name} {_amount(value)}" for name, value in sorted(info.operators.items(), key=lambda item: -item[1])
    )
    lines = [
        f"network      {info.network}, input {' x '.join(map(str, info.input_shape))}, {phase}",
        f"parameters   {info.trainable:,} trainable, {info.total:,} with running statistics",
        f"weights      {info.weight_mb:.2f} MB",
        f"MACs         {info.macs / 1e9:.4f} G ({info.macs:,}; {info.mode}): {operators}",
        f"activations  {info.activations:,} elements, {info.activation_mb:.1f} MB in float32",
    ]
    return lines + [f"note         {note}" for note in info.notes]


def _amount(value: int) -> str:
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= size:
            return f"{value / size:.3f} {unit}"
    return str(value)
