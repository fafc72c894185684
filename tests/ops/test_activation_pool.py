"""Memory of activations: given out again, bounded by what was in use at once."""

from __future__ import annotations

import gc

import numpy as np
import paddle
import pytest

from medicalseg.ops import pool

MEGABYTE = 2**20


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> pool.Pool:
    found = pool.Pool()
    monkeypatch.setattr(pool, "_pool", found)
    return found


def test_a_freed_block_serves_the_next_array_of_its_size(fresh: pool.Pool) -> None:
    first = fresh.array([4 * MEGABYTE], np.uint8)
    address = first.ctypes.data
    del first
    assert (fresh.live, fresh.mapped) == (0, 4 * MEGABYTE)
    assert fresh.array([3 * MEGABYTE], np.uint8).ctypes.data == address


def test_a_block_more_than_twice_as_large_is_left_alone(fresh: pool.Pool) -> None:
    large = fresh.array([10 * MEGABYTE], np.uint8)
    address = large.ctypes.data
    del large
    small = fresh.array([4 * MEGABYTE], np.uint8)
    assert small.ctypes.data != address
    assert fresh.live == 4 * MEGABYTE


def test_no_more_is_mapped_than_was_ever_in_use(fresh: pool.Pool) -> None:
    generator = np.random.default_rng(0)
    held: list[np.ndarray] = []
    for _ in range(200):
        if held and generator.random() < 0.5:
            held.pop(int(generator.integers(len(held))))
        held.append(fresh.array([int(generator.integers(1, 40)) * MEGABYTE // 2], np.uint8))
        if len(held) > 6:
            held.pop(0)
        assert fresh.live <= fresh.mapped <= fresh.peak
    held.clear()
    assert fresh.live == 0


@pytest.mark.parametrize("dtype", [paddle.float32, paddle.bfloat16])
def test_tensors_are_ordinary_and_give_their_memory_back(dtype: paddle.dtype, fresh: pool.Pool) -> None:
    tensor = pool.empty([3, 5, MEGABYTE // 4], dtype)
    assert tensor.dtype == dtype
    assert list(tensor.shape) == [3, 5, MEGABYTE // 4]
    if not pool._shares_memory():
        pytest.skip("this Paddle copies arrays from DLPack; tensors are Paddle's own")
    assert fresh.live > 0
    part = tensor.transpose([2, 0, 1])[:2]
    del tensor
    gc.collect()
    assert fresh.live > 0
    del part
    gc.collect()
    assert fresh.live == 0


def test_a_view_keeps_the_block(fresh: pool.Pool) -> None:
    part = fresh.array([4 * MEGABYTE], np.uint8)[1:]
    gc.collect()
    assert fresh.live > 0
    del part
    gc.collect()
    assert fresh.live == 0


def test_small_tensors_are_paddles_own(fresh: pool.Pool) -> None:
    pool.empty([10], paddle.float32)
    assert fresh.mapped == 0
