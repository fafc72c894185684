"""The state of the files that a run trains on, so that files which change later are told."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medicalseg.datasets.case import Case

HASH_LENGTH = 16
SAMPLES, SAMPLE_BYTES = 64, 4096


def file_states(dataset: Any) -> dict[str, str]:
    """By name of a dataset's cases, a hash of their files; none of a dataset that does not tell them."""
    cases = [case for case in getattr(dataset, "cases", None) or () if isinstance(case, Case)]
    return {case.name: _hash(case.files) for case in cases}


def _hash(paths: Sequence[Path]) -> str:
    """Of sizes and samples from beginning to end: all of a small file, a quarter of a megabyte of a large one."""
    digest = hashlib.sha256()
    for path in paths:
        if path.is_file():
            size = path.stat().st_size
            digest.update(f"{path.name} {size} ".encode())
            with open(path, "rb") as handle:
                for start in range(0, size, max(SAMPLE_BYTES, size // SAMPLES)):
                    handle.seek(start)
                    digest.update(handle.read(SAMPLE_BYTES))
    return digest.hexdigest()[:HASH_LENGTH]


def changed_files(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Names of the cases whose files are no longer those of before, sorted."""
    return sorted(name for name, state in now.items() if before.get(name, state) != state)
