"""Batches through shared memory arrive as they were."""

from __future__ import annotations

import os

import numpy as np
import pytest

from medicalseg.core import exchange
from medicalseg.core.exchange import Exchange
from medicalseg.core.loader import BatchLoader, collate_samples

linux = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="shared memory without a name is Linux's")
BATCH = (
    np.random.default_rng(0).random((2, 1, 5, 4, 3), dtype=np.float32),
    np.arange(120, dtype=np.int64).reshape(2, 5, 4, 3),
)


@pytest.fixture
def slots():
    made = Exchange(2)
    yield made
    made.close()


@linux
@pytest.mark.parametrize("low", [0, -1, -40_000, -(2**40)])
@pytest.mark.parametrize("high", [1, 255, 256, 70_000, 2**40])
def test_integers_keep_value_and_type(slots, low, high):
    label = np.array([low, high, 0], np.int64)
    kind, content = message = slots.put((label,))
    assert kind == "arrays"
    got = slots.take(message)[0]
    assert got.dtype == np.int64
    np.testing.assert_array_equal(got, label)
    if (low, high) == (0, 255):
        assert content[2][0][1] == "|u1"


@linux
def test_batches_of_growing_size_in_turn(slots):
    for size in (3, 2000, 10, 50_000):
        batch = (np.full(size, size, np.float32), np.ones((0, 2), np.int64), np.array(True))
        got = slots.take(slots.put(batch))
        for new, old in zip(got, batch, strict=True):
            assert new.dtype == old.dtype
            np.testing.assert_array_equal(new, old)


@linux
def test_what_was_taken_stays_when_the_slot_is_used_again():
    slots = Exchange(1)
    first = slots.take(slots.put(BATCH))
    slots.take(slots.put((BATCH[0] + 1, BATCH[1] + 1)))
    np.testing.assert_array_equal(first[0], BATCH[0])
    slots.close()


@pytest.mark.parametrize("batch", [[np.ones(2)], {"a": 1}, (np.ones(2), "name"), (), (np.array(["text"]),)])
def test_other_batches_go_as_they_are(slots, batch):
    kind, content = slots.put(batch)
    assert kind == "object"
    assert content is batch
    assert slots.take((kind, content)) is batch


def test_without_shared_memory(monkeypatch):
    def refuse(*_):
        raise OSError("no memory")

    monkeypatch.setattr(exchange.os, "memfd_create", refuse, raising=False)
    slots = Exchange(2)
    assert slots.put(BATCH) == ("object", BATCH)
    got = list(BatchLoader(Same(), [[0, 1]] * 5, collate_samples, 2))
    np.testing.assert_array_equal(got[4][1], BATCH[1])


class Same:
    def __getitem__(self, index):
        return BATCH[0][index], BATCH[1][index], "case"


def test_through_workers():
    for images, labels in BatchLoader(Same(), [[0, 1]] * 9, collate_samples, 2):
        np.testing.assert_array_equal(images, BATCH[0])
        np.testing.assert_array_equal(labels, BATCH[1])
        assert labels.dtype == np.int64
        assert labels.flags.writeable


def test_no_file_is_left_open():
    def count():
        return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0

    list(BatchLoader(Same(), [[0, 1]], collate_samples, 2))
    before = count()
    for _ in range(3):
        list(BatchLoader(Same(), [[0, 1]] * 3, collate_samples, 2))
    assert count() == before
