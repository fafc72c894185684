"""Batches from worker processes: order, errors with their cause, no process left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from types import SimpleNamespace

import numpy as np
import pytest

from medicalseg.core.loader import BatchLoader, collate_samples
from medicalseg.errors import DataError, RunError


class Data:
    cases = tuple(SimpleNamespace(name=f"case{k}") for k in range(10))

    def __init__(self, mode: str = "good") -> None:
        self.mode = mode

    def __getitem__(self, index):
        epoch, number = index
        if number == 7 and self.mode == "error":
            raise ValueError("cannot be\nread")
        if number == 7 and self.mode == "data error":
            raise DataError("case7.npy: truncated")
        if number == 7 and self.mode == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.01 * (number % 3))
        noise = np.random.rand()
        return np.full((1, 2, 2, 2), number + noise), np.full((2, 2, 2), epoch), f"case{number}"


BATCHES = [[(k // 5, 2 * (k % 5)), (k // 5, 2 * (k % 5) + 1)] for k in range(10)]


def workers() -> list:
    return [child for child in multiprocessing.active_children() if child.is_alive()]


@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_order_and_content(num_workers):
    got = list(BatchLoader(Data(), BATCHES, collate_samples, num_workers, seed=2))
    expected = list(BatchLoader(Data(), BATCHES, collate_samples, 0, seed=2))
    assert len(got) == 10
    for (images, labels), (same_images, same_labels), indices in zip(got, expected, BATCHES, strict=True):
        np.testing.assert_array_equal(images, same_images)
        np.testing.assert_array_equal(labels, same_labels)
        assert images.dtype == np.float32
        assert labels.dtype == np.int64
        assert [int(image.flat[0]) for image in images] == [number for _, number in indices]
    assert not workers()


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize(
    ("mode", "kind", "message"),
    [("error", RunError, "case 'case7': ValueError: cannot be"), ("data error", DataError, r"case7\.npy: truncated")],
)
def test_errors_arrive(num_workers, mode, kind, message):
    with pytest.raises(kind, match=message):
        list(BatchLoader(Data(mode), BATCHES, collate_samples, num_workers))
    assert not workers()


def test_killed_worker():
    with pytest.raises(RunError, match=r"killed by SIGKILL.*case 'case6', case 'case7'"):
        list(BatchLoader(Data("killed"), BATCHES, collate_samples, 2))
    assert not workers()


def test_leaving_early_ends_the_workers():
    batches = iter(BatchLoader(Data(), BATCHES, collate_samples, 2))
    next(batches)
    assert len(workers()) == 2
    batches.close()
    assert not workers()


def test_shapes_that_do_not_stack():
    items = [(np.zeros((1, 2, 2, 2)), np.zeros((2, 2, 2)), "a"), (np.zeros((1, 3, 2, 2)), np.zeros((3, 2, 2)), "b")]
    with pytest.raises(RunError, match=r"a: \(1, 2, 2, 2\), b: \(1, 3, 2, 2\)"):
        collate_samples(items)
