"""The spine volumes that prediction and preparation are measured on: SPIDER's, where they are, else the phantom's."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.process import ROOT

VARIABLE = "MEDICALSEG_DATA_ROOT"
CASE = "spider_005.nii.gz"


def data_root() -> Path:
    """Folder with `spider_t2space`; MEDICALSEG_DATA_ROOT, else beside the checkout."""
    given = os.environ.get(VARIABLE)
    return Path(given) if given else ROOT.parent / "shared" / "data" / "spine"


def has_real_data() -> bool:
    """Whether the real volumes are there."""
    return (data_root() / "spider_t2space" / "imagesTr" / CASE).is_file()


def image(full: bool = False) -> Path:
    """A T2 volume: 256x320x18 voxels, or `full` with 512x640x18."""
    return _folder(full) / "imagesTr" / CASE


def label(full: bool = False) -> Path:
    """Its 20-class label map."""
    return _folder(full) / "labelsTr_levels" / CASE


def _folder(full: bool) -> Path:
    return data_root() / ("spider_t2space_fullres" if full else "spider_t2space")
