"""Evaluation of a made-up dataset with a network whose output is known."""

from __future__ import annotations

import csv
import json
import logging
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

from evaluation_fakes import AFFINE, TASK, FakeDataset, Oracle, blocks  # noqa: E402

from medicalseg.core.prefetch import prefetch  # noqa: E402
from medicalseg.core.scoring import network_axcodes, network_spacing, uses_sigmoid  # noqa: E402
from medicalseg.core.val import evaluate  # noqa: E402
from medicalseg.errors import ConfigError, DataError, UserError  # noqa: E402
from medicalseg.inference import Preprocessing, SlidingWindow  # noqa: E402
from medicalseg.io import read_label  # noqa: E402
from medicalseg.metrics import confusion_counts, dice, soft_dice  # noqa: E402
from medicalseg.utils import distributed  # noqa: E402

SAME_GRID = replace(TASK, preprocessing=Preprocessing(orientation="LPS"))


def test_scores_are_those_of_the_masks_on_the_original_grid() -> None:
    summary = evaluate(Oracle(), FakeDataset(3, SAME_GRID))
    assert summary.grid == "original"
    assert summary.notes == ("made up",)
    expected = np.array([dice(confusion_counts(blocks(shift), blocks(), 4))[:3] for shift in range(3)])
    np.testing.assert_allclose(summary.class_dice[:3], expected.mean(axis=0))
    assert np.isnan(summary.class_dice[3])
    assert summary.foreground_mean == pytest.approx(expected[:, 1:].mean())
    assert summary.cases[0].voxel_volume == pytest.approx(4.5)


def test_original_and_network_grid_differ_and_say_so() -> None:
    original = evaluate(Oracle(), FakeDataset())
    network = evaluate(Oracle(), FakeDataset(), eval_space="network")
    assert (original.grid, network.grid) == ("original", "network")
    assert network.cases[0].counts.reference.sum() == 8 * 10 * 6
    assert original.cases[0].counts.reference.sum() == 9 * 12 * 7
    np.testing.assert_allclose(dice(network.cases[0].counts)[:3], 1)
    assert original.foreground_mean != network.foreground_mean
    assert original.soft_mdice == network.soft_mdice


def test_without_originals_the_network_grid_is_taken_loudly(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("medicalseg").propagate = True
    with caplog.at_level(logging.WARNING, logger="medicalseg"):
        summary = evaluate(Oracle(), FakeDataset(originals=False))
    assert summary.grid == "network"
    assert any("resized grid" in note for note in summary.notes)
    assert "no labels on the original grid" in caplog.text


def test_soft_dice_and_loss_are_on_the_network_grid() -> None:
    from medicalseg.losses import CrossEntropyLoss, DiceLoss, MixedLoss

    dataset, model = FakeDataset(2), Oracle()
    losses = {"types": [MixedLoss([CrossEntropyLoss(), DiceLoss()], [0.7, 0.3]), None], "coef": [2.0, 0.4]}
    summary = evaluate(model, dataset, losses=losses)
    values, soft = [], []
    for index in range(2):
        image, label, _ = dataset[index]
        with paddle.no_grad():
            logits = model(paddle.to_tensor(image[None]))[0]
            values.append(2 * sum(float(part) for part in losses["types"][0](logits, paddle.to_tensor(label[None]))))
        soft.append(soft_dice(logits.numpy()[0], label).mean())
    assert summary.loss == pytest.approx(np.mean(values), rel=1e-5)
    assert summary.soft_mdice == pytest.approx(np.mean(soft), rel=1e-5)


def test_sigmoid_or_softmax_follows_the_config() -> None:
    from medicalseg.losses import CrossEntropyLoss, DiceLoss, MixedLoss

    softmax = MixedLoss([CrossEntropyLoss(), DiceLoss(sigmoid_norm=False)], [1, 1])
    assert not uses_sigmoid({"types": [softmax], "coef": [1]})
    assert uses_sigmoid({"types": [CrossEntropyLoss()], "coef": [1]})
    assert uses_sigmoid(None)


def test_files(tmp_path: Path) -> None:
    summary = evaluate(Oracle(), FakeDataset(5, SAME_GRID), save_dir=tmp_path, save_predictions=None)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("metrics.csv", "metrics.json"),
        *("overlays", "predictions"),
    ]
    overlays = sorted(path.name for path in (tmp_path / "overlays").iterdir())
    assert overlays == ["best_case_0.png", "median_case_2.png", "worst_case_4.png"]
    content = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert content["foreground_mean"]["dice"] == pytest.approx(summary.foreground_mean)
    assert content["grid"] == "original"
    with open(tmp_path / "metrics.csv", encoding="utf-8") as handle:
        assert len(list(csv.DictReader(handle))) == 5 * 4
    for index in range(5):
        written = read_label(tmp_path / "predictions" / f"case_{index}.nii.gz")
        np.testing.assert_array_equal(written.array, blocks(index))
        np.testing.assert_allclose(written.affine, AFFINE, atol=1e-5)


def test_pictures_of_a_former_run_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "overlays").mkdir()
    (tmp_path / "overlays" / "best_old.png").write_bytes(b"")
    evaluate(Oracle(), FakeDataset(1), save_dir=tmp_path, overlays=2)
    assert [path.name for path in (tmp_path / "overlays").iterdir()] == ["best_case_0.png"]
    assert not (tmp_path / "predictions").exists()


@pytest.mark.parametrize("num_workers", [1, 3])
def test_workers_and_windows_change_nothing(num_workers: int) -> None:
    plain = evaluate(Oracle(), FakeDataset(4))
    other = evaluate(Oracle(), FakeDataset(4), num_workers=num_workers, sliding=SlidingWindow((5, 4, 3), batch=2))
    np.testing.assert_array_equal(plain.class_dice, other.class_dice)
    assert plain.soft_mdice == pytest.approx(other.soft_mdice, rel=1e-6)
    assert [result.case for result in other.cases] == [f"case_{index}" for index in range(4)]


def test_ranks_share_the_cases_and_agree_with_one_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    alone = evaluate(Oracle(), FakeDataset(5), auc_roc=True)
    world, barrier = 2, threading.Barrier(2)
    local, shelf = threading.local(), {}

    def gather(item: object) -> list[object]:
        shelf[local.rank] = item
        barrier.wait()
        everything = [shelf[rank] for rank in range(world)]
        barrier.wait()
        return everything

    monkeypatch.setattr(distributed, "shard", lambda items: list(items)[local.rank :: world])
    monkeypatch.setattr(distributed, "gather_objects", gather)
    monkeypatch.setattr(distributed, "is_main", lambda: local.rank == 0)
    summaries, datasets = {}, {rank: FakeDataset(5) for rank in range(world)}

    def work(rank: int) -> None:
        local.rank = rank
        summaries[rank] = evaluate(
            Oracle(), datasets[rank], auc_roc=True, overlays=0, save_dir=tmp_path, save_predictions=None
        )

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(world)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (datasets[0].reads, datasets[1].reads) == ([0, 2, 4], [1, 3])
    for summary in summaries.values():
        np.testing.assert_array_equal(summary.class_dice, alone.class_dice)
        assert summary.auc_roc == alone.auc_roc
    assert len(list((tmp_path / "predictions").iterdir())) == 5


def test_the_mode_of_the_network_is_put_back() -> None:
    model = Oracle()
    model.train()
    evaluate(model, FakeDataset(1))
    assert model.training
    model.eval()
    evaluate(model, FakeDataset(1))
    assert not model.training


def test_auc_of_a_perfect_network_is_one() -> None:
    assert evaluate(Oracle(), FakeDataset(1), auc_roc=True).auc_roc == pytest.approx(1)


def test_cases_without_label_are_left_out_and_counted() -> None:
    summary = evaluate(Oracle(), FakeDataset(3, labelled=(0, 2)))
    assert [result.case for result in summary.cases] == ["case_0", "case_2"]
    assert "1 of 3 cases have no label and were not evaluated" in summary.notes


@pytest.mark.parametrize(
    ("dataset", "message"),
    [(FakeDataset(0), "is empty"), (FakeDataset(2, labelled=()), "no labels")],
)
def test_nothing_to_score(dataset: FakeDataset, message: str) -> None:
    with pytest.raises(DataError, match=message):
        evaluate(Oracle(), dataset)


def test_wrong_arguments() -> None:
    with pytest.raises(ConfigError, match="eval_space"):
        evaluate(Oracle(), FakeDataset(), eval_space="world")
    with pytest.raises(UserError, match="4 outputs, the dataset 3"):
        evaluate(Oracle(), FakeDataset(task=replace(TASK, num_classes=3, class_groups={}, labels={})))


def test_a_reference_with_unknown_ids_names_the_case() -> None:
    class Odd(FakeDataset):
        def reference(self, index):  # type: ignore[no-untyped-def]
            volume = super().reference(index)
            return volume.with_array(np.where(volume.array == 2, 9, volume.array)) if index else volume

    with pytest.raises(DataError, match=r"case case_1: on the original grid, reference holds the class id 9"):
        evaluate(Oracle(), Odd())


def test_a_case_without_original_names_it() -> None:
    class Odd(FakeDataset):
        def reference(self, index):  # type: ignore[no-untyped-def]
            return None if index else super().reference(index)

    with pytest.raises(DataError, match="case case_1: its original label is not recorded"):
        evaluate(Oracle(), Odd())


def test_geometry_of_the_network_grid() -> None:
    dataset = FakeDataset(1)
    assert network_axcodes(dataset, 0) == "LPS"
    spacing = network_spacing(dataset, 0, (8, 10, 6))
    expected = [3.0 * 6 / 7, 1.0 * 8 / 9, 1.5 * 11 / 5]
    np.testing.assert_allclose(spacing, expected)
    assert np.isnan(network_spacing(FakeDataset(originals=False), 0, (8, 10, 6))).all()


def test_prefetch_keeps_the_order_and_raises_where_the_item_is_due() -> None:
    assert list(prefetch(lambda key: key * 2, range(5), 2)) == [(key, key * 2) for key in range(5)]
    seen = []
    iterator = prefetch(lambda key: 1 // (2 - key), range(4), 2)
    with pytest.raises(ZeroDivisionError):
        seen.extend(key for key, _ in iterator)
    assert list(prefetch(str, [], 2)) == []
