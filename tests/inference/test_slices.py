"""Slices and stacks of a volume, and the way back."""

from __future__ import annotations

import numpy as np
import pytest

from medicalseg.errors import ConfigError
from medicalseg.inference import SliceSpec


def volume(channels: int = 2) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((channels, 4, 5, 6)).astype(np.float32)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_pictures_with_the_second_axis_as_rows(axis: int) -> None:
    spec, image = SliceSpec(axis), volume()
    pictures = spec.as_images(spec.stack(image))
    columns, rows = spec.plane
    assert pictures.shape == (image.shape[1 + axis], 2, image.shape[1 + rows], image.shape[1 + columns])
    np.testing.assert_array_equal(pictures[3, 1], np.take(image[1], 3, axis=axis).T)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_images_put_together_are_the_volume(axis: int) -> None:
    spec, image = SliceSpec(axis), volume()
    parts = [spec.as_volume(spec.as_images(spec.stack(image, start, start + 2))) for start in (0, 2)]
    whole = np.concatenate(parts, axis=1 + axis)
    np.testing.assert_array_equal(whole, np.take(image, range(4), axis=1 + axis))


@pytest.mark.parametrize(
    ("edge", "expected"),
    [
        ("clamp", [[0, 0, 2], [0, 1, 3], [0, 2, 4], [1, 3, 4], [2, 4, 4]]),
        ("zero", [[None, 0, 2], [None, 1, 3], [0, 2, 4], [1, 3, None], [2, 4, None]]),
        ("reflect", [[2, 0, 2], [1, 1, 3], [0, 2, 4], [1, 3, 3], [2, 4, 2]]),
    ],
)
def test_what_lies_beyond_the_edge(edge: str, expected: list[list[int | None]]) -> None:
    image = np.arange(1.0, 6.0, dtype=np.float32).reshape(1, 1, 1, 5)
    stacks = SliceSpec(2, num_slices=3, stride=2, edge=edge).stack(image)[:, :, 0, 0]
    np.testing.assert_array_equal(stacks, [[0 if i is None else i + 1 for i in row] for row in expected])


def test_reflection_goes_to_and_fro_in_a_thin_volume() -> None:
    image = np.arange(3.0, dtype=np.float32).reshape(1, 1, 1, 3)
    stack = SliceSpec(2, num_slices=9, edge="reflect").stack(image, 0, 1)[0, :, 0, 0]
    np.testing.assert_array_equal(stack, np.pad(image[0, 0, 0], (4, 4), mode="reflect")[:9])
    single = SliceSpec(2, num_slices=3, edge="reflect").stack(image[..., :1])
    np.testing.assert_array_equal(single[0, :, 0, 0], [0, 0, 0])


def test_channels_stay_together_slice_after_slice() -> None:
    image = volume(channels=2)
    stack = SliceSpec(2, num_slices=3).stack(image, 2, 3)[0]
    np.testing.assert_array_equal(stack, np.concatenate([image[..., z] for z in (1, 2, 3)]))


def test_one_dictionary_there_and_back() -> None:
    spec = SliceSpec(1, 5, 2, "zero")
    assert SliceSpec.from_dict(spec.to_dict()) == spec
    assert SliceSpec.from_dict({}) == SliceSpec()
    assert SliceSpec.from_dict(None) is None


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"axis": 3}, "slices.axis"),
        ({"axis": True}, "slices.axis"),
        ({"num_slices": 2}, "odd"),
        ({"num_slices": 0}, "slices.num_slices"),
        ({"stride": 1.5}, "slices.stride"),
        ({"edge": "wrap"}, "slices.edge"),
        ({"strides": 1}, "stride"),
        ([2], "slices"),
    ],
)
def test_wrong_values_are_named(content: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        SliceSpec.from_dict(content)
