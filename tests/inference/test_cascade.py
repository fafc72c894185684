"""Ids of an earlier network as one channel of an image, and as channels of what goes through the network."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from medicalseg.inference import Decision, SliceSpec, SliceWise, SlidingWindow, TaskSpec, WholeVolume, segment
from medicalseg.inference.cascade import EarlierIds, id_type, one_hot, with_ids, with_previous
from medicalseg.inference.memory import estimate_memory
from medicalseg.inference.network import WithDecision
from medicalseg.inference.slice_wise import inferer_for
from medicalseg.io import Volume

CLASSES = 4
VOLUMES = TaskSpec(3, in_channels=2, previous_classes=CLASSES)


class Mixing(WithDecision):
    """Logits of a voxel from all channels of it and of its neighbours."""

    decision = Decision()

    def __init__(self, channels: int) -> None:
        self.factors = np.random.default_rng(0).normal(size=(3, channels)).astype(np.float32)

    def logits(self, x: np.ndarray) -> np.ndarray:
        assert x.shape[1] == self.factors.shape[1]
        mixed = x + 0.5 * np.roll(x, 1, axis=2) - 0.3 * np.roll(x, 2, axis=-1)
        return np.einsum("kc,nc...->nk...", self.factors, mixed, optimize=False)


def image_and_ids() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    image, ids = rng.normal(size=(2, 37, 34, 9)).astype(np.float32), rng.integers(0, CLASSES + 1, (37, 34, 9))
    image[:, :12], ids[:12] = 0, 0
    image[:, 12:20] = 0
    return image, ids.astype(np.uint8)


@pytest.mark.parametrize(
    ("slices", "inferer"),
    [
        (None, WholeVolume()),
        (None, WholeVolume([0, 2])),
        (None, SlidingWindow(8, batch=3, mirror_axes=[1])),
        (None, SlidingWindow([40, 16, 12], overlap=0.2, skip_empty=False)),
        (SliceSpec(), SliceWise(SliceSpec(), batch=4)),
        (SliceSpec(0, 3, 2, "zero"), SliceWise(SliceSpec(0, 3, 2, "zero"), mirror_axes=[1])),
        (SliceSpec(2, 5, 1, "reflect"), SliceWise(SliceSpec(2, 5, 1, "reflect"), 2, window=[20, 32])),
    ],
)
def test_scores_are_those_of_an_image_with_all_channels(slices: SliceSpec | None, inferer) -> None:
    image, ids = image_and_ids()
    task = replace(VOLUMES, slices=slices)
    network = Mixing(task.network_channels)
    every = np.concatenate([image, *(ids[None] == label for label in range(1, CLASSES + 1))]).astype(np.float32)
    mine = inferer_for(task, inferer)
    np.testing.assert_array_equal(mine.labels(network, with_ids(image, ids)), inferer.labels(network, every))
    np.testing.assert_array_equal(mine.logits(network, with_ids(image, ids)), inferer.logits(network, every))
    assert inferer_for(replace(task, previous_classes=0), inferer) is inferer
    way = mine.smaller(image.shape[1:])
    assert way is None or way[0].earlier == EarlierIds.of(task)


def test_channels_of_every_slice_of_a_stack_are_in_their_place() -> None:
    first, second = (np.arange(4, dtype=np.float32).reshape(1, 2, 2) + shift for shift in (10, 20))
    ids = np.array([[[0, 1], [2, 1]], [[2, 2], [0, 0]]], np.float32)
    x = np.concatenate([first, ids[:1], second, ids[1:]])[None]
    found = EarlierIds(2, slices=2).expanded(x)
    expected = np.concatenate([first, one_hot(ids[0], 2), second, one_hot(ids[1], 2)])[None]
    np.testing.assert_array_equal(found, expected)


def test_ids_may_be_many() -> None:
    assert (id_type(255), id_type(256)) == (np.uint8, np.int32)
    image = Volume(np.zeros((4, 4, 4), np.float32), np.eye(4))
    task = TaskSpec(2, previous_classes=300)
    earlier = Volume(np.full((4, 4, 4), 300, np.uint16), np.eye(4))
    array, record = task.preprocessing.apply(image)
    assert with_previous(array, record, earlier, task)[1].max() == 300


def test_memory_does_not_grow_with_the_ids() -> None:
    alone = TaskSpec(20)
    sliding = SlidingWindow(128)
    first = estimate_memory((512, 512, 600), alone, sliding, network_bytes=640 << 20).total
    few, many = (
        estimate_memory((512, 512, 600), replace(alone, previous_classes=count), sliding, network_bytes=640 << 20).total
        for count in (1, 19)
    )
    assert first < few == many <= 3 << 30


def test_a_prediction_holds_no_more_than_estimated() -> None:
    task = TaskSpec(2, previous_classes=60)

    class First(Mixing):
        def logits(self, x: np.ndarray) -> np.ndarray:
            return x[:, :2]

    shape = (80, 80, 80)
    image = Volume(np.random.default_rng(0).normal(size=shape).astype(np.float32), np.eye(4))
    earlier = Volume(np.random.default_rng(0).integers(0, 61, shape).astype(np.uint8), np.eye(4))
    sliding = SlidingWindow(16)
    tracemalloc.start()
    try:
        segment(image, task, First(1), sliding, previous=earlier)
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    one_channel = 4 * 80**3
    assert held < 8 * one_channel < 60 * one_channel
    assert held < estimate_memory(shape, task, sliding, itemsize=4).total
