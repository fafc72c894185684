"""The state of the files that a run trains on, so that files which change later are told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medicalseg.datasets.case import Case, content_hash

HASH_LENGTH = 16


def file_states(dataset: Any) -> dict[str, str]:
    """By name of a dataset's cases, a hash of their files; none of a dataset that does not tell them."""
    cases = [case for case in getattr(dataset, "cases", None) or () if isinstance(case, Case)]
    return {case.name: content_hash([case])[:HASH_LENGTH] for case in cases}


def changed_files(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Names of the cases whose files are no longer those of before, sorted."""
    return sorted(name for name, state in now.items() if before.get(name, state) != state)
