"""The picture of a calibration: how often a network is right where it says it is so sure."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from medicalseg.metrics import CalibrationResult, ReliabilityCurve
from medicalseg.utils.colours import class_colour
from medicalseg.utils.files import atomic_path

WIDTH = 13.0
COLOURS = {"as right as it says": "#1f5fa8", "less right": "#f0b89a", "more right": "#a9c8ea"}
MOST_NAMED = 24


def write_reliability_png(
    path: str | os.PathLike[str], calibration: CalibrationResult, names: Sequence[str], title: str = ""
) -> None:
    """Draw the decisions' reliability, that of the foreground, and a line per class; written atomically.

    Args:
        path: a PNG file.
        calibration: from `Calibration.value`.
        names: of the network's channels.
        title: above all.
    """
    figure = Figure(figsize=(WIDTH, 5.6), dpi=100, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(title, fontsize=11)
    grid = figure.add_gridspec(2, 3, height_ratios=[3.4, 1.0])
    panels = (("all voxels", calibration.top), ("decided as foreground", calibration.foreground))
    for column, (name, curve) in enumerate(panels):
        above = figure.add_subplot(grid[0, column])
        _draw_bars(above, curve, f"{name}: ECE {_text(curve.error)}")
        _draw_counts(figure.add_subplot(grid[1, column], sharex=above), curve)
    _draw_classes(figure.add_subplot(grid[:, 2]), calibration, names)
    handles, labels = figure.axes[-1].get_legend_handles_labels()
    figure.legend(
        handles, labels, fontsize=8, loc="outside right upper", frameon=False, title="class-wise ECE", title_fontsize=8
    )
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def _draw_bars(panel: Any, curve: ReliabilityCurve, title: str) -> None:
    bins = len(curve.count)
    edges = np.arange(bins) / bins
    shown = curve.count > 0
    accuracy, confidence = np.nan_to_num(curve.accuracy), np.nan_to_num(curve.mean_confidence)
    both = np.minimum(accuracy, confidence)
    style: dict[str, Any] = {"width": 1 / bins, "align": "edge", "edgecolor": "white"}
    panel.bar(edges[shown], both[shown], color=COLOURS["as right as it says"], **style)
    for gap, name in ((confidence - accuracy, "less right"), (accuracy - confidence, "more right")):
        seen = shown & (gap > 0)
        panel.bar(edges[seen], gap[seen], bottom=both[seen], color=COLOURS[name], **style)
    _diagonal(panel)
    panel.set_ylabel("share right")
    panel.set_title(title, fontsize=10)
    handles = [Patch(color=colour, label=name) for name, colour in COLOURS.items()]
    panel.legend(handles=handles, fontsize=8, loc="upper left", frameon=False)


def _draw_counts(panel: Any, curve: ReliabilityCurve) -> None:
    bins, total = len(curve.count), max(float(curve.count.sum()), 1.0)
    panel.bar(np.arange(bins) / bins, curve.count / total, 1 / bins, align="edge", color="#94a3b8", edgecolor="white")
    panel.set_ylim(0, 1)
    panel.set_xlabel("probability of the decision")
    panel.set_ylabel("voxels")


def _draw_classes(panel: Any, calibration: CalibrationResult, names: Sequence[str]) -> None:
    first = 1 if calibration.codes else 0
    for index, curve in enumerate(calibration.classes):
        shown = curve.count > 0
        colour = "#475569" if index + first == 0 else class_colour(index + first)
        label = f"{names[index]} {_text(curve.error)}" if index < MOST_NAMED else None
        panel.plot(curve.mean_confidence[shown], curve.accuracy[shown], "o-", ms=3, lw=1.2, color=colour, label=label)
    _diagonal(panel)
    panel.set_xlabel("probability of the class")
    panel.set_ylabel("share that is of the class")
    panel.set_title(f"classes: mean ECE {_text(calibration.class_error)}", fontsize=10)


def _diagonal(panel: Any) -> None:
    panel.plot([0, 1], [0, 1], color="black", lw=0.8, ls="--")
    panel.set_xlim(0, 1)
    panel.set_ylim(0, 1)


def _text(value: float) -> str:
    return "n/a" if np.isnan(value) else f"{value:.4f}"
