"""Networks for images on volumes: rebuilt exactly, stacks and edges, windows, bounded memory, small planes."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
from scipy import ndimage

from medicalseg.errors import ConfigError, DataError
from medicalseg.inference import Decision, Preprocessing, SliceSpec, SliceWise, SlidingWindow, TaskSpec, WholeVolume
from medicalseg.inference.decision import pack, unpack
from medicalseg.inference.network import WithDecision
from medicalseg.inference.pipeline import segment
from medicalseg.inference.slice_wise import inferer_for, middle_planes
from medicalseg.io import Volume

SHAPE = (7, 9, 5)


class Pointwise(WithDecision):
    """Logits that each pixel has by itself: of class k the weighted sum of the stack, nearest to k."""

    def __init__(self, classes: int = 4, weights: tuple[float, ...] = (1.0,), decision: Decision | None = None) -> None:
        self.weights = np.array(weights, np.float32)[None, :, None, None]
        self.classes = np.arange(classes, dtype=np.float32)[None, :, None, None]
        self.decision = decision or Decision()
        self.batches: list[tuple[int, ...]] = []
        self.alive: list[weakref.ref[np.ndarray]] = []
        self.most_alive = 0

    def logits(self, x: np.ndarray) -> np.ndarray:
        assert x.ndim == 4
        assert min(x.shape[2:]) >= 32
        self.most_alive = max(self.most_alive, sum(ref() is not None for ref in self.alive))
        self.batches.append(x.shape)
        logits = -(((x * self.weights).sum(axis=1, keepdims=True) - self.classes) ** 2)
        self.alive.append(weakref.ref(logits))
        return logits


def ids(shape: tuple[int, ...] = SHAPE, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, shape)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("arguments", [{}, {"batch": 2}, {"window": 32}, {"window": [33, 40], "batch": 3}])
@pytest.mark.parametrize("shape", [SHAPE, (35, 3, 37)])
def test_a_volume_is_rebuilt_exactly(axis: int, arguments: dict, shape: tuple[int, int, int]) -> None:
    volume = ids(shape)
    inferer = SliceWise({"axis": axis}, **arguments)
    image = volume[None].astype(np.float32)
    np.testing.assert_array_equal(inferer.labels(Pointwise(), image), volume)
    seen = np.zeros(shape, int)
    for region, logits in inferer.slabs(Pointwise(), image):
        np.testing.assert_array_equal(logits.argmax(axis=0), volume[region])
        seen[region] += 1
    assert (seen == 1).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(("edge", "mode"), [("clamp", "nearest"), ("zero", "constant"), ("reflect", "mirror")])
def test_stacks_see_their_neighbours(axis: int, edge: str, mode: str) -> None:
    volume = np.random.default_rng(1).random(SHAPE).astype(np.float32)
    spec = SliceSpec(axis, 3, 2, edge)
    network = Pointwise(1, (0.5, 2.0, -1.0))
    expected = ndimage.correlate1d(volume, [0.5, 0, 2.0, 0, -1.0], axis=axis, mode=mode)
    np.testing.assert_allclose(SliceWise(spec, batch=2).logits(network, volume[None])[0], -(expected**2), atol=1e-5)


def test_colour_channels_stay_together() -> None:
    image = np.random.default_rng(2).random((3, 6, 5, 4)).astype(np.float32)
    network = Pointwise(1, (0, 1, 0, 0, 0, 2, 0, 0, 0))
    expected = image[1][..., [0, 0, 1, 2]] + 2 * image[2]
    logits = SliceWise(SliceSpec(2, 3)).logits(network, image)[0]
    np.testing.assert_allclose(logits, -(expected**2), atol=1e-5)


def test_rows_are_the_second_axis_of_the_plane() -> None:
    shapes = {}
    for axis in range(3):
        network = Pointwise()
        SliceWise({"axis": axis}, batch=1).labels(network, np.zeros((1, 40, 50, 60), np.float32))
        shapes[axis] = network.batches[0]
    assert shapes == {0: (1, 1, 60, 50), 1: (1, 1, 60, 40), 2: (1, 1, 50, 40)}


@pytest.mark.parametrize(("arguments", "batch"), [({"batch": 4}, 4), ({"window": 32, "batch": 2}, 2)])
def test_logits_of_one_batch_at_most_are_alive(arguments: dict, batch: int) -> None:
    network = Pointwise()
    labels = SliceWise(**arguments).labels(network, np.random.default_rng(0).random((1, 40, 40, 30), np.float32))
    assert labels.shape == (40, 40, 30)
    assert max(shape[0] for shape in network.batches) == batch
    assert network.most_alive <= 1


def test_the_batch_follows_the_plane() -> None:
    assert [SliceWise().count((side, side)) for side in (64, 512, 640, 4096)] == [32, 4, 2, 1]
    assert SliceWise(batch=7).count((640, 640)) == 7


def test_small_planes_are_padded_at_their_end() -> None:
    image = np.ones((1, 5, 40, 2), np.float32)
    planes = middle_planes(image, SliceSpec())
    assert planes.shape == (1, 1, 40, 32)
    assert planes[..., :5].all()
    assert not planes[..., 5:].any()


def test_pictures_of_one_size_run_together() -> None:
    pictures = [ids((40, 33, 1), seed)[None].astype(np.float32) for seed in range(3)]
    network = Pointwise()
    for labels, picture in zip(SliceWise().labels_of_all(network, pictures), pictures, strict=True):
        np.testing.assert_array_equal(labels, picture[0])
    assert network.batches == [(3, 1, 33, 40)]
    other = np.zeros((1, 35, 33, 1), np.float32)
    shapes = [labels.shape for labels in SliceWise().labels_of_all(network, [*pictures, other])]
    assert shapes == [(40, 33, 1)] * 3 + [(35, 33, 1)]


def test_what_does_not_go_together() -> None:
    images, volumes = TaskSpec(4, slices=SliceSpec()), TaskSpec(4)
    assert isinstance(inferer_for(images), SliceWise)
    assert isinstance(inferer_for(volumes), WholeVolume)
    with pytest.raises(ConfigError, match="SliceWise"):
        inferer_for(images, SlidingWindow(32))
    with pytest.raises(ConfigError, match="takes volumes"):
        inferer_for(volumes, SliceWise())


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [({"batch": 0}, "batch"), ({"window": [1, 2, 3]}, "window"), ({"window": 0}, "window"), ({"overlap": 1}, "overlap"),
     ({"slices": {"axes": 1}}, "axis")],
)  # fmt: skip
def test_wrong_arguments(arguments: dict, problem: str) -> None:
    if "overlap" in arguments:
        arguments = {**arguments, "window": 32}
    with pytest.raises(ConfigError, match=problem):
        SliceWise(**arguments)


AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])


def smooth_masks(count: int, shape: tuple[int, int, int]) -> np.ndarray:
    noise = np.random.default_rng(3).normal(size=(count, *shape))
    return np.stack([(ndimage.gaussian_filter(plane, 2) > 0).astype(np.uint8) for plane in noise])


def test_overlapping_structures_are_restored_one_by_one() -> None:
    task = TaskSpec(2, preprocessing=Preprocessing(size=(12, 10, 8)), head="sigmoid")
    original = Volume(np.zeros((23, 19, 15), np.float32), AFFINE)
    masks = smooth_masks(2, (12, 10, 8))
    restored = task.restore(pack(masks), task.preprocessing.grid(original))
    for mask, result in zip(masks, unpack(restored.array, 2), strict=True):
        zoomed = ndimage.zoom(mask.astype(np.float64), np.array([23, 19, 15]) / mask.shape, order=1, mode="nearest")
        certain = np.abs(zoomed - 0.5) > 1e-4
        np.testing.assert_array_equal(result[certain], (zoomed > 0.5)[certain])
    same = Preprocessing(orientation="LPS")
    there = same.apply_label(original.with_array(np.arange(23 * 19 * 15).reshape(23, 19, 15) % 4))
    back = TaskSpec(2, preprocessing=same, head="sigmoid").restore(there, same.grid(original))
    np.testing.assert_array_equal(back.array.ravel(), np.arange(23 * 19 * 15) % 4)


def test_one_structure_is_restored_as_one_class_is() -> None:
    steps = Preprocessing(spacing=(2.0, 2.0, 2.0))
    record = steps.grid(Volume(np.zeros((23, 19, 15), np.float32), AFFINE))
    label = smooth_masks(1, record.network_shape)[0]
    single = TaskSpec(1, preprocessing=steps, head="sigmoid").restore(label, record)
    np.testing.assert_array_equal(single.array, TaskSpec(2, preprocessing=steps).restore(label, record).array)
    codes = steps.restore(label, record, structures=1)
    np.testing.assert_array_equal(single.array, codes.array)


def test_references_in_the_form_of_labels() -> None:
    task = TaskSpec(2, head="sigmoid")
    label = np.array([[[0, 1, 2, 255]]])
    assert task.labels_of(label).tolist() == [[[0, 1, 2, -1]]]
    masks = np.array([[[[0, 1, 1, 255]]], [[[0, 0, 1, 0]]]])
    assert task.labels_of(masks).tolist() == [[[0, 1, 3, -1]]]
    assert TaskSpec(3).labels_of(label) is label
    for wrong in (np.array([[[3]]]), np.zeros((3, 1, 1, 1), int)):
        with pytest.raises(DataError):
            task.labels_of(wrong)
    with pytest.raises(DataError, match="not masks"):
        TaskSpec(3).labels_of(masks)


def test_pictures_keep_one_slice_on_the_way_back() -> None:
    task = TaskSpec(4, preprocessing=Preprocessing(size=(40, 36, 1), image_order=0), slices=SliceSpec())
    picture = Volume(np.kron(ids((10, 9, 1)), np.ones((2, 2, 1))).astype(np.float32), np.diag([-1.0, -1.0, 1.0, 1.0]))
    result = segment(picture, task, Pointwise())
    assert result.shape == picture.shape
    assert (result.array == picture.array).mean() > 0.9
    assert task.preprocessing.grid(picture).scale[2] == 1


def test_smaller_pieces_are_smaller_than_what_went_through_together() -> None:
    shape = (1024, 700, 40)
    inferer, sizes = SliceWise(), []
    while (way := inferer.smaller((256, 256, 40))) is not None:
        inferer, _ = way
        sizes.append(inferer.count((256, 256)))
    assert sizes == [8, 4, 2, 1]
    assert SliceWise().count(shape[:2]) == 1
    assert SliceWise().smaller(shape) is None
    assert SliceWise(window=64, batch=4).smaller(shape)[0].batch == 2  # type: ignore[index]
