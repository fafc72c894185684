"""Several runs side by side: for the terminal, as Markdown, as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medicalseg.utils.files import write_text

if TYPE_CHECKING:
    from medicalseg.core.compare import Run

FOREGROUND = "foreground mean"
MISSING = "-"
Column = tuple[str, Callable[["Run"], str]]


def render_comparison(runs: Sequence[Run], notes: Sequence[str]) -> str:
    """Tables for the terminal: cost and means, then classes; the notes below."""
    tables = ["\n".join(_aligned(table)) for table in _tables(runs)]
    below = "\n".join([*_remarks(runs), *(f"!! NOTE: {note}" for note in notes)])
    return "\n\n".join([*tables, *([below] if below else [])])


def write_comparison(folder: str | Path, runs: Sequence[Run], notes: Sequence[str]) -> list[Path]:
    """Write comparison.md, comparison.csv and comparison.png, each atomically.

    Args:
        folder: gets the files.
        runs: what is compared.
        notes: what a reader must know; below the tables, and in the picture.

    Returns:
        The paths.
    """
    from medicalseg.reports.comparison_plot import write_comparison_png

    folder = Path(folder)
    paths = [folder / f"comparison.{kind}" for kind in ("md", "csv", "png")]
    write_text(paths[0], _markdown(runs, notes))
    write_text(paths[1], _csv(runs))
    write_comparison_png(paths[2], runs, notes)
    return paths


def names_of(runs: Sequence[Run], kind: str) -> list[str]:
    """All groups (`kind` "groups") or classes ("classes") of the runs, in the order in which they come."""
    return list(dict.fromkeys(name for run in runs for name in getattr(run, kind)))


def _tables(runs: Sequence[Run]) -> list[list[list[str]]]:
    columns = _columns(runs)
    main = [[title for title, _ in columns], *([cell(run) for _, cell in columns] for run in runs)]
    classes = names_of(runs, "classes")
    per_class = [["class", *(run.name for run in runs)]]
    per_class += [[name, *(_dice(run.classes.get(name)) for run in runs)] for name in classes]
    return [main, per_class] if classes else [main]


def _columns(runs: Sequence[Run]) -> list[Column]:
    columns: list[Column] = [
        ("run", lambda run: run.name),
        ("network", lambda run: run.cost.network or MISSING),
        ("input", lambda run: _input(run)),
        ("parameters", lambda run: _scaled(run.cost.parameters, 1e6, "M")),
        ("MACs per pass", lambda run: _scaled(run.cost.macs, 1e9, "G")),
        ("MACs per case", lambda run: _scaled(run.cost.macs_per_case, 1e9, "G")),
        ("cases", lambda run: f"{len(run.cases)}"),
        (FOREGROUND, lambda run: _dice(run.foreground)),
    ]
    columns += [(name, _group_cell(name)) for name in names_of(runs, "groups")]
    columns += [
        ("s per case", lambda run: MISSING if run.seconds is None else f"{run.seconds:.3g}"),
        ("peak memory", lambda run: _scaled(run.memory_mb, 1, "MB", 0)),
        ("by", lambda run: run.program or MISSING),
    ]
    return columns


def _remarks(runs: Sequence[Run]) -> list[str]:
    groups = list(dict.fromkeys(name for run in runs for name in run.with_background))
    counted = [f"The background counts in: {', '.join(groups)}; never in the foreground mean."] if groups else []
    slices = [f"{run.name} sees a case in {run.cost.passes} slices." for run in runs if (run.cost.passes or 1) > 1]
    return counted + slices


def _group_cell(name: str) -> Callable[[Run], str]:
    return lambda run: _dice(run.groups.get(name))


def _input(run: Run) -> str:
    shape = "x".join(map(str, run.cost.input_shape[1:])) if run.cost.input_shape else ""
    return " ".join(part for part in (run.cost.dimensions or "", shape) if part) or MISSING


def _dice(value: float | None) -> str:
    return MISSING if value is None else f"{value:.4f}"


def _scaled(value: float | None, unit: float, symbol: str, digits: int = 2) -> str:
    return MISSING if value is None else f"{value / unit:.{digits}f} {symbol}"


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = []
    for row in table:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return [lines[0], "-" * (sum(widths) + 2 * (len(widths) - 1)), *lines[1:]]


def _markdown(runs: Sequence[Run], notes: Sequence[str]) -> str:
    lines = ["# Comparison of runs", ""]
    for table in _tables(runs):
        cells = [[cell.replace("|", "\\|") for cell in row] for row in table]
        lines += [f"| {' | '.join(cells[0])} |", f"|{'---|' * len(cells[0])}"]
        lines += [f"| {' | '.join(row)} |" for row in cells[1:]]
        lines.append("")
    lines += [f"- **Note:** {note}" for note in notes]
    lines += [f"- {remark}" for remark in _remarks(runs)]
    lines += [f"- {run.name}: scored on the {run.grid} grid; {note}" for run in runs for note in run.notes]
    lines += [
        "- Dice is hard Dice, the mean over cases. MACs are true multiply-accumulates, of one forward pass on `input`",
        "  (channels first), and of all passes that an image or volume needs. Time per case is prediction, restoring",
        "  and, in val and train, scoring; memory is the largest of the whole process.",
        "",
    ]
    return "\n".join(lines)


def _csv(runs: Sequence[Run]) -> str:
    groups, classes = names_of(runs, "groups"), names_of(runs, "classes")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            *("run", "report", "program", "network", "dimensions", "input_shape", "parameters", "macs_per_pass"),
            *("passes_per_case", "macs_per_case", "grid", "cases", "foreground_mean"),
            *(f"group: {name}" for name in groups),
            *(f"class: {name}" for name in classes),
            *("seconds_per_case", "peak_memory_mb", "processor"),
        ]
    )
    for run in runs:
        cost = run.cost
        shape = "x".join(map(str, cost.input_shape)) if cost.input_shape else None
        row = [
            *(run.name, run.report.as_posix(), run.program, cost.network, cost.dimensions, shape, cost.parameters),
            *(cost.macs, cost.passes, cost.macs_per_case, run.grid, len(run.cases), run.foreground),
            *(run.groups.get(name) for name in groups),
            *(run.classes.get(name) for name in classes),
            *(run.seconds, run.memory_mb, run.processor),
        ]
        writer.writerow(["" if value is None else value for value in row])
    return text.getvalue()
