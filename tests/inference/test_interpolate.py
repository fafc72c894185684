"""Block-wise interpolation against SciPy, whatever the memory order, the blocks and the threads."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from medicalseg.errors import DataError
from medicalseg.inference import interpolate, threads
from medicalseg.inference.grid import centre_aligned, corner_aligned
from medicalseg.inference.interpolate import resize


def arranged(array, how):
    if how == "F":
        return np.asfortranarray(array)
    if how == "flipped":
        return np.ascontiguousarray(array[::-1, :, ::-1])[::-1, :, ::-1]
    if how == "middle":
        return np.ascontiguousarray(array.transpose(1, 2, 0)).transpose(2, 0, 1)
    return array


@pytest.fixture(params=[1, 3])
def parts(request, monkeypatch):
    """Many small blocks, by one and by several threads."""
    monkeypatch.setattr(interpolate, "BLOCK_VOXELS", 300)
    monkeypatch.setattr(threads, "SMALL", 0)
    monkeypatch.setattr(threads, "default_threads", lambda: request.param)


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("how", ["C", "F", "flipped", "middle"])
@pytest.mark.parametrize("size", [(20, 9, 40), (5, 33, 7), (23, 1, 18), (64, 64, 64)])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_linear_and_nearest_equal_scipy_zoom(how, size, kind):
    array = np.random.default_rng(0).integers(0, 200, (23, 17, 18)).astype(kind)
    maps = [corner_aligned(*pair) for pair in zip(array.shape, size, strict=True)]
    result = resize(arranged(array, how), maps, 1)
    zoom = np.array(size) / array.shape
    expected = ndimage.zoom(array.astype(float), zoom, order=1, mode="nearest")
    assert result.dtype == np.float32
    assert result.flags.c_contiguous
    np.testing.assert_allclose(result, expected, atol=1e-4)
    labels = resize(arranged(array, how), maps, 0)
    assert labels.dtype == kind
    np.testing.assert_array_equal(labels, ndimage.zoom(array, zoom, order=0, mode="nearest"))


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("spacing", [0.4, 1.0, 2.7])
def test_convert_before_interpolating(spacing):
    """Clipping does not commute with interpolation, so the order shows."""
    array = np.random.default_rng(0).integers(-50, 50, (19, 12, 30)).astype(np.int16)
    maps = [centre_aligned(size, 1.0, spacing) for size in array.shape]
    result = resize(np.asfortranarray(array), maps, 1, lambda part: np.clip(part, -10, 10).astype(np.float32))
    points = np.meshgrid(*(axis.coordinates() for axis in maps), indexing="ij")
    clipped = np.clip(array, -10, 10).astype(float)
    np.testing.assert_allclose(result, ndimage.map_coordinates(clipped, points, order=1), atol=1e-5)


def test_nothing_to_do_gives_the_array_itself():
    array = np.random.default_rng(0).random((4, 5, 6)).astype(np.float32)
    assert resize(array, [corner_aligned(size, size) for size in array.shape], 1) is array


def test_spline_of_an_axis_with_one_voxel():
    array = np.random.default_rng(0).random((8, 1, 6)).astype(np.float32)
    result = resize(array, [corner_aligned(*pair) for pair in ((8, 8), (1, 4), (6, 6))], 3)
    np.testing.assert_allclose(result, np.broadcast_to(array, (8, 4, 6)), atol=1e-5)


def test_an_error_in_a_thread_is_raised(monkeypatch):
    monkeypatch.setattr(threads, "default_threads", lambda: 2)

    def fail(item):
        raise DataError(f"part {item}")

    with pytest.raises(DataError, match="part 0"):
        threads.for_each(fail, range(5), threads.SMALL)


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("how", ["C", "F", "flipped", "middle"])
@pytest.mark.parametrize("order", [2, 3, 5])
@pytest.mark.parametrize("spacing", [(0.7, 2.0, 1.3), (3.0, 0.2, 1.0)])
def test_splines_equal_scipy(how, order, spacing):
    array = np.random.default_rng(0).integers(0, 200, (23, 40, 18)).astype(np.int16)
    maps = [centre_aligned(size, 1.0, wanted) for size, wanted in zip(array.shape, spacing, strict=True)]
    result = resize(arranged(array, how), maps, order)
    shape, steps, origins = zip(*((axis.size_out, axis.step, axis.origin) for axis in maps), strict=True)
    expected = ndimage.affine_transform(array.astype(float), steps, origins, shape, order=order, mode="nearest")
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, atol=1e-3)


@pytest.mark.usefixtures("parts")
def test_an_order_per_axis_is_one_axis_after_the_other():
    array = np.random.default_rng(0).normal(0, 100, (20, 24, 9)).astype(np.float32)
    maps = [centre_aligned(20, 1.0, 0.8), centre_aligned(24, 1.0, 1.7), centre_aligned(9, 4.0, 1.0)]
    steps, origins, sizes = ([getattr(axis, name) for axis in maps] for name in ("step", "origin", "size_out"))
    expected = array.astype(float)
    for axis, order in enumerate((3, 1, 0)):
        step, origin, shape = [1.0, 1.0, 1.0], [0.0, 0.0, 0.0], list(expected.shape)
        step[axis], origin[axis], shape[axis] = steps[axis], origins[axis], sizes[axis]
        expected = ndimage.affine_transform(expected, step, origin, tuple(shape), order=order, mode="nearest")
    np.testing.assert_allclose(resize(array, maps, [3, 1, 0]), expected, atol=1e-3)
    assert resize(array, maps, [0, 0, 0]).dtype == array.dtype


def test_splines_equal_simpleitk_inside():
    sitk = pytest.importorskip("SimpleITK")
    array = ndimage.gaussian_filter(np.random.default_rng(0).normal(0, 100, (40, 36, 32)), 1).astype(np.float32)
    maps = [centre_aligned(size, 1.0, wanted) for size, wanted in zip(array.shape, (1.25, 0.8, 1.6), strict=True)]
    image = sitk.GetImageFromArray(array.transpose(2, 1, 0))
    filtered = sitk.ResampleImageFilter()
    filtered.SetInterpolator(sitk.sitkBSpline)
    filtered.SetSize([axis.size_out for axis in maps])
    filtered.SetOutputSpacing([axis.step for axis in maps])
    filtered.SetOutputOrigin([axis.origin for axis in maps])
    expected = sitk.GetArrayFromImage(filtered.Execute(image)).transpose(2, 1, 0)
    inner = (slice(8, -8), slice(10, -10), slice(6, -6))
    np.testing.assert_allclose(resize(array, maps, 3)[inner], expected[inner], atol=0.01)


def test_a_change_of_voxel_size_equals_scikit_image():
    transform = pytest.importorskip("skimage.transform")
    array = np.random.default_rng(0).normal(0, 100, (20, 31, 14)).astype(np.float32)
    maps = [centre_aligned(*axis) for axis in zip(array.shape, (1.0, 0.5, 3.0), (0.8, 0.9, 1.0), strict=True)]
    shape = tuple(axis.size_out for axis in maps)
    expected = transform.resize(array.astype(float), shape, order=3, mode="edge", anti_aliasing=False, clip=False)
    np.testing.assert_allclose(resize(array, maps, 3), expected, atol=1e-3)
