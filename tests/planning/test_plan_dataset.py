"""`medicalseg plan` from a folder to configurations."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from medicalseg.cvlibs import Config
from medicalseg.errors import ConfigError, UserError
from medicalseg.io import Volume, write_volume
from medicalseg.planning import plan as module
from medicalseg.planning.compose import _sliding
from medicalseg.planning.dry_run import DryRun
from medicalseg.planning.plan import Outcome, dataset_name, plan
from medicalseg.planning.settings import Settings, gigabytes
from medicalseg.planning.source import open_dataset, parse_labels

Make = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("cache")


def planned(root: Path, out: Path, settings: Settings | None = None, **source: Any) -> Outcome:
    return plan(open_dataset(root, **source), settings or Settings(), out / root.name, check=False)


def read(outcome: Outcome, number: int = 0) -> dict[str, Any]:
    return Config(outcome.configs[number].path, log_notes=False).dic


def lines_without_reason(text: str) -> list[str]:
    """Keys whose value no comment explains: neither on the line, above it, nor at the block around it."""
    missing, explained, above = [], [], False
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            above = stripped.startswith("#")
            continue
        depth = len(line) - len(line.lstrip("- "))
        explained = [(level, why) for level, why in explained if level < depth]
        has_value = not stripped.endswith(":") and "&" not in stripped
        here = above or "  # " in line
        if has_value and not here and not any(why for _, why in explained):
            missing.append(stripped)
        explained.append((depth, here))
        above = False
    return missing


@pytest.mark.parametrize("device", ["cpu", "gpu"])
@pytest.mark.parametrize("kind", ["2d", "3d", "3d_lowres", "cascade"])
def test_every_kind_reads_back_and_every_value_has_a_reason(
    make_dataset: Make, tmp_path: Path, kind: str, device: str
) -> None:
    outcome = planned(make_dataset(), tmp_path, Settings(kinds=(kind,), device=device))
    for config in outcome.configs:
        text = config.path.read_text(encoding="utf-8")
        assert lines_without_reason(text) == []
        assert max(len(line) for line in text.splitlines()) < 250
        if config.path.stem != "cascade":
            assert Config(config.path).train_dataset.task.num_classes == 3
    names = [config.path.name for config in outcome.configs]
    assert names == (["3d_lowres.yml", "cascade.yml"] if kind == "cascade" else [f"{kind}.yml"])
    assert json.loads((tmp_path / "blobs" / "fingerprint.json").read_text())["summary"]["cases"] == 6


def test_the_network_fits_the_patch(make_dataset: Make, tmp_path: Path) -> None:
    config = Config(planned(make_dataset(), tmp_path).configs[0].path)
    patch = config.dic["train_dataset"]["patch_size"]
    assert config.model.next_input_shape(patch) == tuple(patch)
    heads = len(config.model.heads)
    assert len(config.dic["loss"]["coef"]) == heads
    assert sum(config.dic["loss"]["coef"]) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("thick", "names", "mirrored"),
    [
        (2, ("a", "b"), [0, 1]),
        (2, ("left a", "right a"), [1]),
        (0, ("left a", "right a"), [0, 1]),
        (0, ("upper", "lower"), [0]),
    ],
)
def test_slices_train_on_patches_of_their_plane(
    make_dataset: Make, tmp_path: Path, thick: int, names: tuple[str, str], mirrored: list[int]
) -> None:
    shape, spacing = [24, 20, 28], [1, 1, 1]
    shape[thick], spacing[thick] = 16, 4
    labels = {"background": 0, names[0]: 1, names[1]: 2}
    outcome = planned(make_dataset(shape=shape, spacing=spacing, labels=labels), tmp_path, Settings(kinds=("2d",)))
    block = read(outcome)["train_dataset"]
    assert block["slices"] == {"axis": thick, "num_slices": 1}
    assert block["sliding"] == {"mirror_axes": mirrored}
    assert block["transforms"][0]["mirror_axes"] == mirrored
    assert block["class_sampling"] == "case"
    dataset = Config(outcome.configs[0].path).train_dataset
    columns, rows = block["patch_size"]
    image, label, _ = dataset[0]
    assert (image.shape, label.shape) == ((1, rows, columns), (rows, columns))
    plane = [side for axis, side in enumerate(shape) if axis != thick]
    assert all(patch >= side for patch, side in zip(block["patch_size"], plane, strict=True))
    assert len(list(dataset.validation_patches(2))) == 2


@pytest.mark.parametrize(("median", "window"), [((40, 9, 56), None), ((41, 9, 56), [40, 56]), ((40, 9, 80), [40, 56])])
def test_slices_larger_than_the_patch_are_seen_in_windows(median: tuple[int, ...], window: list[int] | None) -> None:
    fit = SimpleNamespace(topology=SimpleNamespace(patch=(56, 40)))
    stage = SimpleNamespace(fit=fit, median=median, slice_axis=1)
    sliding = _sliding(SimpleNamespace(anatomy=SimpleNamespace(mirror_axes=(1, 2))), stage).value
    assert sliding["mirror_axes"] == [1]
    assert sliding.get("window") == window


def test_a_cascade_gives_the_first_stage_to_the_second(make_dataset: Make, tmp_path: Path) -> None:
    outcome = planned(make_dataset(channels={"0": "T1", "1": "T2"}), tmp_path, Settings(kinds=("cascade",)))
    coarse, fine = read(outcome, 0), read(outcome, 1)
    assert coarse["model"]["in_channels"] == 2
    assert (fine["train_dataset"]["previous_classes"], fine["model"]["in_channels"]) == (2, 4)
    assert "3d_lowres" in fine["train_dataset"]["previous"]
    assert min(np.divide(coarse["train_dataset"]["preprocess"]["spacing"], [1, 1, 1])) > 1
    shown = outcome.configs[0].stage
    assert all(p >= m for p, m in zip(shown.fit.topology.patch, shown.median, strict=True))


def test_regions_are_sigmoids_with_binary_cross_entropy(make_dataset: Make, tmp_path: Path) -> None:
    root = make_dataset(labels={"background": 0, "a": 1, "b": 2})
    outcome = planned(root, tmp_path, regions=["whole=1,2", "core=2"], region_order=[1, 2])
    content = read(outcome)
    assert content["train_dataset"]["regions"] == {"whole": [1, 2], "core": 2}
    assert content["model"]["num_classes"] == 2
    assert [loss["type"] for loss in content["loss"]["types"][0]["losses"]] == ["DiceLoss", "BCELoss"]


def test_no_cascade_of_regions(make_dataset: Make, tmp_path: Path) -> None:
    root = make_dataset(labels={"background": 0, "whole": [1, 2], "core": 2}, regions_class_order=[1, 2])
    with pytest.raises(UserError, match="--kind cascade: regions overlap"):
        planned(root, tmp_path, Settings(kinds=("cascade",)))


def test_gaps_between_labels_are_closed(make_dataset: Make, tmp_path: Path) -> None:
    content = read(planned(make_dataset(labels={"background": 0, "a": 5, "b": 9}), tmp_path))
    assert content["train_dataset"]["labels"] == {"background": 0, "a": 5, "b": 9}
    assert content["model"]["num_classes"] == 3


def test_merged_and_ignored_labels_of_flags(make_dataset: Make, tmp_path: Path) -> None:
    root = make_dataset(labels={"background": 0, "a": 1, "b": 2, "c": 3})
    content = read(planned(root, tmp_path, labels=["ab=1,2"], ignore=[3]))
    assert content["train_dataset"]["labels"] == {"background": 0, "ab": [1, 2]}
    assert content["train_dataset"]["ignore"] == [3]
    assert content["model"]["num_classes"] == 2


@pytest.mark.parametrize(
    ("labels", "ignore", "kept", "ignored"),
    [
        ({"background": 0, "a": 1, "b": 2, "ignore": 3}, 2, {"background": 0, "a": 1}, [3, 2]),
        ({"background": 0, "a": 5, "b": 9}, 9, {"background": 0, "a": 5}, [9]),
        ({"background": 0, "a": [1, 4], "b": 2}, 4, {"background": 0, "a": 1, "b": 2}, [4]),
    ],
)
def test_ignored_labels_beside_the_descriptions_own(
    make_dataset: Make, tmp_path: Path, labels: dict[str, Any], ignore: int, kept: dict[str, int], ignored: list[int]
) -> None:
    root = make_dataset(labels=labels)
    dataset = read(planned(root, tmp_path, ignore=[ignore]))["train_dataset"]
    assert (dataset["labels"], dataset["ignore"]) == (kept, ignored)


def test_few_cases_have_few_folds_and_one_case_none(make_dataset: Make, tmp_path: Path) -> None:
    three = read(planned(make_dataset("three", cases=3), tmp_path))["train_dataset"]
    assert (three["fold"], three["num_folds"]) == (0, 3)
    outcome = planned(make_dataset("one", cases=1), tmp_path)
    one = read(outcome)["train_dataset"]
    assert (one["fold"], one["val_on_train"]) == ("all", True)
    assert any("1 case only" in note for note in outcome.notes)


def test_the_folds_of_the_dataset_are_used(make_dataset: Make, tmp_path: Path) -> None:
    root = make_dataset()
    split = [{"train": [f"case{i}" for i in range(4)], "val": ["case4", "case5"]}]
    (root / "splits_final.json").write_text(json.dumps(split))
    assert "num_folds" not in read(planned(root, tmp_path))["train_dataset"]


def test_a_class_in_no_case_stays_and_is_told(make_dataset: Make, tmp_path: Path) -> None:
    root = make_dataset(cases=2)
    description = json.loads((root / "dataset.json").read_text())
    description["labels"]["never"] = 3
    (root / "dataset.json").write_text(json.dumps(description))
    outcome = planned(root, tmp_path)
    assert read(outcome)["model"]["num_classes"] == 4
    assert any("no case has never" in note for note in outcome.notes)


def test_volumes_of_a_single_slice_are_planned_as_slices(make_dataset: Make, tmp_path: Path) -> None:
    labels = {"background": 0, "a": 1}
    root = make_dataset(shape=(40, 32, 1), labels=labels)
    for path in sorted((root / "labelsTr").iterdir()):
        label = np.zeros((40, 32, 1), np.uint8)
        label[4:12, 4:12] = 1
        write_volume(Volume(label, np.eye(4), meta={"labels": True}), path)
    outcome = planned(root, tmp_path)
    content = read(outcome)
    assert outcome.configs[0].path.name == "2d.yml"
    assert content["model"]["type"] == "PlainConvUNet2D"
    assert content["train_dataset"]["slices"]["axis"] == 2
    with pytest.raises(UserError, match="single slice"):
        planned(root, tmp_path / "other", Settings(kinds=("3d",)))


def test_held_out_cases_have_no_say(make_dataset: Make, tmp_path: Path) -> None:
    root = make_dataset(cases=4)
    names = sorted(path.name.split(".")[0].removesuffix("_0000") for path in (root / "imagesTr").iterdir())
    folds = [{"train": names[1:], "val": names[:1]}, {"train": names[:1], "val": names[1:]}]
    (root / "splits_final.json").write_text(json.dumps(folds), encoding="utf-8")
    for fold, trained in ((0, names[1:]), (1, names[:1])):
        outcome = planned(root, tmp_path / str(fold), fold=fold)
        assert [facts.case for facts in outcome.fingerprint.cases] == trained
        assert read(outcome)["train_dataset"]["fold"] == fold
    with pytest.raises(ConfigError, match="fold: 2 does not exist"):
        planned(root, tmp_path / "2", fold=2)


def test_ordered_levels_are_seen_whole(make_dataset: Make, tmp_path: Path) -> None:
    labels = {"background": 0, "L5": 1, "L4": 2, "L3": 3, "L2": 4}
    root = make_dataset(cases=2, shape=(48, 64, 160), labels=labels)
    settings = Settings(step_seconds=0.5)
    outcome = planned(root, tmp_path, settings)
    content = read(outcome)
    data = content["train_dataset"]
    assert data["patch_size"][2] * data["preprocess"]["spacing"][2] >= 160
    assert data["preprocess"]["spacing"][2] > 1
    assert data["transforms"][0]["mirror_axes"] == [0, 1]
    assert data["sliding"]["mirror_axes"] == [0, 1]
    assert content["test_config"]["level_order"] == [1, 2, 3, 4]
    assert content["postprocessing"] == [{"type": "OrderAlongSpine", "vertebrae": [1, 2, 3, 4], "discs": []}]
    text = outcome.configs[0].path.read_text(encoding="utf-8")
    assert "levels along head-foot" in text
    assert "and 0.5 s per step" not in text
    assert "1 s per step (twice --step_seconds" in text


def test_levels_that_always_start_at_the_lowest_are_anchored_by_training_cases_alone(
    make_dataset: Make, tmp_path: Path
) -> None:
    root = make_dataset(cases=14, shape=(24, 24, 48), labels={"background": 0, "L5": 1, "L4": 2, "L3": 3})
    (step,) = read(planned(root, tmp_path / "every"))["postprocessing"]
    assert step["type"] == "OrderAlongSpine"
    assert "anchor" not in step
    outcome = plan(open_dataset(root, fold=0), Settings(), tmp_path / "fold", check=False)
    (step,) = read(outcome)["postprocessing"]
    assert step["anchor"] == 100
    text = outcome.configs[0].path.read_text(encoding="utf-8")
    assert "the lowest level is L5 in every training case of this fold" in text


def test_anisotropic_volumes_keep_their_slices_apart(make_dataset: Make, tmp_path: Path) -> None:
    content = read(planned(make_dataset(shape=(64, 64, 12), spacing=(1, 1, 5)), tmp_path))
    assert content["train_dataset"]["preprocess"]["image_order"] == [3, 3, 0]
    assert content["model"]["kernel_size"][0] == [3, 3, 1]
    assert content["model"]["strides"][1] == [2, 2, 1]


def test_a_time_budget_becomes_the_end_and_the_number_of_steps(make_dataset: Make, tmp_path: Path) -> None:
    content = read(planned(make_dataset(), tmp_path, Settings(time_budget="30m")))
    assert content["max_time"] == "30m"
    assert content["iters"] > 0


@pytest.mark.parametrize(
    ("network", "kind"), [("resenc", "ResidualEncoderUNet"), ("unet3d", "UNet3D"), ("vnet", "VNet")]
)
def test_other_networks_fit_their_patch(make_dataset: Make, tmp_path: Path, network: str, kind: str) -> None:
    config = Config(planned(make_dataset(), tmp_path, Settings(network=network)).configs[0].path)
    assert config.dic["model"]["type"] == kind
    patch = config.dic["train_dataset"]["patch_size"]
    assert config.model.next_input_shape(patch) == tuple(patch)
    assert len(config.dic["loss"]["coef"]) == len(config.model.heads)


def test_a_network_for_images_or_an_unknown_one_is_refused(make_dataset: Make, tmp_path: Path) -> None:
    root = make_dataset(cases=2)
    with pytest.raises(UserError, match="--network nonsense"):
        planned(root, tmp_path, Settings(network="nonsense"))
    with pytest.raises(UserError, match="is for images"):
        planned(root, tmp_path, Settings(network="SegFormer_B0"))
    with pytest.raises(UserError, match="--network NNUNet: has no argument in_channels"):
        planned(root, tmp_path, Settings(network="NNUNet"))
    with pytest.raises(UserError, match="--kind 2d"):
        planned(root, tmp_path, Settings(network="unet3d", kinds=("2d",)))


def test_nothing_is_overwritten_unless_asked(make_dataset: Make, tmp_path: Path) -> None:
    root = make_dataset(cases=2)
    planned(root, tmp_path / "out")
    with pytest.raises(UserError, match="--overwrite"):
        planned(root, tmp_path / "out")
    plan(open_dataset(root), Settings(), tmp_path / "out" / "blobs", check=False, overwrite=True)


def test_too_little_memory_is_told(make_dataset: Make, tmp_path: Path) -> None:
    root = make_dataset(cases=2)
    with pytest.raises(UserError, match=r"--memory 10M: too little.*give (\d+)M or more") as told:
        planned(root, tmp_path, Settings(memory=10 / 1024))
    assert "1 x 1 x 1" not in str(told.value)
    least = int(str(told.value).split("give ")[1].split("M")[0])
    patch = read(planned(root, tmp_path / "least", Settings(memory=least / 1024)))["train_dataset"]["patch_size"]
    assert np.prod(patch) >= 16 * 16 * 12
    with pytest.raises(UserError, match="too little"):
        planned(root, tmp_path / "less", Settings(memory=0.5 * least / 1024))


def test_a_dry_run_over_the_limit_makes_batch_and_then_patch_smaller(
    make_dataset: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes: list[tuple[int, ...]] = []

    def fake(config: Path, shape: tuple[int, ...], **_: Any) -> DryRun | None:
        assert Config(config).dic["batch_size"] == shape[0]
        shapes.append(tuple(shape))
        return None if np.prod(shape[2:]) == np.prod(shapes[0][2:]) else DryRun(2**30, 2**28, 0.5)

    monkeypatch.setattr(module, "dry_run", fake)
    outcome = plan(open_dataset(make_dataset(cases=60)), Settings(kinds=("2d",)), tmp_path / "out", check=True)
    batches, patches = [shape[0] for shape in shapes], [np.prod(shape[2:]) for shape in shapes]
    assert batches == [16, 8, 4, 2, 2]
    assert patches[0] == patches[3] > patches[4]
    text = outcome.configs[0].path.read_text(encoding="utf-8")
    assert "0.50 s per step of 2, 1.00 GB" in text
    assert "made smaller until a dry run" in text
    assert [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")] == []


def test_levels_stay_whole_when_a_dry_run_is_over_the_limit(
    make_dataset: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes: list[tuple[int, ...]] = []

    def fake(config: Path, shape: tuple[int, ...], **_: Any) -> DryRun | None:
        shapes.append(tuple(shape))
        return None if len(shapes) < 4 else DryRun(2**30, 2**28, 0.5)

    monkeypatch.setattr(module, "dry_run", fake)
    root = make_dataset(shape=(24, 20, 64), labels={"background": 0, "L5": 1, "L4": 2, "L3": 3})
    outcome = plan(open_dataset(root), Settings(), tmp_path / "out")
    assert len({shape[4] for shape in shapes}) == 1
    assert np.prod(shapes[-1][2:]) < np.prod(shapes[0][2:])
    lines = outcome.configs[0].path.read_text(encoding="utf-8").splitlines()
    above = next(number for number, line in enumerate(lines) if line.strip().startswith("patch_size:"))
    assert "made smaller until a dry run" in " ".join(lines[above - 2 : above + 1])


def test_a_real_dry_run(make_dataset: Make, tmp_path: Path) -> None:
    outcome = plan(open_dataset(make_dataset(cases=2)), Settings(), tmp_path / "out")
    measured = outcome.configs[0].measured
    assert measured is not None
    assert measured.baseline_bytes < measured.peak_bytes < 2 * 2**30
    assert measured.seconds > 0


def test_a_bids_folder_keeps_patients_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "bids"
    label = np.zeros((16, 16, 16), np.uint8)
    label[4:8, 4:8, 4:8], label[10:14, 4:8, 4:8] = 1, 2
    for name in ("sub-01_ses-1", "sub-01_ses-2", "sub-02_ses-1", "sub-03_ses-1"):
        folder = Path(*name.split("_"), "anat")
        image = np.random.default_rng(0).normal(100, 5, label.shape).astype(np.float32)
        write_volume(Volume(image, np.eye(4)), root / folder / f"{name}_T2w.nii.gz")
        path = root / "derivatives" / "manual" / folder / f"{name}_dseg.nii.gz"
        write_volume(Volume(label, np.eye(4), meta={"labels": True}), path)
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.8.0"}')
    table = "index\tname\n0\tbackground\n1\tkidney_left\n2\tkidney_right\n"
    (root / "derivatives" / "manual" / "dseg.tsv").write_text(table)
    monkeypatch.chdir(root)
    data = read(plan(open_dataset(Path(".")), Settings(), tmp_path / "out", check=False))["train_dataset"]
    assert data["dataset_root"] == "bids"
    assert data["num_folds"] == 3
    assert data["transforms"][0]["mirror_axes"] == [1, 2]


def test_names_of_folders(make_dataset: Make) -> None:
    root = make_dataset(cases=1)
    (root / "dataset_levels.json").write_bytes((root / "dataset.json").read_bytes())
    assert dataset_name(open_dataset(root)) == "blobs"
    assert dataset_name(open_dataset(root, dataset_json="dataset_levels.json")) == "blobs_levels"


@pytest.mark.parametrize(("text", "value"), [("8G", 8), ("8", 8), ("512M", 0.5), ("1.5GB", 1.5), ("2gib", 2)])
def test_sizes(text: str, value: float) -> None:
    assert gigabytes(text) == value


@pytest.mark.parametrize("text", ["", "G", "-1G", "8X", "nan", "inf"])
def test_wrong_sizes(text: str) -> None:
    with pytest.raises(UserError, match="--memory"):
        gigabytes(text)


@pytest.mark.parametrize("items", [["a"], ["=1"], ["a=x"], ["a=1", "a=2"]])
def test_wrong_label_flags(items: list[str]) -> None:
    with pytest.raises(UserError, match="--labels"):
        parse_labels(items, "--labels")


def test_hippocampus_gets_nnunets_patch(shared_data: Path, tmp_path: Path) -> None:
    """The published plan: patch 40x56x40, batch 9 of 260 cases; 5 % of the 223 here are 8."""
    source = open_dataset(shared_data / "hippocampus")
    gpu = plan(source, Settings(device="gpu"), tmp_path / "gpu", check=False, num_workers=0)
    stage = gpu.configs[0].stage
    assert (stage.fit.topology.patch, stage.fit.batch, stage.median) == ((40, 56, 40), 8, (35, 50, 36))
    content = read(gpu)
    assert content["model"]["features"] == [32, 64, 128, 256]
    assert content["train_dataset"]["preprocess"]["spacing"] == [1.0, 1.0, 1.0]
    cpu = read(plan(source, Settings(), tmp_path / "cpu", check=False, num_workers=0))
    assert cpu["train_dataset"]["patch_size"] == [40, 56, 40]
    assert cpu["model"]["features"] == [16, 32, 64, 128]
    assert cpu["train_dataset"]["transforms"][0]["mirror_axes"] == [0, 2]


def test_a_slow_machine_gets_a_smaller_plan_and_a_busy_one_does_not(
    make_dataset: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_dataset(cases=40, shape=(96, 96, 96))
    shapes: list[tuple[int, ...]] = []
    busy = False

    def fake(config: Path, shape: tuple[int, ...], **_: Any) -> DryRun:
        shapes.append(tuple(shape))
        return DryRun(2**30, 2**28, 4.0, busy)

    monkeypatch.setattr(module, "dry_run", fake)
    plan(open_dataset(root), Settings(), tmp_path / "slow")
    assert len(shapes) == 2
    assert np.prod(shapes[1]) < np.prod(shapes[0])
    busy = True
    outcome = plan(open_dataset(root), Settings(), tmp_path / "busy")
    assert len(shapes) == 3
    assert shapes[2] == shapes[0]
    assert any("busy" in note for note in outcome.notes)
