"""The picture of several runs: what they reach above, what they cost below."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from medicalseg.reports.comparison import FOREGROUND, names_of
from medicalseg.utils.files import atomic_path

if TYPE_CHECKING:
    from medicalseg.core.compare import Run

COLOURS = ("#1f5fa8", "#c2410c", "#0f766e", "#7c3aed", "#b45309", "#be185d", "#4d7c0f", "#475569")
MARKERS = "osD^vPX*"
WIDTH = 12.0
COSTS: tuple[tuple[str, Callable[[Run], float | None], float, str], ...] = (
    ("parameters (M)", lambda run: run.cost.parameters, 1e6, "{:.2f}"),
    ("MACs per case (G)", lambda run: run.cost.macs_per_case, 1e9, "{:.1f}"),
    ("seconds per case", lambda run: run.seconds, 1, "{:.3g}"),
    ("peak memory (MB)", lambda run: run.memory_mb, 1, "{:.0f}"),
)


def write_comparison_png(path: str | os.PathLike[str], runs: Sequence[Run], notes: Sequence[str] = ()) -> None:
    """Draw means and class Dice as bars and points, parameters, MACs, time and memory as bars; written atomically.

    Args:
        path: a PNG file.
        runs: what is compared; a run's colour is the same in all panels.
        notes: written below.
    """
    lines = [line for note in notes for line in textwrap.wrap(f"Note: {note}", 150)]
    height = 7.0 + 0.28 * len(runs) + 0.2 * len(lines)
    figure = Figure(figsize=(WIDTH, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    ratios = [2.6, 2.6, 1.0 + 0.28 * len(runs), 0.02 + 0.2 * len(lines)]
    rows = figure.add_gridspec(4, 4, height_ratios=ratios)
    means = figure.add_subplot(rows[0, :])
    _draw_means(means, runs)
    handles, names = means.get_legend_handles_labels()
    figure.legend(handles, names, fontsize=9, loc="outside upper center", ncols=min(4, len(runs)), frameon=False)
    _draw_classes(figure.add_subplot(rows[1, :]), runs)
    for column, cost in enumerate(COSTS):
        _draw_cost(figure.add_subplot(rows[2, column]), runs, cost, named=column == 0)
    footer = figure.add_subplot(rows[3, :])
    footer.axis("off")
    footer.text(0, 1, "\n".join(lines), fontsize=8, va="top", color="#9f1239", transform=footer.transAxes)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def _colour(position: int) -> str:
    return COLOURS[position % len(COLOURS)]


def _draw_means(panel: Any, runs: Sequence[Run]) -> None:
    titles = [FOREGROUND, *names_of(runs, "groups")]
    width = 0.8 / len(runs)
    for position, run in enumerate(runs):
        values = [run.foreground, *(run.groups.get(name) for name in titles[1:])]
        places = np.arange(len(titles)) + (position - (len(runs) - 1) / 2) * width
        heights = [0.0 if value is None else value for value in values]
        panel.bar(places, heights, 0.92 * width, color=_colour(position), label=run.name)
        for place, value in zip(places, values, strict=True):
            text, height = ("n/a", 0.0) if value is None else (f"{value:.3f}", value)
            panel.text(place, height + 0.01, text, ha="center", va="bottom", fontsize=8 if len(runs) < 5 else 6)
    panel.set_xticks(range(len(titles)), titles, fontsize=9)
    panel.set_xlim(-0.6, max(len(titles), 3) - 0.4)
    panel.set_ylim(0, 1.08)
    panel.set_title("Dice: foreground and class groups", fontsize=10)
    panel.grid(axis="y", alpha=0.3)
    panel.set_axisbelow(True)


def _draw_classes(panel: Any, runs: Sequence[Run]) -> None:
    names = names_of(runs, "classes")
    for position, run in enumerate(runs):
        values = [np.nan if run.classes.get(name) is None else run.classes[name] for name in names]
        shift = (position - (len(runs) - 1) / 2) * 0.5 / max(len(runs), 1)
        marker = MARKERS[position % len(MARKERS)]
        panel.plot(np.arange(len(names)) + shift, values, marker, color=_colour(position), markersize=5, clip_on=False)
    long = max((len(name) for name in names), default=0) * len(names) > 110
    slant = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if long else {}
    panel.set_xticks(range(len(names)), names, fontsize=8, **slant)
    panel.set_xlim(-0.6, max(len(names), 3) - 0.4)
    panel.set_ylim(0, 1.02)
    panel.set_title("Dice per class", fontsize=10)
    panel.grid(alpha=0.3)


def _draw_cost(
    panel: Any, runs: Sequence[Run], cost: tuple[str, Callable[[Run], float | None], float, str], named: bool
) -> None:
    title, value_of, unit, form = cost
    values = [value_of(run) for run in runs]
    amounts = [0.0 if value is None else value / unit for value in values]
    top = max(amounts, default=0) or 1
    panel.barh(range(len(runs)), amounts, 0.7, color=[_colour(position) for position in range(len(runs))])
    for place, (value, amount) in enumerate(zip(values, amounts, strict=True)):
        text = "not known" if value is None else form.format(amount)
        panel.text(amount + 0.02 * top, place, text, va="center", fontsize=8)
    panel.set_xlim(0, 1.35 * top)
    panel.set_yticks(range(len(runs)), [_short(run.name) for run in runs] if named else [""] * len(runs), fontsize=8)
    panel.invert_yaxis()
    panel.set_xticks([])
    panel.set_title(title, fontsize=10)
    for side in ("top", "right", "bottom"):
        panel.spines[side].set_visible(False)


def _short(name: str, longest: int = 24) -> str:
    return name if len(name) <= longest else f"…{name[1 - longest :]}"
