"""Pictures and masks in folders: what a missing mask is told."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from medicalseg.datasets.image_folder import ImageFolder
from medicalseg.datasets.masks import Classes
from medicalseg.errors import DataError


@pytest.mark.parametrize(
    ("masks", "looked_for"),
    [
        ("masks", r"looked for .*masks/a with one of .*\.png.*\.nii\.gz"),
        ("masks/{case}_mask.png", r"looked for .*masks/a_mask\.png\)"),
    ],
)
def test_a_missing_mask_names_the_files_looked_for(tmp_path, masks, looked_for):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    Image.fromarray(np.zeros((3, 4), np.uint8)).save(tmp_path / "images" / "a.png")
    with pytest.raises(DataError, match=looked_for):
        ImageFolder(tmp_path, Classes({}, 2), masks=masks).cases(label_required=True)
