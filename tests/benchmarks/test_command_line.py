"""Selection of suites, works and peers."""

from __future__ import annotations

import json
import sys
import types

import pytest

from benchmarks import __main__ as command
from benchmarks import suites, train
from benchmarks.frame import Contender, Pair, Work

FAKE = "tests.benchmarks.fakes:hungry"


def fake_works(quick):
    contenders = [
        Contender("ours", FAKE, {"megabytes": 1}),
        Contender("peer", FAKE, {"megabytes": 1}, ("torch", "no_such_package")),
        Contender("other peer", FAKE, {"megabytes": 1}, ("monai", "no_such_package")),
    ]
    works = [Work("small", contenders, [Pair("ours", ("peer", "other peer"))])]
    return works if quick else [*works, Work("large", contenders)]


@pytest.fixture
def fake_suite(monkeypatch):
    module = types.SimpleNamespace(works=fake_works)
    monkeypatch.setattr(suites, "existing", lambda: ["fake"])
    monkeypatch.setitem(sys.modules, "benchmarks.fake", module)


def names(works):
    return [(work.name, [contender.name for contender in work.contenders]) for work in works]


def test_all_takes_every_suite_that_exists():
    assert "train" in suites.existing()
    assert suites.chosen(["all"]) == suites.existing()
    assert suites.chosen(["train", "train"]) == ["train"]
    with pytest.raises(suites.SelectionError, match=r"no suite 'trian'; there are: .*train"):
        suites.chosen(["trian"])


@pytest.mark.usefixtures("fake_suite")
def test_selection():
    everything = ["ours", "peer", "other peer"]
    assert names(suites.works("fake", False, None, None)) == [("small", everything), ("large", everything)]
    assert names(suites.works("fake", True, ["monai"], None)) == [("small", ["ours", "other peer"])]
    assert names(suites.works("fake", False, None, "LARGE")) == [("large", everything)]
    assert names(suites.works("fake", False, None, "small/*peer")) == [("small", ["peer", "other peer"])]
    assert suites.works("fake", False, None, "none") == []
    (narrowed,) = suites.works("fake", True, ["monai"], None)
    assert narrowed.pairs == [Pair(("ours",), ("other peer",))]
    assert suites.works("fake", True, ["torchio"], None)[0].pairs == []
    with pytest.raises(suites.SelectionError, match="no peer 'tensorflow'"):
        suites.works("fake", False, ["tensorflow"], None)


@pytest.mark.usefixtures("fake_suite")
def test_list_and_wrong_calls(capsys):
    assert command.main(["fake", "--list"]) == 0
    assert "fake: large\n    ours  []\n    peer  [torch, no_such_package]" in capsys.readouterr().out
    assert command.main(["nothing"]) == 2
    assert command.main(["fake", "--only", "nothing"]) == 2
    assert command.main(["fake", "--against", "nobody"]) == 2
    assert command.main(["fake", "--threads", "0"]) == 2


@pytest.mark.usefixtures("fake_suite")
def test_a_run_writes_its_results(tmp_path):
    assert command.main(["fake", "--quick", "--repeats", "1", "--threads", "1", "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "fake.json").read_text())
    keys = {"schema", "suite", "date", "command", "commit", "threads", "repeats", "machine", "versions", "works"}
    assert set(found) == keys
    assert found["command"].startswith("python -m benchmarks fake --quick")
    (work,) = found["works"]
    assert set(work) == {"name", "threads", "units", "series", "contenders", "pairs", "date", "command", "commit"}
    assert [entry["status"] for entry in work["contenders"]] == ["ok", "not installed", "not installed"]
    assert "no_such_package" in (tmp_path / "fake.md").read_text()


def test_the_training_suite_holds_the_targets():
    works = train.works(quick=True)
    assert len(works) == len(train.NETS)
    for work in works:
        targets = [(pair.measure, pair.target) for pair in work.pairs if pair.target is not None]
        assert targets == [("time", 0.2), ("time", 1.0), ("time", 0.7), ("time", 1.3), ("memory", 1.1), ("memory", 1.1)]
    sizes = train.works(quick=False)[len(works) :]
    assert {work.threads for work in sizes} == {1, 2}
    assert max(work.units for work in sizes) == 192**3
    assert json.dumps([dict(contender.arguments) for work in works + sizes for contender in work.contenders])


def test_the_recorded_command_names_no_place_of_this_machine():
    given = ["train", "--out", "/somewhere", "--repeats", "3", "--out=/else"]
    assert command._without_out(given) == ["train", "--repeats", "3"]
