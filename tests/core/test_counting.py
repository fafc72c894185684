"""How large a voxel is."""

from __future__ import annotations

import math
from pathlib import Path

from medicalseg.core.counting import voxel_volume


def test_volume_of_a_voxel() -> None:
    assert voxel_volume((0.5, 0.5, 4.0), Path("case.nii.gz")) == 1.0
    assert voxel_volume((1.0, 2.0, 3.0), None) == 6.0


def test_a_picture_does_not_tell_its_size() -> None:
    assert math.isnan(voxel_volume((1.0, 1.0, 1.0), Path("case.PNG")))
