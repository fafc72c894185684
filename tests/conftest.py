"""Fixtures for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("MEDICALSEG_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's root folder."""
    return ROOT


def _shared(name: str, what: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"no {what}: {folder} does not exist (set MEDICALSEG_SHARED to the folder that holds {name}/)")
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real volumes and awkward files that lie beside the checkout; not part of the project."""
    return _shared("data", "real data")


@pytest.fixture(scope="session")
def shared_compat() -> Path:
    """Golden numbers and key lists of PaddleSeg3D; not part of the project."""
    return _shared("compat", "compatibility facts")
