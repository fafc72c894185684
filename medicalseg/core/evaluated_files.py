"""Which files the figures of an evaluated dataset are of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medicalseg.core.val import PREDICTIONS, file_name
from medicalseg.metrics import Summary


def evaluated_files(
    dataset: Any, cases: Sequence[int], summary: Summary, save_dir: Path, saved: int | None
) -> dict[str, tuple[str | None, str]]:
    """Prediction (None: not written on the grid that was scored) and reference by case.

    Args:
        dataset: what `medicalseg.core.val.evaluate` was given.
        cases: indices of its labelled cases, in order.
        summary: what that found.
        save_dir: where that wrote.
        saved: how many label maps that wrote; None = of all.
    """
    original = summary.grid == "original"
    count = (len(cases) if saved is None else saved) if original else 0
    files: dict[str, tuple[str | None, str]] = {}
    for position, index in enumerate(cases):
        case = dataset.cases[index]
        prediction = save_dir / PREDICTIONS / file_name(dataset, index, case.name) if position < count else None
        reference = case.original or case.label if original else case.label
        files[case.name] = (None if prediction is None else str(prediction), str(reference))
    return files
