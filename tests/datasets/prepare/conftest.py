"""Raw folders in a temporary place, and a way to see that nobody writes into them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from medicalseg.datasets.phantom import write_raw_phantom
from medicalseg.io import Volume, write_volume


def snapshot(folder: Path) -> dict[str, tuple[int, str]]:
    """Time of change and content of every file."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in files
    }


def contents(folder: Path) -> dict[str, str]:
    """Content of every file."""
    return {name: digest for name, (_, digest) in snapshot(folder).items()}


@pytest.fixture
def raw_spine(tmp_path) -> Path:
    """Five cases in MRISpineSeg's raw layout, 40 x 36 x 5."""
    folder = write_raw_phantom(tmp_path / "source", 5, size=(40, 36, 5))
    (folder / "phantom.json").unlink()
    return folder.parents[1]


def write_pair(image: Path, label: Path, shape=(12, 10, 8), seed=0, classes=3, spacing=1.5) -> None:
    """A random image from -1500 to 900 and a label."""
    rng = np.random.default_rng(seed)
    affine = np.diag([-spacing, spacing, 2.0, 1.0])
    affine[:3, 3] = 5, -7, 11
    write_volume(Volume(rng.uniform(-1500, 900, shape).astype(np.float32), affine), image)
    labels = rng.integers(0, classes, shape).astype(np.uint8)
    write_volume(Volume(labels, affine, meta={"labels": True}), label)
