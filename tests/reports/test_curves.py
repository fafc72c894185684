"""The picture of a training run."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from medicalseg.reports import curves, write_progress_png

FULL = {
    **{"iter": [1, 2, 3], "loss": [3.0, float("nan"), 1.0], "dsc": [10.0, 20.0, 30.0], "lr": [0.1, 0.05, 0.0]},
    **{"batch_cost": [1.0, 1.1, 0.9], "eval_iter": [2, 3], "eval_dice": [0.2, None]},
}


@pytest.mark.parametrize("history", [{}, {"iter": [1], "loss": [2.0]}, FULL])
def test_written_whatever_is_known_so_far(tmp_path: Path, history: dict[str, list[float]]) -> None:
    write_progress_png(tmp_path / "progress.png", history)
    write_progress_png(tmp_path / "progress.png", history)
    assert imread(tmp_path / "progress.png").shape[:2] == (700, 1100)
    assert [path.name for path in tmp_path.iterdir()] == ["progress.png"]


def test_a_single_point_is_seen() -> None:
    history = {
        "iter": [1],
        "dsc": [50.0],
        "pseudo_iter": [1],
        "pseudo_dice": [0.4],
        "eval_iter": [1],
        "eval_dice": [0.3],
    }
    panel = Figure().subplots()
    curves._draw_dice(panel, history)
    assert [line.get_marker() for line in panel.lines] == [".", ".", "o"]
    many = {"iter": list(range(99)), "dsc": [50.0] * 99}
    panel = Figure().subplots()
    curves._draw_dice(panel, many)
    assert panel.lines[0].get_marker() == "None"
