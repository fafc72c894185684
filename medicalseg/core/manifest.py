"""`run.json`: what a run was made of, so that it can be made again."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medicalseg.utils import environment, files


def dataset_entry(dataset: Any) -> dict[str, Any] | None:
    """Class, size and content hash of a dataset."""
    if dataset is None:
        return None
    entry: dict[str, Any] = {"type": type(dataset).__name__, "samples": len(dataset)}
    if hasattr(dataset, "cases"):
        entry["cases"] = len(dataset.cases)
    if hasattr(dataset, "data_hash"):
        entry["sha256"] = dataset.data_hash()
    if getattr(dataset, "notes", None):
        entry["notes"] = list(dataset.notes)
    return entry


def write_manifest(path: Path, device: str, content: Mapping[str, Any]) -> None:
    """Write `run.json`: time, command, environment, and what the caller knows (config, data, options)."""
    manifest = {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": list(sys.argv),
        "environment": environment.describe(device),
        "versions": environment.versions(),
        **content,
    }
    files.write_json(path, manifest)
