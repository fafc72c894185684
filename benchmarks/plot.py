"""Bars of the ratios with their targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

MET, MISSED, UNTARGETED = "#2a7f62", "#c0392b", "#7f8c8d"
ROW = 0.34


def ratios(path: Path, report: Mapping[str, Any]) -> bool:
    """One bar per measured pair that has a target, else per pair; False if there is none to draw."""
    pairs = [(work["name"], pair) for work in report["works"] for pair in work["pairs"] if pair["ratio"] is not None]
    pairs = [entry for entry in pairs if entry[1]["target"] is not None] or pairs
    if not pairs:
        return False
    figure, axes = plt.subplots(figsize=(11, 1.2 + ROW * len(pairs)), layout="constrained")
    draw(axes, pairs)
    axes.set_title(f"{report['suite']}: ours / theirs, {report['machine']['cpu']}, {report['date'][:10]}", fontsize=10)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return True


def draw(axes: Any, pairs: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Draw the bars, their spread and the targets."""
    rows = range(len(pairs))
    values = [pair["ratio"] for _, pair in pairs]
    below = [max(0.0, pair["ratio"] - pair["ratio_min"]) for _, pair in pairs]
    above = [max(0.0, pair["ratio_max"] - pair["ratio"]) for _, pair in pairs]
    colors = [UNTARGETED if pair["met"] is None else MET if pair["met"] else MISSED for _, pair in pairs]
    axes.barh(rows, values, xerr=[below, above], color=colors, height=0.65, error_kw={"lw": 0.8, "capsize": 2})
    for row, (_, pair) in zip(rows, pairs, strict=True):
        if pair["target"] is not None:
            axes.plot([pair["target"]] * 2, [row - 0.42, row + 0.42], color="black", lw=2)
    axes.axvline(1.0, color="#888888", lw=0.8, ls="--")
    axes.set_yticks(list(rows), [_label(work, pair) for work, pair in pairs], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.08 * max(1.0, *(pair["ratio_max"] for _, pair in pairs), *_targets(pairs)))
    axes.set_xlabel("ratio, lower is better; black: target, thin line: lowest and highest round", fontsize=8)


def _label(work: str, pair: Mapping[str, Any]) -> str:
    measure = " (memory)" if pair["measure"] == "memory" else ""
    return f"{work}{measure}\n{pair['ours']} / {pair['theirs']}"


def _targets(pairs: Sequence[tuple[str, Mapping[str, Any]]]) -> list[float]:
    return [pair["target"] for _, pair in pairs if pair["target"] is not None]
