"""The evaluation as a Markdown page."""

from __future__ import annotations

from collections.abc import Sequence

from medicalseg.metrics import Summary
from medicalseg.reports.measure_table import calibration_lines, detection_lines, level_lines
from medicalseg.reports.table import class_tables, mean_rows


def render_markdown(summary: Summary, title: str = "Evaluation") -> str:
    """Means, classes, cases, levels and the rules behind them.

    Args:
        summary: what to show.
        title: heading of the page.
    """
    cases = f"{summary.num_cases} case{'' if summary.num_cases == 1 else 's'}"
    lines = [f"# {title}", "", f"{cases}; hard Dice, scored on the {summary.grid} grid.", ""]
    lines += [f"- **Note:** {note}" for note in summary.notes]
    lines += ["", *table([("mean", "value"), *mean_rows(summary)]), ""]
    for rows in class_tables(summary):
        lines += [*table(rows), ""]
    sentences = (*detection_lines(summary), *level_lines(summary), *calibration_lines(summary))
    lines += [f"- {line.strip()}" for line in sentences]
    lines += ["", *_cases(summary), "", "## Rules", ""]
    lines += [f"- **{name}**: {rule}" for name, rule in summary.rules.items()]
    if summary.bootstrap is not None:
        lines.append(f"- **intervals**: {summary.bootstrap}")
    return "\n".join(_without_double_blanks(lines)).rstrip() + "\n"


def _cases(summary: Summary) -> list[str]:
    rows = [("case", "foreground mean Dice")]
    rows += [
        (result.case, "n/a" if score != score else f"{score:.4f}")
        for result, score in zip(summary.cases, summary.case_scores(), strict=True)
    ]
    return table(rows)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table; the first row is the heading."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return [lines[0], f"|{'---|' * len(cells[0])}", *lines[1:]]


def _without_double_blanks(lines: Sequence[str]) -> list[str]:
    return [line for number, line in enumerate(lines) if line or (number and lines[number - 1])]
