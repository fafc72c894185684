"""Rounds in child processes."""

from __future__ import annotations

import time

import pytest

from benchmarks import runner as runner_module
from benchmarks.frame import Contender, Pair, Work
from benchmarks.results import Measured
from benchmarks.runner import Runner

FAKES = "tests.benchmarks.fakes"


def fake(title, function, timeout=30.0, rounds=None, requires=(), environment=None, **arguments):
    return Contender(title, f"{FAKES}:{function}", arguments, requires, environment or {}, rounds, timeout)


def measure(*contenders, rounds=2, threads=3):
    work = Work("work", contenders)
    return {item.contender.name: item for item in Runner(rounds, threads, pause=0.0).measure(work)}


@pytest.fixture
def log(tmp_path):
    return str(tmp_path / "log")


def lines(log):
    with open(log) as stream:
        return stream.read().split()


def test_rounds_are_interleaved_after_two_warm_ups_each(log):
    found = measure(fake("a", "steady", log=log, name="a"), fake("b", "steady", log=log, name="b"))
    assert lines(log) == ["a", "a", "a", "b", "b", "b", "a", "b"]
    for item in found.values():
        assert item.status == "ok"
        assert len(item.times) == len(item.cpu_seconds) == 2
        assert item.repetitions == 1


def test_short_work_is_repeated_within_a_round(log):
    found = measure(fake("a", "steady", log=log, name="a", seconds=0.01), rounds=1)["a"]
    assert found.repetitions > 1
    assert len(lines(log)) == 2 + found.repetitions
    assert found.times[0] < 0.25


def test_threads_and_environment_of_the_child(log):
    found = measure(
        fake("given", "steady", log=log, name="a"),
        fake("removed", "steady", log=log, name="b", environment={"OMP_NUM_THREADS": None}),
        rounds=1,
    )
    assert found["given"].extra == {"threads": "3", "omp": "3"}
    assert found["removed"].extra == {"threads": "3", "omp": None}


def test_slow_contenders_may_do_fewer_rounds(log):
    found = measure(fake("a", "steady", log=log, name="a", rounds=1), fake("b", "steady", log=log, name="b"), rounds=3)
    assert len(found["a"].times) == 1
    assert found["a"].seconds[1:] == [None, None]
    assert len(found["b"].times) == 3


@pytest.mark.parametrize(
    ("contender", "reason"),
    [
        (fake("x", "broken"), "ValueError: no such network"),
        (fake("x", "crashing", calls=3), "MemoryError: out of memory at last"),
        (fake("x", "killed"), "killed by SIGKILL"),
        (fake("x", "slow", timeout=0.5), "no answer within 0.5 s"),
        (fake("x", "both_frameworks"), "both Paddle and PyTorch"),
        (fake("x", "absent"), "has no attribute 'absent'"),
    ],
)
def test_a_failure_is_an_entry_and_the_others_go_on(contender, reason, log):
    found = measure(contender, fake("a", "steady", log=log, name="a", seconds=0.0), rounds=1)
    assert found["x"].status == "failed"
    assert reason in found["x"].reason
    assert found["a"].status == "ok"


def test_a_missing_package_is_named(log):
    contender = fake("x", "steady", requires=("json", "no_such_package"), log=log, name="x")
    found = measure(contender, rounds=1)["x"]
    assert found.status == "not installed"
    assert found.reason == "not installed: no_such_package"


def test_peak_memory_is_what_the_rounds_add():
    found = measure(fake("x", "hungry", megabytes=64), fake("y", "hungry", megabytes=1), rounds=1)
    if found["x"].work_mb is None:
        pytest.skip("this system does not tell a process's peak memory")
    assert 60 < found["x"].work_mb - found["y"].work_mb < 70
    assert found["x"].peak_mb > found["x"].baseline_mb > 1


def test_without_memory_processes_are_closed_and_started_again(monkeypatch, log):
    monkeypatch.setattr(runner_module, "available_megabytes", lambda: 1.0)
    found = measure(fake("a", "steady", log=log, name="a"), fake("b", "steady", log=log, name="b"))
    assert lines(log) == ["a", "a", "a", "b", "b", "b"] * 2
    assert all(len(item.times) == 2 for item in found.values())


def is_running(process):
    try:
        with open(f"/proc/{process}/stat") as stream:
            return stream.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def test_workers_of_a_contender_end_with_it(log):
    assert measure(fake("x", "with_worker", log=log), rounds=1)["x"].status == "ok"
    worker = int(lines(log)[0])
    for _ in range(100):
        if not is_running(worker):
            break
        time.sleep(0.05)
    assert not is_running(worker)


def test_descriptions_that_contradict_themselves():
    a = Contender("a", "m:f")
    with pytest.raises(ValueError, match="share the name 'a'"):
        Work("w", [a, a])
    with pytest.raises(ValueError, match="names 'b'"):
        Work("w", [a], [Pair("a", "b")])
    with pytest.raises(ValueError, match="'speed'"):
        Work("w", [a], [Pair("a", "a", measure="speed")])


def test_peers_come_from_what_is_required():
    assert Contender("a", "m:f", requires=("paddle", "onnxruntime")).peers == ()
    assert Contender("a", "m:f", requires=("torch",)).peers == ("torch",)
    assert Contender("a", "m:f", requires=("torch", "monai")).peers == ("monai",)
    assert Contender("a", "m:f", requires=("torch", "batchgeneratorsv2")).peers == ("nnunet", "batchgeneratorsv2")


def test_a_contender_not_measured_has_no_figures():
    entry = Measured(Contender("a", "m:f"), "failed", "why").as_json(None)
    assert entry["status"] == "failed"
    assert "median" not in entry
