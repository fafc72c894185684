"""Polygons: areas by formula, pixels against scikit-image, bad lines."""

from __future__ import annotations

import numpy as np
import pytest

from medicalseg.datasets.yolo import Polygon, fill, read_polygons
from medicalseg.errors import DataError


def area(points):
    """The shoelace formula."""
    x, y = points.T
    return abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def star(corners=9, seed=0):
    generator = np.random.default_rng(seed)
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    radius = generator.uniform(0.15, 0.45, corners)
    return np.stack([0.5 + radius * np.cos(angles), 0.5 + radius * np.sin(angles)], axis=-1)


def test_rectangle_covers_exactly_its_pixels():
    points = np.array([[0.2, 0.25], [0.6, 0.25], [0.6, 0.75], [0.2, 0.75]])
    mask = fill(Polygon(0, points), 10, 8)
    expected = np.zeros((10, 8), bool)
    expected[2:6, 2:6] = True
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("seed", range(4))
def test_area_of_a_star(seed):
    points = star(seed=seed)
    mask = fill(Polygon(0, points), 400, 300)
    assert mask.sum() == pytest.approx(area(points * (400, 300)), rel=0.005)


def test_pixels_as_scikit_image():
    draw = pytest.importorskip("skimage.draw", reason="scikit-image is not installed")
    points = star(seed=5)
    mask = fill(Polygon(0, points), 60, 50)
    # Its pixel centres have whole numbers, ours lie at the half.
    expected = draw.polygon2mask((60, 50), points * (60, 50) - 0.5)
    np.testing.assert_array_equal(mask, expected)


def test_edges_and_outside():
    assert fill(Polygon(0, np.array([[0, 0], [1, 0], [1, 1], [0, 1]])), 6, 5).all()
    assert fill(Polygon(0, np.array([[-0.04, -0.04], [1.04, 0], [1.04, 1.04], [-0.04, 1.0]])), 6, 5).all()
    assert not fill(Polygon(0, np.array([[0.5, 0.5]] * 3)), 7, 7).any()
    assert not fill(Polygon(0, np.array([[1.01, 0.0], [1.04, 0.5], [1.01, 1.0]])), 6, 5).any()


def test_files(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("0 0.1 0.1 0.5 0.1 0.5 0.5\n\n2 0.2 0.2 0.9 0.2 0.9 0.9 0.2 0.9\n")
    first, second = read_polygons(path)
    assert (first.category, second.category) == (0, 2)
    assert second.points.shape == (4, 2)
    path.write_text("")
    assert read_polygons(path) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 0.2 0.2", r"a\.txt:2: is a box"),
        ("0 0.5 0.5 0.2", r"a\.txt:2: expected 'class x y"),
        ("0 0.5 0.5 0.2 0.2 0.1 0.1 0.3", r"a\.txt:2: expected 'class x y"),
        ("0 0.5 0.5 0.2 0.2 a 0.1", "no number"),
        ("0 0.5 0.5 0.2 0.2 nan 0.1", "from 0 to 1, got nan"),
        ("0 100 50 20 20 30 10", "from 0 to 1, got 100"),
        ("1.5 0.5 0.5 0.2 0.2 0.3 0.1", "class is a whole number"),
        ("-1 0.5 0.5 0.2 0.2 0.3 0.1", "class is a whole number"),
    ],
)
def test_bad_lines(tmp_path, line, message):
    path = tmp_path / "a.txt"
    path.write_text(f"0 0.1 0.1 0.5 0.1 0.5 0.5\n{line}\n")
    with pytest.raises(DataError, match=message):
        read_polygons(path)


def test_no_file(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_polygons(tmp_path / "none.txt")
