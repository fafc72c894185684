"""The engine: each case once, broken cases by name, resumption after a kill, the same result from any worker count."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
from scipy import ndimage

from medicalseg.datasets.prepare import case as case_module
from medicalseg.datasets.prepare import engine
from medicalseg.datasets.prepare.job import CaseSource, Job, Recipe
from medicalseg.datasets.splits import holdout
from medicalseg.errors import DataError, RunError
from medicalseg.inference.preprocess import Preprocessing
from medicalseg.io import Volume, read_volume, write_volume

from .conftest import contents, snapshot, write_pair

NAMES = tuple("abcdef")
MINMAX = Preprocessing(intensity=({"type": "minmax"},), size=(6, 6, 6))
RECIPES = {"minmax": MINMAX, "zscore": Preprocessing(intensity=({"type": "zscore"},), size=(6, 6, 6))}


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    for seed, name in enumerate(NAMES):
        write_pair(folder / f"{name}.nii.gz", folder / f"{name}_seg.nii.gz", seed=seed)
    return folder


def job_for(raw, output, preprocessing=MINMAX, names=NAMES, num_classes=3):
    cases = [CaseSource(name, (raw / f"{name}.nii.gz",), raw / f"{name}_seg.nii.gz") for name in names]
    recipe = Recipe(output, preprocessing, raw, num_classes=num_classes)
    return Job(recipe, cases, partial(holdout, val_fraction=0.2), {0: "background", 1: "x", 2: "y"}, {"name": "t"})


def test_second_run_does_nothing(raw, tmp_path):
    output = tmp_path / "out"
    assert sorted(engine.run(job_for(raw, output)).done) == sorted(NAMES)
    before = snapshot(output / "images")
    report = engine.run(job_for(raw, output))
    assert (report.done, sorted(report.skipped), report.failed) == ([], sorted(NAMES), {})
    assert snapshot(output / "images") == before


def test_changed_source_missing_result_and_force(raw, tmp_path):
    output = tmp_path / "out"
    engine.run(job_for(raw, output))
    write_pair(raw / "b.nii.gz", raw / "b_seg.nii.gz", seed=99)
    os.utime(raw / "c_seg.nii.gz", ns=(1, 1))
    (output / "labels" / "d.npy").unlink()
    (output / "cases" / "e.json").write_text("{broken")
    assert sorted(engine.run(job_for(raw, output)).done) == ["b", "c", "d", "e"]
    assert sorted(engine.run(job_for(raw, output), force=True).done) == sorted(NAMES)


def test_changed_settings_make_everything_anew(raw, tmp_path):
    output = tmp_path / "out"
    engine.run(job_for(raw, output))
    report = engine.run(job_for(raw, output, Preprocessing(size=(5, 5, 5))))
    assert sorted(report.done) == sorted(NAMES)
    assert np.load(output / "images" / "a.npy").shape == (5, 5, 5)


def broken_files(raw):
    (raw / "a.nii.gz").write_bytes((raw / "a.nii.gz").read_bytes()[:300])
    (raw / "b_seg.nii.gz").unlink()
    write_pair(raw / "unused.nii.gz", raw / "c_seg.nii.gz", shape=(12, 10, 7))
    write_pair(raw / "unused.nii.gz", raw / "d_seg.nii.gz", classes=9)
    return {"a": "a.nii.gz", "b": "does not exist", "c": "do not belong together", "d": "label ids"}


def test_broken_cases_are_named_and_the_rest_goes_on(raw, tmp_path):
    reasons = broken_files(raw)
    output = tmp_path / "out"
    report = engine.run(job_for(raw, output))
    assert report.exit_code == 2
    assert sorted(report.done) == ["e", "f"]
    assert sorted(report.failed) == ["a", "b", "c", "d"]
    for name, reason in reasons.items():
        assert reason in report.failed[name]
    content = json.loads((output / "dataset.json").read_text())
    assert sorted(content["training"]) == ["e", "f"]
    assert sorted(content["broken"]) == ["a", "b", "c", "d"]
    lines = (output / "train_list.txt").read_text() + (output / "val_list.txt").read_text()
    assert sorted(line.split("/")[1][0] for line in lines.splitlines()) == ["e", "f"]


def test_split_stays_when_a_broken_case_is_repaired(raw, tmp_path):
    output = tmp_path / "out"
    whole = contents_of_lists(engine_run(raw, tmp_path / "other"))
    (raw / "a.nii.gz").rename(raw / "a.bak")
    assert engine.run(job_for(raw, output)).exit_code == 2
    (raw / "a.bak").rename(raw / "a.nii.gz")
    assert engine.run(job_for(raw, output)).exit_code == 0
    assert contents_of_lists(output) == whole


def engine_run(raw, output):
    engine.run(job_for(raw, output))
    return output


def contents_of_lists(output):
    return {part: (output / f"{part}_list.txt").read_text() for part in ("train", "val")}


def test_a_case_that_breaks_later_leaves_no_stale_record(raw, tmp_path):
    output = engine_run(raw, tmp_path / "out")
    (raw / "a.nii.gz").write_bytes(b"rubbish")
    assert engine.run(job_for(raw, output)).exit_code == 2
    assert not (output / "cases" / "a.json").exists()
    assert "images/a.npy" not in contents_of_lists(output)["train"] + contents_of_lists(output)["val"]


def test_all_broken(raw, tmp_path):
    for path in raw.glob("?.nii.gz"):
        path.write_bytes(b"rubbish")
    with pytest.raises(DataError, match="no case could be prepared"):
        engine.run(job_for(raw, tmp_path / "out"))


def test_two_workers_write_the_same_bytes(raw, tmp_path, monkeypatch):
    broken_files(raw)
    one = tmp_path / "one"
    engine.run(job_for(raw, one))
    monkeypatch.setattr(engine, "SMALL_BYTES", 0)
    report = engine.run(job_for(raw, tmp_path / "two"), num_workers=2)
    assert sorted(report.failed) == ["a", "b", "c", "d"]
    assert contents(one) == contents(tmp_path / "two")


def kill_in_the_middle(raw, output, recipe):
    """SIGKILL while the third case is worked on."""
    script = (
        "import sys, time\n"
        f"sys.path.insert(0, {os.path.dirname(__file__)!r} + '/../../..')\n"
        "from pathlib import Path\n"
        "from tests.datasets.prepare import kill_helper\n"
        "kill_helper.main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(raw), str(output), recipe])
    deadline = time.monotonic() + 60
    while not (output / "stop").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (output / "stop").unlink()


def test_kill_in_the_middle_and_run_again(raw, tmp_path):
    """No half file is taken for a whole one, and none stays."""
    output = tmp_path / "out"
    kill_in_the_middle(raw, output, "minmax")
    assert len(list((output / "cases").glob("*.json"))) == 2
    assert not (output / "dataset.json").exists()
    report = engine.run(job_for(raw, output))
    assert (sorted(report.skipped), sorted(report.done)) == (["a", "b"], ["c", "d", "e", "f"])
    assert contents(output) == contents(engine_run(raw, tmp_path / "fresh"))


def test_kill_while_another_recipe_replaces_the_arrays(raw, tmp_path):
    """Arrays of two recipes lie there: nothing may train on them."""
    output = engine_run(raw, tmp_path / "out")
    kill_in_the_middle(raw, output, "zscore")
    assert [np.load(output / "images" / f"{name}.npy").min() < 0 for name in "af"] == [True, False]
    assert not list(output.glob("*_list.txt"))
    report = engine.run(job_for(raw, output, RECIPES["zscore"]))
    assert (sorted(report.skipped), sorted(report.done)) == (["a", "b"], ["c", "d", "e", "f"])
    engine.run(job_for(raw, tmp_path / "fresh", RECIPES["zscore"]))
    assert contents(output) == contents(tmp_path / "fresh")


def test_the_description_is_there_before_the_lists(raw, tmp_path, monkeypatch):
    output = engine_run(raw, tmp_path / "out")

    def interrupted(path, text):
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "write_text", interrupted)
    with pytest.raises(KeyboardInterrupt):
        engine.run(job_for(raw, output, Preprocessing(size=(5, 5, 5))))
    assert not list(output.glob("*_list.txt"))
    assert json.loads((output / "dataset.json").read_text())["preprocessing"]["size"] == [5, 5, 5]


def test_full_disk_stops_at_once(raw, tmp_path, monkeypatch):
    def full(path, array):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(case_module, "save_array", full)
    with pytest.raises(RunError, match="no space left"):
        engine.run(job_for(raw, tmp_path / "out"))


class Lines(logging.Handler):
    def __init__(self):
        super().__init__()
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


@pytest.fixture
def lines():
    handler = Lines()
    engine.logger.addHandler(handler)
    yield handler.texts
    engine.logger.removeHandler(handler)


def test_slightly_different_label_header_is_taken_with_a_warning(raw, tmp_path, lines):
    labels = np.random.default_rng(0).integers(0, 3, (12, 10, 8)).astype(np.uint8)
    affine = np.diag([-1.5, 1.5 * (1 + 9e-4), 2.0, 1.0])
    affine[:3, 3] = 5, -6.93, 11
    write_volume(Volume(labels, affine, meta={"labels": True}), raw / "a_seg.nii.gz")
    report = engine.run(job_for(raw, tmp_path / "out"))
    assert report.exit_code == 0
    assert any("case a" in line and "image's are used" in line for line in lines)


def test_channels_in_several_files(raw, tmp_path):
    source = CaseSource("ab", (raw / "a.nii.gz", raw / "b.nii.gz"), raw / "a_seg.nii.gz")
    recipe = Recipe(tmp_path / "out", MINMAX, raw, num_classes=3)
    case_module.prepare_case(recipe, source)
    array = np.load(tmp_path / "out" / "images" / "ab.npy")
    assert array.shape == (2, 6, 6, 6)
    for channel, name in zip(array, "ab", strict=True):
        stored = read_volume(raw / f"{name}.nii.gz").array
        unit = (stored - stored.min()) / (stored.max() - stored.min())
        expected = ndimage.zoom(unit, np.array([6, 6, 6]) / stored.shape, order=1, mode="nearest")
        np.testing.assert_allclose(channel, expected, atol=2e-6)


@pytest.mark.parametrize("folder", ["images", "labels"])
def test_colliding_names(raw, tmp_path, folder):
    files = [(raw / f"{name}.nii.gz", raw / f"{name}_seg.nii.gz") for name in "ab"]
    names = ("a", "a") if folder == "images" else ("a", "b")
    cases = [CaseSource(name, (image,), label, "x") for name, (image, label) in zip(names, files, strict=True)]
    job = Job(Recipe(tmp_path / "out", MINMAX, raw), cases, holdout, {}, {})
    ending = "" if folder == "images" else "_seg"
    with pytest.raises(DataError, match=rf"/a{ending}\.nii\.gz and .*/b{ending}\.nii\.gz would both become {folder}/"):
        engine.run(job)
    with pytest.raises(DataError, match="no case"):
        engine.run(Job(job.recipe, [], holdout, {}, {}))


def test_names_with_spaces_get_a_tab(raw, tmp_path):
    (raw / "a.nii.gz").rename(raw / "my case.nii.gz")
    (raw / "a_seg.nii.gz").rename(raw / "my case_seg.nii.gz")
    engine.run(job_for(raw, tmp_path / "out", names=("my case", "b", "c")))
    lists = contents_of_lists(tmp_path / "out")
    assert "images/my case.npy\tlabels/my case.npy" in lists["train"] + lists["val"]
