"""Headers and their voxel files: fingerprint and size of a case count both."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from medicalseg.datasets.prepare import engine
from medicalseg.datasets.prepare.job import CaseSource, Recipe
from medicalseg.datasets.prepare.voxel_files import with_voxels
from medicalseg.inference.preprocess import Preprocessing
from medicalseg.io import Volume, write_volume

PAIRS = [("a.mhd", "a.raw"), ("a.nhdr", "a.raw.gz"), ("a.hdr", "a.img")]


@pytest.fixture(params=PAIRS, ids=lambda pair: pair[0])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    header, voxels = (tmp_path / name for name in request.param)
    write_volume(Volume(np.random.default_rng(0).integers(0, 99, (20, 20, 20)).astype(np.int16), np.eye(4)), header)
    return header, voxels


def test_a_header_has_its_voxels(pair: tuple[Path, Path]) -> None:
    header, voxels = pair
    assert with_voxels(header) == (header, voxels)
    voxels.unlink()
    assert with_voxels(header) == (header,)


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd", "a.nii", "a.nii.gz"])
def test_one_file_is_alone(tmp_path: Path, name: str) -> None:
    write_volume(Volume(np.zeros((2, 3, 4), np.int16), np.eye(4)), tmp_path / name)
    assert with_voxels(tmp_path / name) == (tmp_path / name,)


def test_odd_headers_are_alone(tmp_path: Path) -> None:
    for text in ("ElementDataFile = LOCAL", "ElementDataFile = LIST", "NDims = 3", ""):
        (tmp_path / "a.mhd").write_text(text)
        assert with_voxels(tmp_path / "a.mhd") == (tmp_path / "a.mhd",)
    assert with_voxels(tmp_path / "missing.mhd") == (tmp_path / "missing.mhd",)
    (tmp_path / "part" / "v.raw").parent.mkdir()
    (tmp_path / "part" / "v.raw").touch()
    (tmp_path / "a.mhd").write_bytes(b"NDims = 3\r\nElementDataFile = part/v.raw\r\n")
    assert with_voxels(tmp_path / "a.mhd")[1:] == (tmp_path / "part" / "v.raw",)


def test_changed_voxels_change_the_fingerprint(pair: tuple[Path, Path], tmp_path: Path) -> None:
    header, voxels = pair
    recipe, source = Recipe(tmp_path / "out", Preprocessing(), tmp_path), CaseSource("a", (header,))
    before = recipe.fingerprint(source)
    os.utime(voxels, ns=(1, 1))
    assert recipe.fingerprint(source) != before


def test_voxels_count_for_the_number_of_workers(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header, voxels = pair
    monkeypatch.setattr(engine, "SMALL_BYTES", header.stat().st_size + voxels.stat().st_size - 1)
    assert engine._workers([CaseSource("a", (header,))], 3) == 3
