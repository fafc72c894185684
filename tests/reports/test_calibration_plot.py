"""The reliability picture is written whole for any number of classes."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.image import imread

from medicalseg.metrics import Calibration
from medicalseg.reports.calibration_plot import write_reliability_png


@pytest.mark.parametrize("classes", [2, 30])
def test_picture(tmp_path, classes):
    random = np.random.default_rng(0)
    calibration = Calibration(classes)
    calibration.add(random.normal(size=(classes, 500)), random.integers(0, classes, 500))
    path = tmp_path / "reliability.png"
    write_reliability_png(path, calibration.value(), [f"class {index}" for index in range(classes)], "title")
    assert imread(path).std() > 0.05
    assert [file.name for file in tmp_path.iterdir()] == ["reliability.png"]


def test_picture_of_nothing(tmp_path):
    write_reliability_png(tmp_path / "empty.png", Calibration(2, codes=True).value(), ["a", "b"])
    assert (tmp_path / "empty.png").is_file()
