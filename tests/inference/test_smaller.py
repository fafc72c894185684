"""The same work in smaller pieces, where memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medicalseg.inference import SlidingWindow, WholeVolume
from medicalseg.inference.memory import MemoryPlan
from medicalseg.inference.mixture import Member
from medicalseg.inference.network import WithDecision
from medicalseg.inference.sliding_window import Inferer
from medicalseg.inference.smaller import in_smaller_pieces, mix_within, segment_all_within, segment_within
from medicalseg.inference.task import TaskSpec
from medicalseg.inference.timings import Timings
from medicalseg.io import Volume

TASK = TaskSpec(num_classes=2)


class Threshold(WithDecision):
    """Class 1 above 0.5; of more windows than `most` there is no room."""

    decision, gives_probabilities = TASK.decision, False

    def __init__(self, most: int, error: Exception) -> None:
        self.most, self.error, self.batches = most, error, list[int]()

    def logits(self, x: np.ndarray) -> np.ndarray:
        self.batches.append(len(x))
        if len(x) > self.most:
            raise self.error
        return np.concatenate([0.5 - x, x - 0.5], axis=1).astype(np.float32)


def image() -> Volume:
    return Volume(np.random.default_rng(0).random((9, 8, 7)).astype(np.float32), np.eye(4))


def test_labels_do_not_change(caplog: pytest.LogCaptureFixture) -> None:
    network = Threshold(1, MemoryError())
    member = Member(TASK, network, SlidingWindow(6, batch=4, skip_empty=False))
    labels, member = segment_within(image(), member, MemoryPlan(), "a")
    np.testing.assert_array_equal(labels.array, image().array > 0.5)
    assert isinstance(member.inferer, SlidingWindow)
    assert (member.inferer.batch, member.inferer.on_disk) == (1, True)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [line.split(": ")[-1] for line in warnings] == [
        *("sums of windows wait on disk.", "2 windows at a time.", "1 window at a time.")
    ]
    network.batches.clear()
    segment_within(image(), member, MemoryPlan(), "b")
    assert set(network.batches) == {1}


def test_several_networks_are_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    task = replace(TASK, restoring="scores")
    networks = [Threshold(9, MemoryError()) for _ in range(2)]
    sizes = (6, 4)
    members = [Member(task, net, SlidingWindow(size, batch=4)) for net, size in zip(networks, sizes, strict=True)]
    scan, plan = replace(image(), path=Path("scan.mha")), MemoryPlan(1 << 20)
    with caplog.at_level(logging.INFO):
        _, found = mix_within(scan, members, plan, "a", Timings())
    told = [record.getMessage() for record in caplog.records]
    assert [sum(words in line for line in told) for words in ("may be used.", "smaller pieces", "may fail")] == [1] * 3
    assert all(line.startswith("scan.mha: ") for line in told)
    assert [each.inferer.batch for each in found if isinstance(each.inferer, SlidingWindow)] == [1, 1]
    alone = [MemoryPlan(1 << 40) for _ in found]
    for each, member in zip(alone, found, strict=True):
        each.fit(scan, member)
    assert plan.largest == max(each.largest for each in alone)


def test_the_earlier_network_of_a_cascade_is_named(caplog: pytest.LogCaptureFixture) -> None:
    member = Member(TASK, Threshold(9, MemoryError()), SlidingWindow(6, batch=4))
    scan = replace(image(), path=Path("scan.mha"))
    with caplog.at_level(logging.INFO):
        segment_all_within(scan, [member], MemoryPlan(1 << 20), "a", Timings(), of="the earlier network")
    assert {record.getMessage().split(": ")[0] for record in caplog.records} == {"scan.mha (the earlier network)"}


@pytest.mark.parametrize(
    ("inferer", "error"),
    [(WholeVolume(), MemoryError("none")), (SlidingWindow(6, batch=4), RuntimeError("another reason"))],
)
def test_what_cannot_be_helped_is_raised(inferer: Inferer, error: Exception) -> None:
    with pytest.raises(type(error), match=str(error)):
        segment_within(image(), Member(TASK, Threshold(0, error), inferer), MemoryPlan(), "a")


def test_only_networks_that_can_take_smaller_pieces() -> None:
    tried: list[list[int | None]] = []

    def work(inferers: Sequence[Inferer]) -> str:
        tried.append([getattr(each, "batch", None) for each in inferers])
        if len(tried) < 3:
            raise MemoryError
        return "done"

    windows = SlidingWindow(4, batch=4, on_disk=True)
    result, last = in_smaller_pieces(work, [WholeVolume(), windows], [(8, 8, 8)] * 2, "a")
    assert result == "done"
    assert tried == [[None, 4], [None, 2], [None, 1]]
    assert isinstance(last[0], WholeVolume)
