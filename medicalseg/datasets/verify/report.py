"""The result of a verification as a table and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medicalseg.datasets.verify.across import class_table
from medicalseg.datasets.verify.finding import ERROR, Finding
from medicalseg.datasets.verify.inspection import (
    DIRECTION_TOLERANCE,
    LABEL_TOLERANCE,
    ORIGIN_TOLERANCE,
    SPACING_TOLERANCE,
    Facts,
)
from medicalseg.datasets.verify.source import Source

SHOWN_PER_KIND = 20
TOLERANCES = {
    "spacing, relative": SPACING_TOLERANCE,
    "direction cosines": DIRECTION_TOLERANCE,
    "origin, part of the smallest voxel side": ORIGIN_TOLERANCE,
    "label values": LABEL_TOLERANCE,
}


@dataclass(frozen=True)
class Report:
    """What verification found.

    Attributes:
        source: the dataset.
        facts: per case, sorted by name.
        findings: errors first.
    """

    source: Source
    facts: Sequence[Facts]
    findings: Sequence[Finding]

    @property
    def errors(self) -> int:
        """Number of errors."""
        return sum(finding.severity == ERROR for finding in self.findings)

    @property
    def warnings(self) -> int:
        """Number of warnings."""
        return len(self.findings) - self.errors

    @property
    def exit_code(self) -> int:
        """2 with errors, else 0."""
        return 2 if self.errors else 0

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form with everything."""
        columns = ("id", "name", "voxels", "cases")
        return {
            "dataset": str(self.source.root),
            "kind": self.source.kind,
            "errors": self.errors,
            "warnings": self.warnings,
            "tolerances": TOLERANCES,
            "findings": [finding.to_dict() for finding in self.findings],
            "classes": [dict(zip(columns, row, strict=True)) for row in class_table(self.source.labels, self.facts)],
            "cases": [
                {"case": item.case, "images": item.images, "voxels": {str(key): n for key, n in item.voxels.items()}}
                for item in self.facts
            ],
        }

    def render(self) -> str:
        """The report for a terminal."""
        lines = [f"{self.source.root} ({self.source.kind}): {len(self.facts)} cases", *self._grid_lines(), ""]
        rows = [[str(item) for item in row] for row in class_table(self.source.labels, self.facts)]
        if rows:
            lines += [*_table(["id", "class", "voxels", "cases"], rows), ""]
        if self.findings:
            lines += [*_table(["", "kind", "case", "what"], self._finding_rows()), ""]
        lines.append(f"{_count(self.errors, 'error')}, {_count(self.warnings, 'warning')}")
        return "\n".join(lines)

    def _grid_lines(self) -> list[str]:
        images = [item.images[0] for item in self.facts if item.images]
        if not images:
            return []
        codes = Counter(image["axcodes"] for image in images)
        shapes = np.array([image["shape"] for image in images])
        spacings = np.array([image["spacing"] for image in images])
        lines = [f"shape   {_range(shapes, '{:.0f}')}"]
        if self.source.kind not in ("prepared", "pictures"):
            lines.append(f"spacing {_range(spacings, '{:.4g}')} mm")
            lines.append("axes    " + ", ".join(f"{code} ({count})" for code, count in codes.most_common()))
        return lines

    def _finding_rows(self) -> list[list[str]]:
        rows: list[list[str]] = []
        shown: Counter[tuple[str, str]] = Counter()
        totals = Counter((finding.severity, finding.kind) for finding in self.findings)
        for finding in self.findings:
            key = (finding.severity, finding.kind)
            shown[key] += 1
            if shown[key] <= SHOWN_PER_KIND:
                rows.append([finding.severity, finding.kind, finding.case, finding.message])
            elif shown[key] == SHOWN_PER_KIND + 1:
                more = totals[key] - SHOWN_PER_KIND
                rows.append([finding.severity, finding.kind, "…", f"{more} more; --json FILE has all"])
        return rows


def _range(values: np.ndarray, form: str) -> str:
    parts = []
    for low, middle, high in zip(values.min(0), np.median(values, axis=0), values.max(0), strict=True):
        text = form.format(low)
        parts.append(text if low == high else f"{text}–{form.format(high)} (median {middle:.4g})")
    return " x ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    numeric = [column for column in range(len(head)) if all(row[column].lstrip("-").isdigit() for row in rows)]
    lines = []
    for row in [head, ["-" * width for width in widths], *rows]:
        cells = [
            cell.rjust(width) if column in numeric else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
