"""Networks on other grids averaged on the image's own; cascades; memory."""

from __future__ import annotations

import errno
import logging
import os
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

from medicalseg.errors import ConfigError, RunError, UserError
from medicalseg.inference import Decision, Preprocessing, SliceSpec, SlidingWindow, TaskSpec, Timings, segment
from medicalseg.inference.alike import check_answers, same_road
from medicalseg.inference.memory import (
    MemoryPlan,
    MemoryWatch,
    available_memory,
    estimate_memory,
    is_out_of_memory,
    parse_memory,
)
from medicalseg.inference.mixture import Member, mix
from medicalseg.inference.network import WithDecision
from medicalseg.inference.slice_wise import inferer_for
from medicalseg.inference.windows import zeros
from medicalseg.io import Volume

AFFINE = np.array([[0, 0, -3.0, 5], [-1.0, 0, 0, 7], [0, -1.5, 0, -9], [0, 0, 0, 1]])
TASK = TaskSpec(3, preprocessing=Preprocessing(orientation="RAS"), restoring="scores")


class Pointwise(WithDecision):
    """Logits of a voxel that depend on that voxel only, scaled."""

    decision = Decision()

    def __init__(self, scale: float = 1) -> None:
        self.scale = scale

    def logits(self, x: np.ndarray) -> np.ndarray:
        first = x[:, :1]
        return self.scale * np.concatenate([first, 1 - first, np.sin(9 * first)], axis=1)


def volume(shape=(20, 16, 11)) -> Volume:
    return Volume(np.random.default_rng(3).random(shape, np.float32), AFFINE)


def member(task: TaskSpec, scale: float, sliding=None) -> Member:
    return Member(task, Pointwise(scale), inferer_for(task, sliding))


def test_members_on_one_grid_in_other_orientations_and_slices() -> None:
    image = volume((40, 36, 11))
    tasks = [
        TASK,
        replace(TASK, preprocessing=Preprocessing(orientation="ASL")),
        replace(TASK, slices=SliceSpec(axis=2)),
        replace(TASK, slices=SliceSpec(axis=0), preprocessing=Preprocessing(orientation="LIP")),
    ]
    members = [member(task, scale) for task, scale in zip(tasks, (1, 4, 9, 2), strict=True)]
    assert not same_road([each.task for each in members])
    result, record = mix(image, members, Timings(), uncertainty=True)
    x = image.array[None, None]
    expected = np.mean([softmax(Pointwise(scale).logits(x)[0], axis=0) for scale in (1, 4, 9, 2)], axis=0)
    sure = np.diff(np.sort(expected, axis=0)[-2:], axis=0)[0] > 2e-3
    np.testing.assert_array_equal(result.restored[sure], expected.argmax(axis=0)[sure])
    assert sure.mean() > 0.98
    np.testing.assert_allclose(result.uncertainty, -(expected * np.log(expected)).sum(0) / np.log(3), atol=2e-3)
    assert record.orientation == "RAS"
    assert result.restored.dtype == np.uint8


@pytest.mark.parametrize("spacing", [(1.4, 1.0, 2.0), (0.8, 1.7, 3.5)])
def test_one_member_twice_is_that_member(spacing: tuple[float, float, float]) -> None:
    task = replace(TASK, preprocessing=Preprocessing(orientation="LPS", spacing=spacing, crop="nonzero"))
    image = volume((30, 34, 28))
    array = image.array.copy()
    array[:7], array[:, 25:] = 0, 0
    image = Volume(array, AFFINE)
    sliding = SlidingWindow((8, 12, 9))
    alone = segment(image, task, Pointwise(6), sliding).array
    result, _ = mix(image, [member(task, 6, sliding)] * 2, Timings())
    assert np.mean(result.restored == alone) > 0.998
    assert (result.restored[:7] == 0).all()


def test_members_of_other_classes_are_refused() -> None:
    with pytest.raises(ConfigError, match="num_classes"):
        check_answers([TASK, replace(TASK, num_classes=4)])
    with pytest.raises(ConfigError, match="at least one"):
        check_answers([])


def test_a_cascade_gets_one_channel_per_earlier_id() -> None:
    seen = []

    class Second(Pointwise):
        def logits(self, x: np.ndarray) -> np.ndarray:
            seen.append(x)
            return super().logits(x)

    image = volume()
    task = replace(TASK, previous_classes=2)
    earlier = Volume(np.random.default_rng(0).integers(0, 3, image.shape).astype(np.uint8), AFFINE)
    segment(image, task, Second(), previous=earlier)
    stored = np.stack([image.array, earlier.array == 1, earlier.array == 2])
    from medicalseg.inference.grid import orient, orientation_change

    np.testing.assert_array_equal(seen[0][0], orient(stored, orientation_change(AFFINE, "RAS")))
    with pytest.raises(UserError, match="--previous_config"):
        segment(image, task, Second())
    with pytest.raises(UserError, match="shape"):
        segment(image, task, Second(), previous=Volume(earlier.array[1:], AFFINE))
    with pytest.raises(UserError, match="up to 2"):
        segment(image, task, Second(), previous=Volume(earlier.array + 1, AFFINE))


@pytest.mark.parametrize(("text", "amount"), [("3G", 3 << 30), ("800M", 800 << 20), ("2.5GiB", 5 << 29), ("77", 77)])
def test_amounts_of_memory(text: str, amount: int) -> None:
    assert parse_memory(text) == amount


@pytest.mark.parametrize("text", ["", "much", "-1G", "0", "3 apples"])
def test_no_amounts_of_memory(text: str) -> None:
    with pytest.raises(UserError, match="--memory"):
        parse_memory(text)


def test_a_full_disk_is_told_before_anything_is_written_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    image = Volume(np.zeros((8, 8, 8), np.float32), np.eye(4))
    with pytest.raises(RunError, match=r"No space left on device.*TMPDIR"):
        mix(image, [member(TASK, 1), member(TASK, 2)], Timings())


def test_only_real_shortage_is_out_of_memory() -> None:
    assert is_out_of_memory(MemoryError())
    with pytest.raises(MemoryError) as found:
        np.empty(1 << 60, np.uint8)
    assert is_out_of_memory(found.value)
    assert is_out_of_memory(RuntimeError("ResourceExhaustedError: Fail to alloc memory"))
    assert is_out_of_memory(RuntimeError("Out of memory error on GPU 0"))
    with pytest.raises(OSError, match="memory") as mapped:
        zeros([1 << 50])
    assert is_out_of_memory(mapped.value)
    assert not is_out_of_memory(FileNotFoundError(2, "No such file or directory"))
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_the_watch_sees_what_is_held_for_a_moment() -> None:
    with MemoryWatch(0.001) as watch:
        block = np.ones(200 << 20, np.uint8)
        watch.look()
        del block
    assert 180 << 20 < watch.growth < 400 << 20
    assert available_memory() > 0


def test_smaller_pieces_are_chosen_and_told(caplog: pytest.LogCaptureFixture) -> None:
    image = Volume(np.zeros((64, 64, 90), np.int16), np.eye(4))
    task = replace(TASK, num_classes=40)
    sliding = SlidingWindow(32, batch=4, on_disk=False)
    with caplog.at_level(logging.INFO):
        plenty = MemoryPlan(8 << 30).fit(image, member(task, 1, sliding))
    assert plenty is sliding
    assert "GiB of memory; 8.00 GiB may be used" in caplog.text
    needed = estimate_memory(image.shape, task, sliding, network_bytes=1).total
    with caplog.at_level(logging.INFO):
        less = MemoryPlan(needed // 3).fit(image, member(task, 1, sliding))
    assert isinstance(less, SlidingWindow)
    assert (less.on_disk, less.window, less.overlap) == (True, sliding.window, sliding.overlap)
    assert "smaller pieces (sums of windows wait on disk" in caplog.text
    assert "GiB" in caplog.text


def test_the_estimate_grows_with_what_is_asked_for() -> None:
    shape, sliding = (128, 128, 160), SlidingWindow(64, on_disk=False)
    task = TaskSpec(20)
    base = estimate_memory(shape, task, sliding).total
    assert estimate_memory(shape, replace(task, num_classes=40), sliding).total > base
    assert estimate_memory(shape, task, SlidingWindow(64, on_disk=True)).total < base
    assert estimate_memory(shape, replace(task, restoring="scores"), sliding, uncertainty=True).total > base
