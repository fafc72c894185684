"""Pictures: the right slice, upright whatever way the array is stored."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from nibabel.orientations import apply_orientation as orient
from nibabel.orientations import axcodes2ornt, ornt_transform

from medicalseg.errors import DataError
from medicalseg.reports import overlay, write_overlay
from medicalseg.reports.overlay import choose_view, class_colour, representative_cases

AXCODES = [
    "".join(pair[sign] for pair, sign in zip(order, signs, strict=True))
    for order in itertools.permutations(("RL", "AP", "SI"))
    for signs in itertools.product((0, 1), repeat=3)
]


def standing_patient() -> np.ndarray:
    """RAS labels: a spine of four classes in one sagittal plane, head (4) up, and a nose (5) in front of the head."""
    labels = np.zeros((9, 11, 13), np.int32)
    for index in range(4):
        labels[4, 4:6, 3 * index : 3 * index + 2] = index + 1
    labels[4, 8, 10] = 5
    return labels


@pytest.mark.parametrize("axcodes", AXCODES)
def test_sagittal_slice_stands_upright_and_looks_left(axcodes: str) -> None:
    stored = orient(standing_patient(), ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(tuple(axcodes))))
    view = choose_view(stored, (1, 1, 1), axcodes)
    assert axcodes[view.axis] in "LR"
    picture = view.slice(stored)
    rows, columns = (np.argwhere(picture == c).mean(axis=0) for c in (1, 4)), np.argwhere(picture == 5)[0, 1]
    foot, head = rows
    assert head[0] < foot[0]
    assert columns < head[1]


@pytest.mark.parametrize(("axcodes", "up", "left"), [("RAS", "A", "R"), ("LPS", "A", "R"), ("PIL", "S", "A")])
def test_thick_slices_are_shown_as_they_were_taken(axcodes: str, up: str, left: str) -> None:
    labels = np.zeros((8, 9, 10), int)
    labels[2:5, 3:6, 7] = 1
    view = choose_view(labels, (0.5, 0.7, 4.0), axcodes)
    assert (view.axis, view.index, view.up, view.left) == (2, 7, up, left)
    assert view.aspect == pytest.approx(0.7 / 0.5 if view.transpose else 0.5 / 0.7)


def test_png_is_written_with_three_panels(tmp_path: Path) -> None:
    labels = standing_patient()
    image = np.random.default_rng(0).normal(size=labels.shape)
    write_overlay(tmp_path / "a.png", image, labels, np.roll(labels, 1, 1), names={1: "S"}, title="case_1")
    picture = imread(tmp_path / "a.png")
    assert picture.shape[1] > picture.shape[0] > 200
    assert len(np.unique(picture.reshape(-1, picture.shape[-1]), axis=0)) > 50


@pytest.mark.parametrize("empty", ["reference", "both"])
def test_empty_masks_and_odd_intensities(tmp_path: Path, empty: str) -> None:
    labels = standing_patient()
    image = np.full(labels.shape, np.nan)
    prediction = labels if empty == "reference" else np.zeros_like(labels)
    write_overlay(tmp_path / "a.png", image, np.zeros_like(labels), prediction)
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_ignored_voxels_are_not_drawn(tmp_path: Path) -> None:
    labels = standing_patient()
    marked = labels.copy()
    marked[0] = 255
    image = np.zeros(labels.shape)
    write_overlay(tmp_path / "a.png", image, labels, labels)
    write_overlay(tmp_path / "b.png", image, marked, labels)
    np.testing.assert_array_equal(imread(tmp_path / "a.png"), imread(tmp_path / "b.png"))


def test_shapes_that_differ(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="one shape"):
        write_overlay(tmp_path / "a.png", np.zeros((2, 3, 4)), np.zeros((2, 3, 4), int), np.zeros((2, 3, 5), int))


def test_neighbouring_classes_have_different_colours() -> None:
    colours = np.array([class_colour(index) for index in range(1, 40)])
    assert np.abs(np.diff(colours, axis=0)).sum(axis=1).min() > 0.4


def test_choice_of_pictures() -> None:
    scores = np.array([0.5, np.nan, 0.9, 0.1, 0.7])
    assert representative_cases(scores, 3) == {"best": 2, "median": 0, "worst": 3}
    assert representative_cases(scores, 1) == {"best": 2}
    assert representative_cases(np.array([np.nan]), 3) == {}
    assert representative_cases(np.array([0.2]), 3) == {"best": 0}
    assert representative_cases(np.array([0.2, 0.3]), 3) == {"best": 1, "worst": 0}
    assert representative_cases(np.array([0.2, 0.3, 0.3]), 2) == {"best": 1, "median": 2}


def test_the_legend_has_the_colours_of_the_picture() -> None:
    grey = np.full((1, 4, 3), 0.5)
    true, predicted = np.array([[1, 0, 1, 1]]), np.array([[0, 1, 2, 1]])
    seen = overlay._paint_differences(grey, true, predicted)[0]
    np.testing.assert_allclose(seen, [overlay._seen(*look) for look in overlay.DIFFERENCES.values()])
    np.testing.assert_allclose(overlay._paint(grey, true)[0, 0], overlay._seen(overlay.class_colour(1)))
