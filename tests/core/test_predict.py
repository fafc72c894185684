"""Prediction of files with a network whose output is known."""

from __future__ import annotations

import json
import threading
import time
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

from evaluation_fakes import AFFINE, TASK, FakeDataset, Oracle, blocks  # noqa: E402

from medicalseg.core import predict  # noqa: E402
from medicalseg.core.evaluate_folders import evaluate_folders  # noqa: E402
from medicalseg.core.extras import Extras  # noqa: E402
from medicalseg.core.predict import predict_cases, write_report  # noqa: E402
from medicalseg.core.prefetch import Behind  # noqa: E402
from medicalseg.core.scoring import Scorer  # noqa: E402
from medicalseg.errors import UserError, VolumeError  # noqa: E402
from medicalseg.inference import Decision, EagerNetwork, Preprocessing, SlidingWindow, segment  # noqa: E402
from medicalseg.inference.inputs import InputCase, Labels, check_output_folder, find_inputs  # noqa: E402
from medicalseg.inference.mixture import Member  # noqa: E402
from medicalseg.inference.network import WithDecision  # noqa: E402
from medicalseg.inference.slice_wise import inferer_for  # noqa: E402
from medicalseg.io import Volume, read_label, read_volume, reorient, write_volume  # noqa: E402
from medicalseg.metrics import HistogramAuc, confusion_counts, dice  # noqa: E402

SAME_GRID = replace(TASK, preprocessing=Preprocessing(orientation="LPS"))


def write(path: Path, labels: np.ndarray, kind: type = np.float32) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(Volume(labels.astype(kind), AFFINE), path)
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three cases in two folders; the last one is broken."""
    write(tmp_path / "images" / "case.1.2.nii.gz", blocks(1))
    write(tmp_path / "images" / "sub" / "b.nrrd", blocks(2))
    (tmp_path / "images" / "c.nii.gz").write_bytes(b"not a volume")
    return tmp_path / "images"


def test_label_maps_on_the_original_grid_and_failures_by_name(images: Path, tmp_path: Path) -> None:
    cases = find_inputs(images)
    assert [str(case.output) for case in cases] == ["c.nii.gz", "case.1.2.nii.gz", "sub/b.nii.gz"] or len(cases) == 3
    report = predict_cases(cases, SAME_GRID, EagerNetwork(Oracle()), tmp_path / "out")
    assert list(report.failed) == ["c"]
    assert "c.nii.gz" in report.failed["c"]
    for name, shift in (("case.1.2.nii.gz", 1), ("sub/b.nii.gz", 2)):
        written = read_label(tmp_path / "out" / name)
        np.testing.assert_array_equal(written.array, blocks(shift))
        np.testing.assert_allclose(written.affine, AFFINE, atol=1e-5)
    assert list(report.timings.mean()) == ["read", "pre", "run", "post", "write"]
    assert sorted(path.name for path in images.rglob("*.nii.gz")) == ["c.nii.gz", "case.1.2.nii.gz"]


@pytest.mark.parametrize("ahead", [0, 1, 3])
@pytest.mark.parametrize("batch_size", [1, 2])
def test_the_same_results_whatever_runs_at_once(tmp_path: Path, ahead: int, batch_size: int) -> None:
    for index in range(5):
        write(tmp_path / "in" / f"c{index}.nii.gz", blocks(index))
    (tmp_path / "in" / "c2.nii.gz").write_bytes(b"not a volume")
    write(tmp_path / "labels" / "c1.nii.gz", blocks(), np.uint8)
    write(tmp_path / "labels" / "c3.nii.gz", blocks()[1:], np.uint8)
    cases, labels = find_inputs(tmp_path / "in"), Labels(tmp_path / "labels")
    report = predict_cases(
        cases, SAME_GRID, EagerNetwork(Oracle()), tmp_path / "out", labels=labels, batch_size=batch_size, ahead=ahead
    )
    assert list(report.failed) == ["c2", "c3"]
    assert list(report.written) == ["c0", "c1", "c4"]
    assert list(report.results) == ["c1"]
    assert report.unlabelled == ["c0", "c4"]
    assert {len(seconds) for seconds in report.timings.seconds.values()} == {3}
    for index in (0, 1, 4):
        np.testing.assert_array_equal(read_label(tmp_path / "out" / f"c{index}.nii.gz").array, blocks(index))


def test_a_network_that_fails_on_one_case_of_a_batch(tmp_path: Path) -> None:
    class Picky(EagerNetwork):
        def labels(self, x: np.ndarray) -> np.ndarray:
            if len(x) > 1 or x.max() == 0:
                raise RuntimeError("too much")
            return super().labels(x)

    write(tmp_path / "in" / "a.nii.gz", blocks())
    write(tmp_path / "in" / "b.nii.gz", blocks() * 0)
    report = predict_cases(find_inputs(tmp_path / "in"), SAME_GRID, Picky(Oracle()), tmp_path / "out", batch_size=2)
    assert list(report.written) == ["a"]
    assert report.failed == {"b": "RuntimeError: too much"}


def test_work_behind_keeps_its_order_and_raises() -> None:
    for waiting in (0, 1, 4):
        done: list[int] = []
        with Behind(done.append, waiting) as behind:
            for item in range(6):
                behind.put(item)
        assert done == list(range(6))
        with pytest.raises(ZeroDivisionError), Behind(lambda item: 1 / item, waiting) as failing:
            failing.put(0)


def test_scores_against_references(images: Path, tmp_path: Path) -> None:
    write(tmp_path / "labels" / "case.1.2.nii.gz", blocks(), np.uint8)
    cases, labels = find_inputs(images), Labels(tmp_path / "labels")
    report = predict_cases(cases, SAME_GRID, EagerNetwork(Oracle()), tmp_path / "out", labels=labels)
    summary = write_report(report, cases, SAME_GRID, tmp_path / "out", labels=labels, overlays=3)
    assert summary is not None
    expected = dice(confusion_counts(blocks(1), blocks(), 4))
    np.testing.assert_allclose(summary.class_dice, expected)
    assert summary.grid == "original"
    assert any("b" in note and "no label" in note for note in summary.notes)
    assert any("1 cases failed" in note for note in summary.notes)
    content = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert content["groups"]["3 classes*"]["k"] == 3
    assert [path.name for path in (tmp_path / "out" / "overlays").iterdir()] == ["best_case.1.2.png"]


def test_a_label_of_another_shape_fails_that_case(tmp_path: Path) -> None:
    image = write(tmp_path / "in" / "a.nii.gz", blocks())
    label = write(tmp_path / "label.nii.gz", blocks()[1:], np.uint8)
    cases, labels = find_inputs(image), Labels(label)
    report = predict_cases(cases, SAME_GRID, EagerNetwork(Oracle()), tmp_path / "out", labels=labels)
    assert "cannot be scored" in report.failed["a"]


def test_one_image_and_one_label_need_no_common_name(tmp_path: Path) -> None:
    image = write(tmp_path / "t2.nii", blocks())
    label = write(tmp_path / "t2_seg.nii.gz", blocks(), np.uint8)
    cases, labels = find_inputs(image), Labels(label)
    report = predict_cases(cases, SAME_GRID, EagerNetwork(Oracle()), tmp_path / "out", labels=labels)
    assert report.written == {"t2": tmp_path / "out" / "t2.nii"}
    assert list(report.results) == ["t2"]


def test_segment_checks_channels_and_takes_windows() -> None:
    volume = Volume(blocks(1).astype(np.float32), AFFINE)
    whole = segment(volume, SAME_GRID, EagerNetwork(Oracle()))
    windows = segment(volume, SAME_GRID, EagerNetwork(Oracle()), SlidingWindow(4))
    assert whole.is_label
    np.testing.assert_array_equal(whole.array, blocks(1))
    np.testing.assert_array_equal(windows.array, whole.array)
    with pytest.raises(VolumeError, match="2 channel"):
        segment(Volume(np.zeros((2, 4, 4, 4)), AFFINE), SAME_GRID, EagerNetwork(Oracle()))


def test_channels_of_a_case_are_stacked(tmp_path: Path) -> None:
    for case, channel in (("a", 1), ("a", 0), ("b", 0), ("b", 1)):
        write(tmp_path / "in" / f"{case}_{channel:04d}.nii.gz", blocks() + 10 * channel)
    cases = find_inputs(tmp_path / "in", in_channels=2)
    assert [(case.name, str(case.output)) for case in cases] == [("a", "a.nii.gz"), ("b", "b.nii.gz")]
    volume = cases[0].read()
    assert volume.channels == 2
    assert volume.array[1].min() == 10
    write(tmp_path / "in" / "a_0001.nii.gz", blocks()[1:])
    with pytest.raises(VolumeError, match="another grid"):
        cases[0].read()


def test_same_names_in_a_list_are_kept_apart(tmp_path: Path) -> None:
    paths = [write(tmp_path / patient / "t2.nii.gz", blocks()) for patient in ("p1", "p2")]
    (tmp_path / "list.txt").write_text("\n".join(str(path) for path in paths), encoding="utf-8")
    cases = find_inputs(tmp_path / "list.txt")
    assert [case.name for case in cases] == ["p1/t2", "p2/t2"]
    assert [str(case.output) for case in cases] == ["p1/t2.nii.gz", "p2/t2.nii.gz"]
    write(tmp_path / "p1" / "t2.nrrd", blocks())
    cases = find_inputs(tmp_path / "p1")
    assert [case.name for case in cases] == ["t2.nii.gz", "t2.nrrd"]
    assert [str(case.output) for case in cases] == ["t2.nii.gz.nii.gz", "t2.nrrd.nii.gz"]


def test_names_that_cannot_be_told_apart(tmp_path: Path) -> None:
    paths = [write(tmp_path / group / "p1" / "t2.nii.gz", blocks()) for group in "ab"]
    (tmp_path / "list.txt").write_text("\n".join(str(path) for path in paths), encoding="utf-8")
    with pytest.raises(UserError, match="would all be written to"):
        find_inputs(tmp_path / "list.txt")


def test_nothing_is_written_into_the_input_folder(tmp_path: Path) -> None:
    image = write(tmp_path / "in" / "deep" / "a.nii.gz", blocks())
    cases = find_inputs(tmp_path / "in")
    for folder in (tmp_path / "in", tmp_path / "in" / "deep", tmp_path / "in" / "new"):
        with pytest.raises(UserError, match="input folder"):
            check_output_folder(folder, cases, tmp_path / "in")
    with pytest.raises(UserError, match="input folder"):
        check_output_folder(image.parent, find_inputs(image), image)
    with pytest.raises(UserError, match="is a file"):
        check_output_folder(image, cases, tmp_path / "in")
    assert check_output_folder(tmp_path / "out", cases, tmp_path / "in") == tmp_path / "out"


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_inputs_that_hold_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError):
        find_inputs(tmp_path / name)


def test_uncertainty_is_written_beside_the_labels(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.nii.gz", blocks())
    task = replace(SAME_GRID, restoring="scores")
    report = predict_cases(
        find_inputs(tmp_path / "in"), task, EagerNetwork(Oracle()), tmp_path / "out", uncertainty=True
    )
    np.testing.assert_array_equal(read_label(report.written["a"]).array, blocks())
    found = read_volume(tmp_path / "out" / "a_uncertainty.nii.gz")
    assert found.array.dtype == np.float32
    np.testing.assert_allclose(found.affine, AFFINE, atol=1e-5)
    assert 0 <= found.array.min() <= found.array.max() <= 1


def test_memory_that_runs_out_leads_to_smaller_pieces(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Hungry(EagerNetwork):
        def logits(self, x: np.ndarray) -> np.ndarray:
            if len(x) > 1:
                raise MemoryError("ResourceExhaustedError")
            return super().logits(x)

    write(tmp_path / "in" / "a.nii.gz", blocks())
    sliding = SlidingWindow(4, batch=4, skip_empty=False)
    report = predict_cases(find_inputs(tmp_path / "in"), SAME_GRID, Hungry(Oracle()), tmp_path / "out", sliding=sliding)
    np.testing.assert_array_equal(read_label(report.written["a"]).array, blocks())
    assert "in smaller pieces (sums of windows wait on disk, 2 windows at a time, 1 window at a time)" in caplog.text


def test_memory_that_runs_out_later_leads_to_smaller_pieces(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Hungry(EagerNetwork):
        def logits(self, x: np.ndarray) -> np.ndarray:
            if len(x) > 1:
                raise MemoryError("ResourceExhaustedError")
            return super().logits(x)

    write(tmp_path / "in" / "a.nii.gz", blocks())
    sliding = SlidingWindow(6, batch=2, skip_empty=False)
    report = predict_cases(find_inputs(tmp_path / "in"), SAME_GRID, Hungry(Oracle()), tmp_path / "out", sliding=sliding)
    np.testing.assert_array_equal(read_label(report.written["a"]).array, blocks())
    assert "a: memory ran out; tried again in smaller pieces: 1 window at a time" in caplog.text


@pytest.mark.parametrize("restoring", ["labels", "scores"])
def test_memory_that_runs_out_in_an_evaluation(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, restoring: str
) -> None:
    """It ends with the same figures, and no voxel counts twice."""

    class Hungry(Oracle):
        calls, most = 0, 8

        def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
            Hungry.calls += 1
            if len(x) > self.most and Hungry.calls > 1:
                raise MemoryError("ResourceExhaustedError")
            return super().forward(x)

    task = replace(TASK, restoring=restoring)
    found = []
    for most in (8, 1):
        monkeypatch.setattr(Hungry, "most", most)
        Hungry.calls = 0
        auc = HistogramAuc(task.num_classes)
        scorer = Scorer(Hungry(), FakeDataset(2, task), None, SlidingWindow(5, batch=2, skip_empty=False), auc=auc,
                        extras=Extras(calibration=True))  # fmt: skip
        results = [scorer.score(index, *scorer.dataset[index])[0] for index in range(2)]
        assert scorer.calibration is not None
        found.append(([item.counts.tp for item in results], auc.state, scorer.calibration.state))
    assert caplog.text.count("case_0: memory ran out; tried again in smaller pieces: 1 window at a time") == 1
    assert "case_1: memory ran out" not in caplog.text
    for first, second in zip(*found, strict=True):
        np.testing.assert_allclose(first, second)


def test_memory_that_runs_out_in_the_first_network_of_a_cascade(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Hungry(EagerNetwork):
        def logits(self, x: np.ndarray) -> np.ndarray:
            if len(x) > 1:
                raise MemoryError("ResourceExhaustedError")
            return super().logits(x)

    write(tmp_path / "in" / "a.nii.gz", blocks())
    second = replace(SAME_GRID, previous_classes=3)
    first = Member(SAME_GRID, Hungry(Oracle()), SlidingWindow(6, batch=2, skip_empty=False))
    report = predict_cases(
        find_inputs(tmp_path / "in"), second, EagerNetwork(Oracle()), tmp_path / "out", previous=[first]
    )
    assert not report.failed
    np.testing.assert_array_equal(read_label(report.written["a"]).array, blocks())
    assert "a: memory ran out; tried again in smaller pieces: 1 window at a time" in caplog.text


def test_what_a_failed_attempt_held_is_free_before_the_next(tmp_path: Path) -> None:
    held: list[weakref.ref[np.ndarray]] = []

    class Hungry(EagerNetwork):
        def logits(self, x: np.ndarray) -> np.ndarray:
            if len(x) > 1:
                scratch = np.zeros(x.shape, np.float32)
                held.append(weakref.ref(scratch))
                raise MemoryError("ResourceExhaustedError")
            assert held
            assert held[0]() is None
            return super().logits(x)

    write(tmp_path / "in" / "a.nii.gz", blocks())
    sliding = SlidingWindow(6, batch=2, skip_empty=False, on_disk=True)
    report = predict_cases(find_inputs(tmp_path / "in"), SAME_GRID, Hungry(Oracle()), tmp_path / "out", sliding=sliding)
    np.testing.assert_array_equal(read_label(report.written["a"]).array, blocks())


def test_a_network_is_never_asked_by_two_threads_at_once(tmp_path: Path) -> None:
    inside = threading.Lock()

    class Alone(EagerNetwork):
        def logits(self, x: np.ndarray) -> np.ndarray:
            assert inside.acquire(blocking=False)
            try:
                time.sleep(0.002)
                return super().logits(x)
            finally:
                inside.release()

    few, many = blocks(), np.tile(blocks(), (2, 2, 2))
    for index, array in enumerate((few, many, few, many)):
        write(tmp_path / "in" / f"{index}.nii.gz", array)
    sliding = SlidingWindow(6, skip_empty=False)
    assert sliding.grid(few.shape).count < 32 <= sliding.grid(many.shape).count
    report = predict_cases(find_inputs(tmp_path / "in"), SAME_GRID, Alone(Oracle()), tmp_path / "out", sliding=sliding)
    assert not report.failed


def test_a_first_network_that_nothing_asks_for_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.nii.gz", blocks())
    first = Member(SAME_GRID, EagerNetwork(Oracle()), inferer_for(SAME_GRID))
    with pytest.raises(UserError, match="takes no labels of an earlier one"):
        predict_cases(find_inputs(tmp_path / "in"), SAME_GRID, first.network, tmp_path / "out", previous=[first])


def test_large_images_are_those_with_many_voxels_however_well_they_are_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = write(tmp_path / "a.nii.gz", np.zeros((20, 30, 40)))
    assert image.stat().st_size < 20 * 30 * 40
    case = InputCase("a", (image, image), Path("a.nii.gz"))
    monkeypatch.setattr(predict, "LARGE_IMAGE", 2 * 4 * 20 * 30 * 40)
    assert not predict._is_large(case)
    monkeypatch.setattr(predict, "LARGE_IMAGE", 2 * 4 * 20 * 30 * 40 - 1)
    assert predict._is_large(case)


def test_memory_that_runs_out_for_networks_of_other_grids(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Hungry(EagerNetwork):
        def logits(self, x: np.ndarray) -> np.ndarray:
            if len(x) > 1:
                raise MemoryError("ResourceExhaustedError")
            return super().logits(x)

    write(tmp_path / "in" / "a.nii.gz", blocks())
    sliding = SlidingWindow(6, batch=2, skip_empty=False, on_disk=True)
    other = replace(SAME_GRID, preprocessing=Preprocessing(orientation="RAS"))
    report = predict_cases(
        find_inputs(tmp_path / "in"), SAME_GRID, EagerNetwork(Oracle()), tmp_path / "out", sliding=sliding,
        others=[Member(other, Hungry(Oracle()), sliding)],
    )  # fmt: skip
    np.testing.assert_array_equal(read_label(report.written["a"]).array, blocks())
    assert "a: memory ran out; tried again in smaller pieces: 1 window at a time" in caplog.text


def test_every_network_of_a_prediction_keeps_to_the_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    batches: dict[str, int] = {}

    class Named(EagerNetwork):
        def __init__(self, name: str) -> None:
            super().__init__(Oracle())
            self.name = name

        def logits(self, x: np.ndarray) -> np.ndarray:
            batches[self.name] = max(batches.get(self.name, 0), len(x))
            return super().logits(x)

    write(tmp_path / "in" / "a.nii.gz", blocks())
    sliding = SlidingWindow(6, batch=2, skip_empty=False)
    task = replace(SAME_GRID, previous_classes=3)
    other = replace(task, preprocessing=Preprocessing(orientation="RAS"))
    report = predict_cases(
        find_inputs(tmp_path / "in"), task, Named("first"), tmp_path / "out", sliding=sliding, memory=1,
        others=[Member(other, Named("other"), sliding)], previous=[Member(SAME_GRID, Named("earlier"), sliding)],
    )  # fmt: skip
    assert not report.failed
    assert batches == {"first": 1, "other": 1, "earlier": 1}


def test_networks_of_other_grids_and_cascades_of_files(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.nii.gz", blocks())
    other = replace(SAME_GRID, preprocessing=Preprocessing(orientation="RAS"))
    others = [Member(other, EagerNetwork(Oracle()), inferer_for(other))]
    cases = find_inputs(tmp_path / "in")
    report = predict_cases(cases, SAME_GRID, EagerNetwork(Oracle()), tmp_path / "out", others=others, uncertainty=True)
    assert report.failed == {}
    np.testing.assert_array_equal(read_label(report.written["a"]).array, blocks())

    first = Member(SAME_GRID, EagerNetwork(Oracle()), inferer_for(SAME_GRID))
    second = replace(SAME_GRID, previous_classes=3)
    report = predict_cases(cases, second, EagerNetwork(Oracle()), tmp_path / "cascade", previous=[first])
    assert report.failed == {}
    np.testing.assert_array_equal(read_label(report.written["a"]).array, blocks())
    assert "--previous_config" in predict_cases(cases, second, EagerNetwork(Oracle()), tmp_path / "no").failed["a"]


@pytest.mark.parametrize("restoring", ["labels", "scores"])
@pytest.mark.parametrize("sliding", [None, {"window": [5, 4, 6], "mirror_axes": [0, 2]}])
def test_evaluation_and_prediction_give_the_same_counts(tmp_path: Path, restoring: str, sliding) -> None:
    """Also where the network is unsure: windows, mirroring, probabilities, another grid, postprocessing."""

    class Unsure(Oracle):
        def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
            return [super().forward(paddle.roll(x, 1, 3))[0] * 0.1 + 0.3 * paddle.sin(40 * x)]

    task = replace(
        TASK,
        preprocessing=Preprocessing(orientation="LPS", spacing=(1.3, 1.1, 2.0)),
        restoring=restoring,
        sliding=sliding,
        postprocessing=({"type": "RemoveSmallComponents", "min_volume_mm3": 9, "classes": [1]},),
    )
    data = FakeDataset(1, task)
    data.__class__ = type("Exact", (FakeDataset,), {"__getitem__": exact_item})
    scorer = Scorer(Unsure(), data)
    result, _ = scorer.score(0, *data[0])
    write(tmp_path / "in" / "a.nii.gz", blocks())
    write(tmp_path / "labels" / "a.nii.gz", blocks(), np.uint8)
    network = EagerNetwork(Unsure(), task.decision)
    report = predict_cases(
        find_inputs(tmp_path / "in"), task, network, tmp_path / "out", labels=Labels(tmp_path / "labels")
    )
    for name in ("tp", "fp", "fn"):
        np.testing.assert_array_equal(
            getattr(report.results["a"].counts, name), getattr(result.counts, name), err_msg=name
        )


def exact_item(self: FakeDataset, index: int) -> tuple[np.ndarray, np.ndarray, str]:
    image, _ = self.task.preprocessing.apply(Volume(blocks(index).astype(np.float32), AFFINE))
    return image, self.task.preprocessing.apply_label(Volume(blocks(), AFFINE)).astype(np.int64), self.cases[index]


@pytest.mark.parametrize("kind", ["turned", "elsewhere"])
def test_a_reference_is_turned_to_the_image_as_evaluate_does(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    image = write(tmp_path / "in" / "a.nii.gz", blocks(1))
    reference = Volume(blocks().astype(np.uint8), AFFINE)
    if kind == "turned":
        reference = reorient(reference, "SPL")
        assert reference.shape != blocks().shape
    else:
        affine = np.array(AFFINE)
        affine[0, 3] += 7
        reference = Volume(reference.array, affine)
    write_volume(reference, tmp_path / "labels" / "a.nii.gz")
    cases, labels = find_inputs(image), Labels(tmp_path / "labels")
    report = predict_cases(cases, SAME_GRID, EagerNetwork(Oracle()), tmp_path / "out", labels=labels)
    assert not report.failed
    summary = write_report(report, cases, SAME_GRID, tmp_path / "out", labels=labels, overlays=1)
    assert summary is not None
    np.testing.assert_allclose(summary.class_dice, dice(confusion_counts(blocks(1), blocks(), 4)))
    expected = evaluate_folders(tmp_path / "out" / "a.nii.gz", tmp_path / "labels" / "a.nii.gz", task=SAME_GRID)
    np.testing.assert_allclose(summary.class_dice, expected.summary.class_dice)
    said = {"turned": "1 of 1 references were turned to the axes of their image: a", "elsewhere": "lie on another grid"}
    assert [said[kind] in note for note in summary.notes] == [False, True]


def test_nan_that_the_preprocessing_replaces_is_no_fault_of_an_image(tmp_path: Path) -> None:
    array = blocks(1).astype(np.float32)
    array[0, 0, 0] = np.nan
    write_volume(Volume(array, AFFINE), tmp_path / "in" / "a.nii.gz")
    window = {"type": "window", "low": 0, "high": 3, "out_high": 3, "nan": 0}
    steps = Preprocessing(orientation="LPS", intensity=(window,))
    cases = find_inputs(tmp_path / "in")
    report = predict_cases(cases, replace(SAME_GRID, preprocessing=steps), EagerNetwork(Oracle()), tmp_path / "out")
    np.testing.assert_array_equal(read_label(report.written["a"]).array, blocks(1))
    assert (
        "1 voxels that are NaN" in predict_cases(cases, SAME_GRID, EagerNetwork(Oracle()), tmp_path / "o").failed["a"]
    )


def test_channels_are_chosen_in_prediction_too(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a_0000.nii.gz", blocks() * 0)
    write(tmp_path / "in" / "a_0001.nii.gz", blocks(1))
    write(tmp_path / "in" / "a_0002.nii.gz", blocks() * 0)
    task = replace(SAME_GRID, preprocessing=Preprocessing(orientation="LPS", channels=(1,)), stored_channels=3)
    cases = find_inputs(tmp_path / "in", task.files_per_image)
    assert [len(case.files) for case in cases] == [3]
    report = predict_cases(cases, task, EagerNetwork(Oracle()), tmp_path / "out")
    np.testing.assert_array_equal(read_label(report.written["a"]).array, blocks(1))


def test_the_mean_of_several_first_networks_of_a_cascade(tmp_path: Path) -> None:
    class Fixed(WithDecision):
        decision = Decision()

        def __init__(self, sure: dict[int, float]) -> None:
            self.sure = sure

        def logits(self, x: np.ndarray) -> np.ndarray:
            shares = np.array([self.sure.get(label, 1e-6) for label in range(4)], np.float32)
            return np.broadcast_to(np.log(shares)[:, None, None, None], (len(x), 4, *x.shape[2:])).copy()

    class Second(EagerNetwork):
        def logits(self, x: np.ndarray) -> np.ndarray:
            seen.append(x)
            return super().logits(x)

    seen: list[np.ndarray] = []
    write(tmp_path / "in" / "a.nii.gz", blocks())
    other = replace(SAME_GRID, preprocessing=Preprocessing(orientation="RAS"))
    previous = [
        Member(task, Fixed(sure), inferer_for(task))
        for task, sure in ((SAME_GRID, {1: 0.6, 2: 0.4}), (other, {2: 0.7, 3: 0.3}), (SAME_GRID, {3: 0.5, 2: 0.45}))
    ]
    task = replace(SAME_GRID, previous_classes=3)
    report = predict_cases(find_inputs(tmp_path / "in"), task, Second(Oracle()), tmp_path / "out", previous=previous)
    assert not report.failed
    assert seen[0].shape[1] == 4
    assert [set(np.unique(channel)) for channel in seen[0][0, 1:]] == [{0}, {1}, {0}]
