"""JSON, Markdown and plot."""

from __future__ import annotations

import json

import pytest

from benchmarks import report
from benchmarks.frame import MEMORY, Contender, Pair, Work
from benchmarks.results import Measured, work_as_json

MACHINE = {
    "cpu": "Some CPU",
    "cpu_family": "Vendor family 1 model 2",
    "features": ["avx512f"],
    "cores": 2,
    "memory_mb": 2048,
    "os": "Linux 6",
    "libc": "glibc 2",
    "python": "3.11.1",
    "load_before": 0.1,
}


def measured(name, seconds, base=100.0, peak=300.0):
    return Measured(
        Contender(name, "m:f", requires=("json",)),
        seconds=seconds,
        cpu_seconds=seconds,
        other_cores=[0.05],
        baseline_mb=base,
        peak_mb=peak,
        versions={"numpy": "2.0"},
    )


@pytest.fixture
def contenders():
    return [
        measured("ours", [1.0, 2.0, 3.0]),
        measured("theirs", [4.0, 4.0, 5.0], peak=200.0),
        measured("theirs, other layout", [2.5, 2.0, None], peak=500.0),
        Measured(Contender("gone", "m:f"), "not installed", "not installed: gone_package"),
        Measured(Contender("sick", "m:f"), "failed", "Error: a | b"),
    ]


@pytest.fixture
def pairs():
    return [
        Pair("ours", "theirs", 0.5),
        Pair("ours", ("theirs", "theirs, other layout"), 0.5),
        Pair("ours", "theirs", 1.5, MEMORY),
        Pair("ours", ("sick", "gone"), 1.0),
        Pair("ours", "theirs"),
    ]


def make_report(works):
    run = {"date": "2026-01-02T03:04:05+00:00", "command": "python -m benchmarks fake", "commit": "abc1234+"}
    works = [{**run, **work} for work in works]
    return {
        "schema": report.SCHEMA,
        "suite": "fake",
        **run,
        "threads": 2,
        "repeats": 3,
        "machine": MACHINE,
        "versions": {"numpy": "2.0"},
        "works": works,
    }


@pytest.fixture
def one(contenders, pairs):
    work = Work("a | work", [item.contender for item in contenders], pairs, units=1000.0)
    return make_report([work_as_json(work, 2, contenders)])


def test_ratios_targets_and_spread(one):
    plain, best, memory, missing, free = one["works"][0]["pairs"]
    assert plain["ratio"] == pytest.approx(2.0 / 4.0)
    assert (plain["ratio_min"], plain["ratio_max"]) == pytest.approx((1 / 4, 3 / 5))
    assert plain["met"] is True
    assert best["theirs"] == "theirs, other layout"
    assert best["ratio"] == pytest.approx(1.5 / 2.25)
    assert (best["ratio_min"], best["ratio_max"]) == pytest.approx((1 / 2.5, 2 / 2))
    assert best["met"] is False
    assert memory["ratio"] == pytest.approx(200 / 100)
    assert memory["met"] is False
    assert missing["ratio"] is missing["met"] is None
    assert missing["reason"] == "sick: Error: a | b"
    assert free["met"] is None


def test_contenders_in_the_json(one):
    ours, _, _, gone, sick = one["works"][0]["contenders"]
    assert (ours["median"], ours["min"], ours["max"]) == (2.0, 1.0, 3.0)
    assert ours["peak_over_baseline_mb"] == 200.0
    assert ours["nanoseconds_per_unit"] == pytest.approx(2e6)
    assert ours["bytes_per_unit"] == pytest.approx(200 * 2**20 / 1000)
    assert gone["status"] == "not installed"
    assert sick["status"] == "failed"


def test_files(one, tmp_path):
    report.write(tmp_path, one)
    assert json.loads((tmp_path / "fake.json").read_text()) == one
    assert (tmp_path / "fake.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "fake.md").read_text()
    assert "fake.png" in page
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fake.json", "fake.md", "fake.png"]


def test_page_says_what_is_met_missed_and_missing(one):
    page = report.markdown(one, None)
    rows = [line for line in page.splitlines() if line.startswith("| a \\| work")]
    assert len(rows) == 5 + 5
    assert "0.50 (0.25–0.60) | 0.50 | ≤ 0.5 | met |" in rows[0]
    assert "0.67 (0.40–1.00) | 0.67 | ≤ 0.5 | **missed** |" in rows[1]
    assert "| peak memory | ours | theirs | 2.00 |  | ≤ 1.5 | **missed** |" in rows[2]
    assert "n/a" in rows[3]
    assert "Error: a \\| b" in rows[3]
    assert "not installed: gone_package" in rows[8]
    assert "failed: Error: a \\| b" in rows[9]
    assert "Some CPU" in page
    assert "numpy 2.0" in page
    assert "0.05 cores busy on average" in page


def test_every_row_has_the_cells_of_its_header(one):
    page = report.markdown(one, None).replace("\\|", "/")
    tables = [block.splitlines() for block in page.split("\n\n") if block.startswith("|")]
    assert len(tables) == 2
    for table in tables:
        assert len({line.count("|") for line in table}) == 1


def test_cost_as_the_size_grows(contenders):
    works = []
    for units in (2000.0, 1000.0):
        work = Work(f"of {units:g}", [item.contender for item in contenders], units=units, series="growing")
        works.append(work_as_json(work, 2, contenders))
    page = report.markdown(make_report(works), None)
    assert "| growing | of 1000 | of 2000 | time, last / first |" in page
    assert "| ours | 2000000 ns, 209715 B | 1000000 ns, 104858 B | 0.50 |" in page
    assert "| gone | n/a | n/a | n/a |" in page


def test_a_noisy_machine_is_told(one):
    one["works"][0]["contenders"][0]["other_cores"] = [1.5]
    assert "was not quiet" in report.markdown(one, None)


def test_a_part_is_merged_into_a_whole_of_the_same_machine(one, tmp_path):
    path = tmp_path / "fake.json"
    whole = make_report([{**one["works"][0], "name": name} for name in ("first", "second")])
    path.write_text(json.dumps(whole))
    part = make_report([{**one["works"][0], "name": "second", "threads": 1}])
    assert [(w["name"], w["threads"]) for w in report.merged(part, path)["works"]] == [("first", 2), ("second", 1)]
    other = {**part, "machine": {**MACHINE, "cpu": "Another"}}
    assert [w["name"] for w in report.merged(other, path)["works"]] == ["second"]
    assert report.merged(part, tmp_path / "absent.json") == part
    fewer = {**part["works"][0], "contenders": part["works"][0]["contenders"][:1]}
    assert [w["threads"] for w in report.merged({**part, "works": [fewer]}, path)["works"]] == [2, 2]


def test_works_that_were_measured_apart_say_so(one):
    works = [{**one["works"][0], "name": name, "commit": commit} for name, commit in (("x", "aaa"), ("y", "bbb"))]
    page = report.markdown(make_report(works), None)
    assert "- x: 2026-01-02, `python -m benchmarks fake`, medicalseg at commit aaa" in page
    assert "- y: 2026-01-02, `python -m benchmarks fake`, medicalseg at commit bbb" in page


def test_packages_that_only_one_run_used_do_not_part_them(one, tmp_path):
    path = tmp_path / "fake.json"
    whole = make_report([{**one["works"][0], "name": "first"}])
    whole["versions"]["torch"] = "2.13.0"
    path.write_text(json.dumps(whole))
    part = make_report([{**one["works"][0], "name": "second"}])
    part["versions"].pop("torch", None)
    assert len(report.merged(part, path)["works"]) == 2
    part["versions"]["torch"] = "2.12.0"
    assert len(report.merged(part, path)["works"]) == 1


def test_nothing_to_draw(one, tmp_path):
    report.write(tmp_path, make_report([{**one["works"][0], "pairs": []}]))
    assert not (tmp_path / "fake.png").exists()
    assert "Ratios and targets" not in (tmp_path / "fake.md").read_text()
