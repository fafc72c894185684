"""The clock of a training, durations and intervals, and what is due when."""

from __future__ import annotations

import pytest

from medicalseg.core import time_budget
from medicalseg.core.due import Due
from medicalseg.core.evaluation_limit import EvaluationLimit, TooLong
from medicalseg.core.time_budget import TimeBudget
from medicalseg.errors import UserError
from medicalseg.utils.duration import seconds_of
from medicalseg.utils.interval import Interval


class Clock:
    """Stands for `time.monotonic`."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(time_budget.time, "monotonic", made)
    return made


def test_durations():
    cases = {"90s": 90, "30m": 1800, "2h": 7200, "1h30m": 5400, "1.5h": 5400, " 1H 5s ": 3605, "0.5m": 30}
    assert {text: seconds_of(text) for text in cases} == cases


@pytest.mark.parametrize("text", ["", "30", "0m", "1m1h", "-3s", "soon", "1:30", "m", 5])
def test_what_is_no_duration(text):
    with pytest.raises(UserError, match=r"is not a duration such as 90s, 30m, 2h or 1h30m"):
        seconds_of(text)


def test_intervals():
    assert Interval.parse(500) == Interval(iterations=500)
    assert Interval.parse("500") == Interval(iterations=500)
    assert Interval.parse("12.5%") == Interval(share=0.125)
    assert str(Interval.parse("10%")) == "10% of the run"


@pytest.mark.parametrize("value", [0, -1, "0", "0%", "101%", "often", True, "", "1.5", "%"])
def test_what_is_no_interval(value):
    with pytest.raises(UserError, match="expected a number of iterations such as 500, or a share"):
        Interval.parse(value)


def test_the_budget_goes_on_where_it_was(clock):
    budget = TimeBudget(60, used=20)
    clock.now += 1000
    assert (budget.used, budget.progress) == (20, pytest.approx(1 / 3))
    budget.start()
    clock.now += 10
    assert budget.used == 20
    assert budget.tick() == pytest.approx(0.5)
    assert (budget.left, budget.spent) == (30, False)
    clock.now += 31
    budget.tick()
    assert (budget.progress, budget.left, budget.spent) == (1.0, 0.0, True)


def test_without_a_budget_time_is_only_measured(clock):
    budget = TimeBudget()
    budget.start()
    clock.now += 7
    assert budget.tick() == 0.0
    assert (budget.used, budget.spent, budget.left, budget.limited) == (7, False, float("inf"), False)


def test_iterations_and_shares_of_them():
    clock = TimeBudget()
    every = Due(Interval.parse(3), 10, clock)
    assert [k for k in range(1, 11) if every(k)] == [3, 6, 9]
    shares = Due(Interval.parse("20%"), 10, clock)
    assert [k for k in range(1, 11) if shares(k)] == [2, 4, 6, 8, 10]
    tiny = Due(Interval.parse("1%"), 10, clock)
    assert all(tiny(k) for k in range(1, 11))
    assert not any(Due(None, 10, clock)(k) for k in range(1, 11))
    assert every.at(6)
    assert not every.at(7)


def test_shares_of_the_time(clock):
    budget = TimeBudget(100)
    budget.start()
    due = Due(Interval.parse("25%"), 10**6, budget)
    found = []
    for iteration in range(1, 21):
        clock.now += 6
        budget.tick()
        if due(iteration):
            found.append(iteration)
    assert found == [5, 9, 13, 17]
    assert not due.at(5)
    resumed = Due(Interval.parse("25%"), 10**6, TimeBudget(100, used=60))
    assert not resumed(1)


def cases_taking(clock, limit, *seconds: float) -> int:
    """Cases that are done before the limit ends an evaluation."""
    for done, each in enumerate(seconds, 1):
        clock.now += each
        try:
            limit.case_done(done, len(seconds))
        except TooLong:
            return done
    limit.all_done()
    return len(seconds)


@pytest.mark.parametrize(
    ("seconds", "done"),
    [
        ([3, 1, 1, 1], 4),
        ([3, 3, 3, 3], 2),
        ([6, 1, 1], 1),
        ([60], 1),
        ([4, 90], 2),
        ([1, 1, 90, 1], 4),
        ([], 0),
    ],
)
def test_an_evaluation_of_unknown_length_is_given_up_early(clock, seconds, done):
    """Ten seconds: the second case tells what each further one takes."""
    assert cases_taking(clock, EvaluationLimit(10), *seconds) == done


def test_what_is_given_up_tells_what_it_would_have_taken(clock):
    limit = EvaluationLimit(10)
    clock.now += 3
    limit.case_done(1, 10)
    clock.now += 2
    with pytest.raises(TooLong) as stop:
        limit.case_done(2, 10)
    assert stop.value.expected == 3 + 2 + 8 * 2
