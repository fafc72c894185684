"""What a prepared folder cannot keep."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from medicalseg.cli.main import main
from medicalseg.io import Volume, write_volume


def test_regions_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = tmp_path / "raw"
    volume = Volume(np.zeros((4, 5, 6), np.uint8), np.eye(4))
    for folder in ("imagesTr", "labelsTr"):
        write_volume(volume, raw / folder / "a.nii.gz")
    labels = {"background": 0, "whole": [1, 2], "core": 2}
    (raw / "dataset.json").write_text(json.dumps({"labels": labels, "channel_names": {"0": "MR"}}))
    assert main(["prepare", "msd", "--task", str(raw), "--dataset_root", str(tmp_path / "out")]) == 2
    assert "several values each" in capsys.readouterr().err
