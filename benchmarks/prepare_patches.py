"""`PatchDataset.prepare`: compressed blocks and tables of classes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence

from benchmarks.frame import Outcome
from benchmarks.prepare_cases import raw


def all_cases(dataset: str, count: int, spacing: Sequence[float], processes: int = 1) -> Callable[[], Outcome]:
    """A function that prepares all cases anew, with nnU-Net's choices: nonzero box, z-score, cubic splines."""
    folder = raw(dataset, count)

    from medicalseg.datasets import PatchDataset
    from medicalseg.utils.logger import logger

    logger.setLevel("WARNING")
    target = folder.parent / "blocks"
    steps = {
        "orientation": "RAS",
        "crop": "nonzero",
        "intensity": [{"type": "zscore"}],
        "spacing": list(spacing),
        "image_order": 3,
    }

    def run() -> Outcome:
        shutil.rmtree(target, ignore_errors=True)
        prepared = PatchDataset(
            str(folder), [], fold="all", patch_size=[64, 64, 64], preprocess=steps, cache_dir=str(target)
        )
        prepared.prepare(processes)
        size = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
        return Outcome({"cases": len(prepared.cases), "megabytes written": round(size / 1e6, 1)})

    return run
