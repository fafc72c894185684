"""`medicalseg prepare msd`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence

from benchmarks.frame import Outcome
from benchmarks.prepare_cases import raw


def all_cases(dataset: str, count: int, spacing: Sequence[float]) -> Callable[[], Outcome]:
    """A function that prepares all cases anew: linear images, nearest labels, .npy files, lists and description."""
    folder = raw(dataset, count)

    from medicalseg.cli.main import main
    from medicalseg.utils.logger import logger

    logger.setLevel("WARNING")
    target = folder.parent / "prepared"
    words = ["prepare", "msd", "--task", folder, "--dataset_root", target, "--num_workers", 1, "--spacing", *spacing]

    def run() -> Outcome:
        shutil.rmtree(target, ignore_errors=True)
        if main([str(word) for word in words]) != 0:
            raise RuntimeError("medicalseg prepare failed")
        size = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
        return Outcome({"cases": count, "megabytes written": round(size / 1e6, 1)})

    return run
