"""Volumes that the tests of medicalseg.io share."""

from __future__ import annotations

import numpy as np
import pytest

from medicalseg.io import Volume


def rotation(degrees_z: float = 17.0, degrees_x: float = 8.5) -> np.ndarray:
    z, x = np.radians([degrees_z, degrees_x])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    return about_z @ about_x


def make_volume(shape=(9, 11, 6), dtype=np.int16, seed=0, spacing=(0.9, 1.1, 2.5), channels=0) -> Volume:
    """A random oblique volume."""
    generator = np.random.default_rng(seed)
    size = (channels, *shape) if channels else shape
    array = (generator.random(size) * 200).astype(dtype)
    affine = np.eye(4)
    affine[:3, :3] = rotation() * np.array(spacing)
    affine[:3, 3] = [-35.5, 12.25, 80.0]
    return Volume(array, affine)


@pytest.fixture
def volume() -> Volume:
    return make_volume()


@pytest.fixture
def warnings_of(caplog, monkeypatch):
    """The text of all warnings so far; works also when the package's logger does not propagate."""
    import logging

    monkeypatch.setattr(logging.getLogger("medicalseg"), "propagate", True)
    caplog.set_level(logging.WARNING, logger="medicalseg")
    return lambda: [record.getMessage() for record in caplog.records]
