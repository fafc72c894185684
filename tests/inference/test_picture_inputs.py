"""Pictures on the command line: what they are read as, and where their label maps go."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from medicalseg.inference import Preprocessing, TaskSpec
from medicalseg.inference.inputs import Labels, find_inputs
from medicalseg.io import Volume, write_volume


def picture(path, channels=0):
    path.parent.mkdir(exist_ok=True, parents=True)
    shape = (6, 4, channels) if channels else (6, 4)
    Image.fromarray(np.full(shape, 9, np.uint8)).save(path)
    return path


def test_label_maps_of_pictures_are_png(tmp_path):
    for name in ("a.png", "b.jpg", "sub/c.tif"):
        picture(tmp_path / name)
    write_volume(Volume(np.zeros((3, 3, 2), np.uint8), np.eye(4)), tmp_path / "sub/d.tiff")
    cases = find_inputs(tmp_path)
    assert [case.output for case in cases] == [Path("a.png"), Path("b.png"), Path("sub/c.png"), Path("sub/d.tif")]
    assert cases[0].read().shape == (4, 6, 1)


def test_colour_picture_has_channels(tmp_path):
    (case,) = find_inputs(picture(tmp_path / "a.jpg", 3), in_channels=3)
    assert case.read().array.shape == (3, 4, 6, 1)
    assert case.output == Path("a.png")


def test_pictures_that_differ_in_their_suffix(tmp_path):
    for name in ("a.png", "a.bmp"):
        picture(tmp_path / name)
    assert sorted(case.output.name for case in find_inputs(tmp_path)) == ["a.bmp.png", "a.png.png"]


def test_pictures_beside_volumes_are_no_input(tmp_path):
    picture(tmp_path / "overlay.png")
    write_volume(Volume(np.zeros((3, 3, 2)), np.eye(4)), tmp_path / "a.nii.gz")
    assert [case.name for case in find_inputs(tmp_path)] == ["a"]


def test_labels_of_pictures(tmp_path):
    picture(tmp_path / "images" / "a.jpg")
    picture(tmp_path / "masks" / "a.png")
    (case,) = find_inputs(tmp_path / "images")
    label = Labels(tmp_path / "masks")
    path = label.find(case)
    assert label.read(path, case.read()).volume.array.max() == 9


def test_numbered_colour_pictures_are_cases(tmp_path):
    for number in range(3):
        picture(tmp_path / f"scan_{number:04d}.png", 3)
    cases = find_inputs(tmp_path, in_channels=3)
    assert [(case.name, len(case.files)) for case in cases] == [(f"scan_{n:04d}", 1) for n in range(3)]
    assert cases[1].read().array.shape == (3, 4, 6, 1)


def test_grey_pictures_by_channel_are_one_case(tmp_path):
    for number in range(3):
        picture(tmp_path / f"scan_{number:04d}.png")
    (case,) = find_inputs(tmp_path, in_channels=3)
    assert (case.name, case.read().array.shape) == ("scan", (3, 4, 6, 1))
    made_colour = TaskSpec(2, in_channels=3, preprocessing=Preprocessing(colour="rgb"))
    assert len(find_inputs(tmp_path, made_colour.files_per_image)) == 3
    assert TaskSpec(2, in_channels=3).files_per_image == 3


def test_same_names_without_numbers_are_cases(tmp_path):
    for name in ("a.png", "a.bmp", "a_0000.png", "b.png"):
        picture(tmp_path / name)
    cases = find_inputs(tmp_path, in_channels=2)
    assert sorted(case.name for case in cases) == ["a.bmp", "a.png", "a_0000", "b"]


def test_numbers_beyond_the_channels_are_cases(tmp_path):
    for number in (1, 2):
        picture(tmp_path / f"scan_{number:04d}.png")
    assert [case.name for case in find_inputs(tmp_path, in_channels=2)] == ["scan_0001", "scan_0002"]
