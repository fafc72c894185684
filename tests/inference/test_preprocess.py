"""Preprocessing against SciPy, and the way back against a plain one-hot interpolation."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import ndimage

from medicalseg.errors import ConfigError, DataError, VolumeError
from medicalseg.inference.preprocess import GridRecord, Preprocessing
from medicalseg.io import Volume, reorient

UPSTREAM = {"intensity": [{"type": "window", "low": 0, "high": 2650}], "size": [64, 48, 12]}
OBLIQUE = np.array([[0, 0, 2.0, 5], [-1.5, 0.1, 0, 3], [0, 1.0, 0.05, 2], [0, 0, 0, 1]])


def image(shape=(101, 90, 12), seed=0):
    return np.random.default_rng(seed).integers(0, 4000, shape).astype(np.float32)


def blobs(shape, classes=6, seed=0):
    coarse = np.random.default_rng(seed).integers(0, classes, (5, 4, 3))
    return coarse[np.ix_(*(np.arange(size) * part // size for size, part in zip(shape, coarse.shape, strict=True)))]


def volume(array, affine=None):
    return Volume(array, np.diag([0.3, 0.3, 4, 1]) if affine is None else affine)


def test_window_and_zoom_equal_upstream():
    array = image()
    result, record = Preprocessing.from_dict(UPSTREAM).apply(volume(array))
    zoom = np.array([64, 48, 12]) / array.shape
    expected = ndimage.zoom(np.clip((array - 0) / 2650, 0, 1), zoom, order=1, mode="nearest")
    assert result.dtype == np.float32
    assert result.flags.c_contiguous
    np.testing.assert_allclose(result[0], expected, atol=1e-6)
    assert record.network_shape == (64, 48, 12)


@pytest.mark.parametrize("shape", [(101, 90, 12), (30, 30, 30), (5, 1, 7), (128, 96, 24)])
def test_labels_equal_scipy_zoom_of_order_zero(shape):
    labels = np.random.default_rng(1).integers(0, 20, shape).astype(np.uint8)
    result = Preprocessing(size=(64, 48, 12)).apply_label(volume(labels))
    expected = ndimage.zoom(labels, np.array([64, 48, 12]) / shape, order=0, mode="nearest")
    assert result.dtype == np.int32
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("order", [2, 3])
def test_spline_orders_equal_scipy_zoom(order):
    array = image((20, 17, 9))
    result, _ = Preprocessing(size=(13, 30, 9), image_order=order).apply(volume(array))
    expected = ndimage.zoom(array, np.array([13, 30, 9]) / array.shape, order=order, mode="nearest")
    np.testing.assert_allclose(result[0], expected, rtol=1e-4, atol=0.5)


def test_nan_becomes_the_given_value_as_in_upstreams_lung_window():
    array = image((6, 5, 4)) - 2000
    array[0, 0, 0] = np.nan
    step = {"type": "window", "low": -1200, "high": 600, "out_high": 255, "nan": -2000}
    result, _ = Preprocessing(intensity=(step,)).apply(volume(array))
    expected = np.clip((np.nan_to_num(array, nan=-2000) + 1200) / (1800 / 255), 0, 255)
    np.testing.assert_allclose(result[0], expected, atol=1e-4)
    with pytest.raises(VolumeError, match="NaN"):
        Preprocessing().apply(volume(array))


def test_statistics_per_channel():
    array = np.stack([image((8, 7, 6)), image((8, 7, 6), seed=1) * 50 + 3])
    array[:, :2] = 0
    result, _ = Preprocessing(intensity=({"type": "zscore", "mask": "nonzero"},)).apply(volume(array))
    assert np.allclose([channel[2:].mean() for channel in result], 0, atol=1e-4)
    assert np.allclose([channel[2:].std() for channel in result], 1, atol=1e-4)
    assert not result[:, :2].any()
    result, _ = Preprocessing(intensity=({"type": "minmax"},)).apply(volume(array))
    assert [(channel.min(), channel.max()) for channel in result] == [(0, 1), (0, 1)]
    result, _ = Preprocessing(intensity=({"type": "percentile", "low": 1, "high": 99},)).apply(volume(array))
    low, high = np.percentile(array[1], [1, 99])
    np.testing.assert_allclose(result[1], np.clip((array[1] - low) / (high - low), 0, 1), atol=1e-5)


def test_standardize_is_a_formula():
    array = image((8, 7, 6)) - 1500
    step = {"type": "standardize", "low": -200, "high": 900, "mean": 120.5, "std": 77}
    for kind in (np.float32, np.int16):
        result, _ = Preprocessing(intensity=(step,)).apply(volume(array.astype(kind)))
        np.testing.assert_allclose(result[0], (np.clip(array.astype(kind), -200, 900) - 120.5) / 77, rtol=1e-5)


def test_steps_of_some_channels():
    array = np.stack([image((8, 7, 6)), image((8, 7, 6), seed=1)])
    steps = [{"type": "window", "low": 0, "high": 4000, "channels": [0]}, {"type": "zscore", "channels": [1]}]
    result, _ = Preprocessing(intensity=steps).apply(volume(array))
    np.testing.assert_allclose(result[0], array[0] / 4000, rtol=1e-6)
    np.testing.assert_allclose(result[1], (array[1] - array[1].mean()) / array[1].std(), atol=1e-4)


def test_normalize_is_the_last_step():
    array = image((8, 7, 6))
    result, _ = Preprocessing(normalize="max").apply(volume(array))
    np.testing.assert_allclose(result[0], array / array.max(), rtol=1e-6)
    for how, values in (("zscore", array), ("max", -array)):
        result, _ = Preprocessing(normalize=how).apply(volume(values))
        np.testing.assert_allclose(result[0], (values - values.mean()) / values.std(), atol=1e-4)


def test_the_volume_stays_as_it_is():
    array = image((6, 5, 4))
    result, _ = Preprocessing().apply(volume(array))
    result += 1
    np.testing.assert_array_equal(array, image((6, 5, 4)))


def test_spacing_keeps_the_field_of_view():
    """A linear ramp in mm stays the same ramp, except at the clamped edge."""
    array = np.broadcast_to(np.arange(40, dtype=np.float32)[:, None, None], (40, 6, 5))
    result, record = Preprocessing(spacing=(2.0, 1.0, 1.0)).apply(volume(array.copy(), np.eye(4)))
    assert result.shape == (1, 20, 6, 5)
    np.testing.assert_allclose(result[0, :, 0, 0], np.arange(20) * 2 + 0.5, atol=1e-5)
    assert record.scale == (0.5, 1.0, 1.0)


def test_pad_and_divisor_do_not_interpolate():
    array = image((10, 9, 5))
    settings = Preprocessing(size=(16, 8, 8), fit="pad", divisor=(1, 4, 16))
    result, record = settings.apply(volume(array))
    assert result.shape == (1, 16, 12, 16)
    np.testing.assert_array_equal(result[0, 3:13, :9, 1:6], array)
    assert np.count_nonzero(result) == np.count_nonzero(array)
    labels = blobs(array.shape)
    restored = settings.restore(settings.apply_label(volume(labels)), record)
    np.testing.assert_array_equal(restored.array, labels)


def test_orientation_equals_reorient():
    original = volume(image((7, 8, 9)), OBLIQUE)
    result, record = Preprocessing(orientation="LPS").apply(original)
    np.testing.assert_array_equal(result[0], reorient(original, "LPS").array)
    assert record.oriented_shape == result.shape[1:]


SETTINGS = [
    {"size": [8, 40, 9]},
    {"size": [8, 1, 12], "divisor": [4, 4, 4], "orientation": "PIR"},
    {"size": [32, 32, 8], "spacing": [1.3, 2, 1.1], "divisor": [16, 16, 16], "fit": "pad", "orientation": "LPS"},
    {"spacing": [3, 0.7, 1.9], "orientation": "SRA"},
]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("shape", [(17, 23, 9), (30, 1, 12)])
@pytest.mark.parametrize("slab", [1 << 24, 50])
def test_restore_is_the_largest_interpolated_indicator(settings, shape, slab, monkeypatch):
    monkeypatch.setattr("medicalseg.inference.restore.SLAB_VOXELS", slab)
    steps = Preprocessing.from_dict(settings)
    original = volume(blobs(shape), OBLIQUE)
    labels = steps.apply_label(original)
    record = GridRecord.from_dict(json.loads(json.dumps(steps.grid(original).to_dict())))
    restored = steps.restore(labels, record)
    assert restored.shape == shape
    np.testing.assert_array_equal(restored.affine, OBLIQUE)
    oriented = restored if steps.orientation is None else reorient(restored, steps.orientation)
    votes = one_hot_votes(labels, record)
    chosen = np.take_along_axis(votes, oriented.array[None].astype(int), 0)[0]
    np.testing.assert_allclose(chosen, votes.max(0), atol=1e-5)


@pytest.mark.parametrize("count", [1, 3])
def test_restore_is_the_same_by_threads_and_in_file_order(count, monkeypatch):
    monkeypatch.setattr("medicalseg.inference.restore.SLAB_VOXELS", 2000)
    monkeypatch.setattr("medicalseg.inference.threads.SMALL", 0)
    monkeypatch.setattr("medicalseg.inference.threads.default_threads", lambda: count)
    steps = Preprocessing(size=(16, 20, 12), orientation="PIR")
    original = volume(blobs((33, 41, 17)), OBLIQUE)
    labels = steps.apply_label(original)
    record = steps.grid(original)
    restored = steps.restore(labels, record)
    assert restored.array.flags.f_contiguous
    votes = one_hot_votes(labels, record)
    two, one = np.sort(votes, axis=0)[-2:]
    clear = one - two > 1e-5
    assert clear.mean() > 0.9
    oriented = reorient(restored, "PIR").array
    np.testing.assert_array_equal(oriented[clear], votes.argmax(0)[clear])


@pytest.mark.parametrize(("fit", "shape"), [("resize", (20, 8, 6)), ("resize", (1, 8, 6)), ("pad", (20, 10, 9))])
def test_an_axis_without_a_size_keeps_its_voxels(fit, shape):
    wanted = (8, 6) if fit == "resize" else (10, 9)
    array, labels = image(shape), blobs(shape)
    steps = Preprocessing(size=(None, *wanted), fit=fit)
    result, record = steps.apply(volume(array))
    whole = Preprocessing(size=(shape[0], *wanted), fit=fit)
    np.testing.assert_array_equal(result, whole.apply(volume(array))[0])
    assert record == whole.grid(volume(array))
    assert result.shape == (1, shape[0], *wanted)
    np.testing.assert_array_equal(steps.restore(steps.apply_label(volume(labels)), record).array, labels)
    assert Preprocessing.from_dict(json.loads(json.dumps(steps.to_dict()))) == steps


def test_ties_go_to_the_lowest_class():
    labels = np.array([3, 0, 5, 3], np.int32).reshape(4, 1, 1)
    steps = Preprocessing(size=(4, 1, 1))
    record = steps.grid(volume(np.zeros((7, 1, 1), np.uint8)))
    np.testing.assert_array_equal(steps.restore(labels, record).array.ravel(), [3, 0, 0, 0, 5, 3, 3])


def test_label_maps_without_foreground_or_without_background():
    for labels in (np.zeros((4, 4, 4), int), np.full((4, 4, 4), 2), np.arange(64).reshape(4, 4, 4) % 2 + 1):
        steps = Preprocessing(size=(4, 4, 4))
        restored = steps.restore(labels, steps.grid(volume(np.zeros((9, 7, 4), np.uint8)))).array
        assert set(np.unique(restored)) == set(np.unique(labels))


def one_hot_votes(labels, record):
    lines = [
        np.clip(np.arange(record.oriented_shape[axis]) * record.scale[axis] + record.offset[axis], start, stop - 1)
        for axis, (start, stop) in enumerate(zip(record.start, record.stop, strict=True))
    ]
    points = np.meshgrid(*lines, indexing="ij")
    return np.stack(
        [
            ndimage.map_coordinates((labels == label).astype(float), points, order=1, mode="nearest")
            for label in range(6)
        ]
    )


def test_restore_of_equal_grids_is_the_identity():
    labels = np.random.default_rng(0).integers(0, 300, (9, 8, 7))
    steps = Preprocessing(size=(9, 8, 7), spacing=(0.3, 0.3, 4))
    restored = steps.restore(labels, steps.grid(volume(labels)))
    assert restored.array.dtype == np.uint16
    np.testing.assert_array_equal(restored.array, labels)


def test_resized_record_equals_a_direct_resize():
    original = volume(blobs((20, 16, 9)))
    direct = Preprocessing(size=(10, 12, 9)).grid(original)
    twice = Preprocessing(size=(15, 8, 9)).grid(original).resized((10, 12, 9))
    np.testing.assert_allclose((twice.scale, twice.offset), (direct.scale, direct.offset), atol=1e-12)
    assert (twice.start, twice.stop, twice.network_shape) == (direct.start, direct.stop, direct.network_shape)


def test_restore_refuses_what_does_not_belong():
    steps = Preprocessing(size=(4, 4, 4))
    record = steps.grid(volume(blobs((8, 8, 8))))
    with pytest.raises(DataError, match=r"\(5, 4, 4\).*\(4, 4, 4\)"):
        steps.restore(np.zeros((5, 4, 4), int), record)
    with pytest.raises(DataError, match="negative id -3"):
        steps.restore(np.full((4, 4, 4), -3), record)
    with pytest.raises(DataError, match="grid record"):
        GridRecord.from_dict({"shape": [1, 2, 3]})


def test_round_trip_as_dict():
    steps = Preprocessing.from_dict({**UPSTREAM, "orientation": "ras", "divisor": (4, 4, 4), "normalize": "max"})
    assert Preprocessing.from_dict(json.loads(json.dumps(steps.to_dict()))) == steps
    assert steps.orientation == "RAS"
    assert steps.without_normalization().normalize == "none"
    assert Preprocessing.from_dict(None) == Preprocessing()
    thick = Preprocessing(image_order=[3, 3, 0], crop="body")
    assert Preprocessing.from_dict(json.loads(json.dumps(thick.to_dict()))) == thick


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sise": [1, 2, 3]}, r"preprocessing\.sise.*did you mean 'size'"),
        ({"size": [1, 2]}, r"preprocessing\.size: expected three positive integers"),
        ({"size": [1.5, 2, 3]}, r"preprocessing\.size"),
        ({"size": 64}, r"preprocessing\.size"),
        ({"size": [None, None, None]}, r"preprocessing\.size"),
        ({"divisor": [None, 4, 4]}, r"preprocessing\.divisor"),
        ({"spacing": [1, 0, 1]}, r"preprocessing\.spacing"),
        ({"spacing": [1, float("nan"), 1]}, r"preprocessing\.spacing"),
        ({"orientation": "RAR"}, r"preprocessing\.orientation"),
        ({"orientation": 3}, r"preprocessing\.orientation"),
        ({"fit": "crop"}, r"preprocessing\.fit"),
        ({"normalize": "std"}, r"preprocessing\.normalize"),
        ({"image_order": 6}, r"preprocessing\.image_order"),
        ({"image_order": [3, 3]}, r"preprocessing\.image_order.*one per axis"),
        ({"image_order": [3, 3, True]}, r"preprocessing\.image_order"),
        ({"crop": "brain"}, r"preprocessing\.crop"),
        ({"intensity": [{"type": "standardize", "low": 0, "high": 1, "mean": 0}]}, r"needs \['std'\]"),
        ({"intensity": [{"type": "standardize", "low": 0, "high": 1, "mean": 0, "std": 0}]}, r"\.std"),
        ({"intensity": [{"type": "minmax", "channels": [-1]}]}, r"\.channels"),
        ({"intensity": [{"type": "minmax", "channels": 0}]}, r"\.channels"),
        ({"colour": "gray"}, r"preprocessing\.colour.*did you mean 'grey'"),
        ({"divisor": [True, 2, 2]}, r"preprocessing\.divisor"),
        ({"intensity": {"type": "minmax"}}, r"preprocessing\.intensity: expected a list"),
        ({"intensity": ["minmax"]}, r"preprocessing\.intensity\[0\]"),
        ({"intensity": [{"type": "windw"}]}, r"intensity\[0\]\.type.*did you mean 'window'"),
        ({"intensity": [{"type": "window", "low": 0}]}, r"needs \['high'\]"),
        ({"intensity": [{"type": "window", "low": 3, "high": 3}]}, "smaller"),
        ({"intensity": [{"type": "window", "low": "0", "high": 3}]}, r"\.low: expected a number"),
        ({"intensity": [{"type": "zscore", "mask": "some"}]}, r"\.mask"),
        ({"intensity": [{"type": "percentile", "high": 101}]}, "percentiles"),
        ({"intensity": [{"type": "minmax", "low": 1}]}, r"\.low: unknown"),
        ({"intensity": [{"type": "minmax", "channel": [1]}]}, "did you mean 'channels'"),
    ],
)
def test_wrong_settings_name_the_field(settings, message):
    with pytest.raises(ConfigError, match=message):
        Preprocessing.from_dict(settings)


def test_a_size_of_two_numbers() -> None:
    with pytest.raises(ConfigError, match=r"preprocess\.size of pictures: \[96, 128, 1\]"):
        Preprocessing(size=(96, 128))  # type: ignore[arg-type]
