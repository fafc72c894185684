"""Small datasets with known numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medicalseg.io import Volume, write_volume

Make = Callable[..., Path]


@pytest.fixture
def make_dataset(tmp_path: Path) -> Make:
    """Makes an nnU-Net folder of blobs: class k is a box at a place of its own."""

    def make(
        name: str = "blobs",
        cases: int = 6,
        shape: Sequence[int] = (24, 20, 16),
        spacing: Sequence[float] = (1, 1, 1),
        labels: Mapping[str, Any] | None = None,
        channels: Mapping[str, str] | None = None,
        **description: Any,
    ) -> Path:
        root = tmp_path / name
        names = dict(labels or {"background": 0, "a": 1, "b": 2})
        channel_names = dict(channels or {"0": "MRI"})
        content = {"channel_names": channel_names, "labels": names, "numTraining": cases, "file_ending": ".nii.gz"}
        (root / "imagesTr").mkdir(parents=True)
        (root / "labelsTr").mkdir()
        (root / "dataset.json").write_text(json.dumps(content | description), encoding="utf-8")
        affine = np.diag([*spacing, 1.0])
        for case in range(cases):
            rng = np.random.default_rng(case)
            label = np.zeros(shape, np.uint8)
            for position, value in enumerate(_stored(names)):
                start = 2 + 3 * position
                label[2:6, 2:8, start : start + 2] = value
            for channel in range(len(channel_names)):
                image = rng.normal(100 + 10 * channel, 5, shape).astype(np.float32)
                image[label > 0] += 50
                write_volume(Volume(image, affine), root / "imagesTr" / f"case{case}_{channel:04d}.nii.gz")
            write_volume(Volume(label, affine, meta={"labels": True}), root / "labelsTr" / f"case{case}.nii.gz")
        return root

    return make


def _stored(names: Mapping[str, Any]) -> list[int]:
    return sorted({v for value in names.values() for v in (value if isinstance(value, list) else [value]) if v})


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("MEDICALSEG_CACHE", str(folder))
    return folder
