"""Names that tell a side, and the warning when they are mirrored."""

from __future__ import annotations

import logging

import pytest

from medicalseg.datasets.sides import left_right_axis, mirrored_axes, sided_names, warn_of_mirrored_sides
from medicalseg.inference.preprocess import Preprocessing
from medicalseg.inference.task import TaskSpec
from medicalseg.transforms import MirrorTransform, NnUNetAugmentation, RandomFlip3D, RandomFlip4D, SpatialTransform


@pytest.mark.parametrize(
    ("names", "sided"),
    [
        (["background", "kidney_left", "kidney_right"], ["kidney_left", "kidney_right"]),
        (["LeftLung", "rightLung"], ["LeftLung", "rightLung"]),
        (["femur_L", "femur_R", "liver"], ["femur_L", "femur_R"]),
        (["Niere links", "Rechte Niere"], ["Niere links", "Rechte Niere"]),
        (["lh-cortex", "左肺"], ["lh-cortex", "左肺"]),
        (["L5", "L5/S1", "T12", "lobe", "bright spot", "Anterior", "nodule l", "upright"], []),
    ],
)
def test_names(names, sided):
    assert sided_names(names) == sided


@pytest.mark.parametrize(("orientation", "axis"), [("RAS", 0), ("LPS", 0), ("PIL", 2), ("SRA", 1), (None, 0)])
def test_axis(orientation, axis):
    assert left_right_axis(orientation) == axis


@pytest.mark.parametrize(
    ("transform", "axes"),
    [
        (NnUNetAugmentation(), {0, 1, 2}),
        (NnUNetAugmentation(mirror_axes=None), set()),
        (MirrorTransform([1, 2]), {1, 2}),
        (RandomFlip3D(flip_axis=2), {2}),
        (RandomFlip4D(), {0, 1, 2}),
        (SpatialTransform(), set()),
    ],
)
def test_what_transforms_mirror(transform, axes):
    assert mirrored_axes(transform) == axes


@pytest.mark.parametrize(("orientation", "warned"), [("RAS", False), ("PIR", True)])
def test_warning_names_labels_and_axis(caplog, orientation, warned):
    names = {0: "background", 1: "kidney left", 2: "kidney right"}
    task = TaskSpec(3, names, preprocessing=Preprocessing(orientation=orientation))
    with caplog.at_level(logging.WARNING, logger="medicalseg"):
        warn_of_mirrored_sides(task, [NnUNetAugmentation(mirror_axes=[1, 2])])
    assert bool(caplog.records) == warned
    if warned:
        assert "axis 2" in caplog.text
        assert "kidney left, kidney right" in caplog.text
