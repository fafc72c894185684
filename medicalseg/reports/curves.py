"""The picture of a training run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from medicalseg.utils.files import atomic_path

History = Mapping[str, Sequence[float]]
MARKED = 40


def write_progress_png(path: str | os.PathLike[str], history: History) -> None:
    """Draw loss, Dice, learning rate and time per step against the iteration; written atomically.

    Args:
        path: a PNG file.
        history: equally long lists `iter`, `loss`, `dsc` (percent), `lr`, `batch_cost` (seconds), and the equally long
            lists `eval_iter`, `eval_dice` (0 to 1) and `pseudo_iter`, `pseudo_dice`. What is missing or empty is not
            drawn.
    """
    figure = Figure(figsize=(11, 7), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 2)
    _draw(panels[0, 0], history, "loss", "loss (mean since the last log line)")
    _draw_dice(panels[0, 1], history)
    _draw(panels[1, 0], history, "lr", "learning rate")
    _draw(panels[1, 1], history, "batch_cost", "seconds per step")
    for panel in panels.flat:
        panel.grid(alpha=0.3)
        panel.set_xlabel("iteration")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def _draw(panel, history: History, key: str, title: str) -> None:  # type: ignore[no-untyped-def]
    panel.set_title(title, fontsize=10)
    x, y = _pairs(history, "iter", key)
    panel.plot(x, y, color="#1f5fa8", linewidth=1.2, marker=_marker(x))
    if y and min(y) >= 0:
        panel.set_ylim(0, 1.05 * max(y) or None)


def _draw_dice(panel, history: History) -> None:  # type: ignore[no-untyped-def]
    panel.set_title("Dice", fontsize=10)
    x, y = _pairs(history, "iter", "dsc")
    panel.plot(x, [value / 100 for value in y], color="#9aa7b5", linewidth=1.2, marker=_marker(x),
               label="DSC (soft, training batches)")  # fmt: skip
    x, y = _pairs(history, "pseudo_iter", "pseudo_dice")
    if y:
        panel.plot(x, y, color="#7a8f2f", linewidth=1.2, marker=_marker(x),
                   label="pseudo-Dice (patches) (hard, foreground mean)")  # fmt: skip
    x, y = _pairs(history, "eval_iter", "eval_dice")
    panel.plot(x, y, color="#c2410c", marker="o", markersize=4, label="Dice (hard, foreground mean, validation)")
    if y:
        best = max(range(len(y)), key=y.__getitem__)
        side, shift = ("right", -4) if 2 * x[best] > min(x) + max(x) else ("left", 4)
        where = {"textcoords": "offset points", "xytext": (shift, 6), "ha": side}
        panel.annotate(f"best {y[best]:.4f}", (x[best], y[best]), fontsize=8, **where)
    panel.set_ylim(0, 1)
    panel.legend(fontsize=8, loc="upper left")


def _marker(points: Sequence[float]) -> str | None:
    """A dot where there are few points, one of which alone would be no line."""
    return "." if len(points) < MARKED else None


def _pairs(history: History, x: str, y: str) -> tuple[list[float], list[float]]:
    pairs = [(a, b) for a, b in zip(history.get(x, ()), history.get(y, ()), strict=False) if b is not None and b == b]
    return [a for a, _ in pairs], [b for _, b in pairs]
