"""Run by the kill test in a process of its own: prepares two cases, then hangs inside the third."""

from __future__ import annotations

import time
from pathlib import Path

from medicalseg.datasets.prepare import case, engine

from .test_prepare_engine import RECIPES, job_for


def main(raw: Path, output: Path, recipe: str) -> None:
    """Prepare until the label of the third case is to be written."""
    save, count = case.save_array, [0]

    def hang(path: Path, array) -> None:
        count[0] += 1
        if count[0] == 6:
            path.parent.mkdir(parents=True, exist_ok=True)
            (path.parent / f".tmp-0-0-{path.name}").write_bytes(b"half")
            (output / "stop").touch()
            time.sleep(120)
        save(path, array)

    case.save_array = hang
    engine.run(job_for(raw, output, RECIPES[recipe]))
