"""nnU-Net's training by a plan, under PaddleSeg3D's name."""

from __future__ import annotations

import inspect
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import KFold

from medicalseg.core.fit import check_fit, check_patches
from medicalseg.datasets import DecathlonDataset, MSDDataset
from medicalseg.datasets.nnunet_settings import dataset_settings
from medicalseg.errors import ConfigError, DataError
from medicalseg.inference.preprocess import Preprocessing
from medicalseg.io import Volume, reorient, write_volume
from medicalseg.models import NNUNet
from medicalseg.utils.nnunet_plan import parse_plan, read_plan
from tests.datasets.conftest import AFFINE

PLAN: dict[str, Any] = {
    "base_num_features": 4,
    "num_modalities": 1,
    "num_classes": 2,
    "modalities": {"0": "MR"},
    "normalization_schemes": {"0": "nonCT"},
    "plans_per_stage": {
        "0": {
            "batch_size": 2,
            "patch_size": [4, 8, 6],
            "current_spacing": [3.0, 1.5, 1.0],
            "pool_op_kernel_sizes": [[1, 2, 2]],
            "conv_kernel_sizes": [[1, 3, 3], [3, 3, 3]],
        }
    },
}
FLAT: dict[str, Any] = {
    **PLAN,
    "plans_per_stage": {
        "0": {
            "batch_size": 3,
            "patch_size": [8, 6],
            "current_spacing": [3.0, 1.5, 1.0],
            "pool_op_kernel_sizes": [[2, 2]],
        }
    },
}


def written(folder: Path, content: dict[str, Any] = PLAN, name: str = "plan.json") -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(content))
    return str(folder / name)


def test_arguments_and_defaults_of_paddleseg3d() -> None:
    upstream = {
        **{"plans_name": None, "num_batches_per_epoch": 250, "fold": 0, "dataset_directory": None},
        **dict.fromkeys(("raw_data_dir", "decathlon_dir", "cropped_data_dir", "preprocessed_dir")),
        **{"plan2d": False, "plan3d": False, "stage": None, "cascade": False, "dataset_root": None},
        **{"result_dir": None, "use_multi_augmenter": True, "transforms": None, "num_classes": None},
        **{"unpack_data": True, "mode": "train", "ignore_index": 255, "num_threads": 4},
    }
    found = inspect.signature(MSDDataset).parameters
    assert {name: found[name].default for name in list(found)[: len(upstream)]} == upstream
    assert list(found)[: len(upstream)] == list(upstream)
    assert {"patch_size", "previous", "preprocess", "class_sampling", "group_pattern"} < set(found)


def test_a_patch_in_the_order_of_the_plan(decathlon: Path, tmp_path: Path) -> None:
    dataset = MSDDataset(dataset_root=str(decathlon), plan_path=written(tmp_path), fold="all", transforms=[])
    image, label, name = dataset[(0, 1)]
    assert (image.shape, image.dtype, label.shape, label.dtype) == ((1, 4, 8, 6), np.float32, (4, 8, 6), np.int64)
    whole, ids = dataset.load(next(case for case in dataset.cases if case.name == name))
    assert whole.shape == (1, 6, 10, 12)
    raw = DecathlonDataset(str(decathlon), [], fold="all", normalize="none")
    stored, stored_ids = raw.load(next(case for case in raw.cases if case.name == name))
    np.testing.assert_array_equal(ids, stored_ids.transpose(2, 1, 0))
    normal = (stored - stored.mean()) / stored.std()
    np.testing.assert_allclose(whole[0], normal.transpose(2, 1, 0), atol=2e-3)
    views = np.lib.stride_tricks.sliding_window_view(whole[0], image.shape[1:])
    assert (views == image[0]).all((3, 4, 5)).sum() == 1


def test_evaluated_on_the_original_grid(decathlon: Path, tmp_path: Path) -> None:
    dataset = MSDDataset(dataset_root=str(decathlon), plan_path=written(tmp_path), mode="val")
    task = dataset.task
    assert task.sliding == {"window": [4, 8, 6], "overlap": 0.5, "mirror_axes": [0, 1, 2]}
    assert (task.restoring, task.preprocessing.orientation, task.preprocessing.crop) == ("scores", "SAR", "nonzero")
    raw = DecathlonDataset(str(decathlon), [], mode="val", normalize="none")
    for index in range(len(dataset)):
        labels = dataset.load(dataset.cases[index])[1]
        np.testing.assert_array_equal(dataset.to_original(labels, index).array, raw.load(raw.cases[index])[1])


def test_slices_are_pictures_of_rows_and_columns(decathlon: Path, tmp_path: Path) -> None:
    dataset = MSDDataset(dataset_root=str(decathlon), plan_path=written(tmp_path, FLAT), fold="all")
    image, label, _ = dataset[(0, 2)]
    assert (image.shape, label.shape) == ((1, 8, 6), (8, 6))
    assert (dataset.task.preprocessing.orientation, dataset.task.preprocessing.spacing) == ("RAS", (1.0, 1.5, 3.0))
    assert dataset.task.slices is not None
    assert dataset.task.slices.axis == 2
    plain = MSDDataset(dataset_root=str(decathlon), plan_path=str(tmp_path / "plan.json"), fold="all", transforms=[])
    image, label, name = plain[(0, 2)]
    whole, ids = plain.load(next(case for case in plain.cases if case.name == name))
    pictures = np.lib.stride_tricks.sliding_window_view(whole[0].transpose(2, 1, 0), image.shape[1:], (1, 2))
    places = np.argwhere((pictures == image[0]).all((3, 4)))
    assert len(places) == 1
    z, y, x = places[0]
    np.testing.assert_array_equal(label, ids[x : x + 6, y : y + 8, z].T)


@pytest.mark.parametrize("transposed", [[1, 0, 2], [2, 0, 1]])
@pytest.mark.parametrize("flat", [False, True])
def test_axes_that_the_plan_transposed(transposed: list[int], flat: bool) -> None:
    """A volume preprocessed by the settings is what nnU-Net's transposition makes of SimpleITK's array."""
    content = {**(FLAT if flat else PLAN), "transpose_forward": transposed, "normalization_schemes": {"0": "noNorm"}}
    plan = parse_plan(content, "test")
    steps = dataset_settings(plan, plan.stage(None), False)["preprocess"]
    rng = np.random.default_rng(0)
    volume = reorient(Volume(rng.uniform(1, 2, (4, 5, 6)).astype(np.float32), np.diag([1.0, 1.0, 1.0, 1.0])), "RAS")
    spacing = steps.pop("spacing")
    array, _ = Preprocessing.from_dict({**steps, "normalize": "none"}).apply(volume)
    expected = volume.array.transpose(2, 1, 0).transpose(transposed)
    if not flat:
        np.testing.assert_array_equal(array[0], expected)
        assert spacing == [3.0, 1.5, 1.0]
        return
    picture = array[0][..., 3].T
    np.testing.assert_array_equal(picture, expected[3])
    assert spacing == [1.0, 1.5, 3.0]


def test_the_folds_of_paddleseg3d(decathlon: Path, tmp_path: Path) -> None:
    names = np.array([f"case_{number}" for number in range(6)])
    path = written(tmp_path)
    for fold, (train, val) in enumerate(KFold(5, shuffle=True, random_state=12345).split(names)):
        for mode, expected in (("train", train), ("val", val)):
            dataset = MSDDataset(dataset_root=str(decathlon), plan_path=path, fold=fold, mode=mode)
            assert [case.name for case in dataset.cases] == names[expected].tolist()


def test_grey_values() -> None:
    def steps(**changes: Any) -> list[dict[str, Any]]:
        plan = parse_plan({**PLAN, **changes}, "test")
        return dataset_settings(plan, plan.stage(None), False)["preprocess"]["intensity"]

    numbers = {"mean": -100.0, "sd": 50.0, "percentile_00_5": -900.0, "percentile_99_5": 300.0}
    measured = {"dataset_properties": {"intensityproperties": {"0": numbers, "1": numbers}}}
    clipped = {"type": "standardize", "low": -900.0, "high": 300.0, "mean": -100.0, "std": 50.0}
    assert steps(normalization_schemes={"0": "CT"}, **measured) == [clipped]
    assert steps(normalization_schemes={"0": "noNorm"}) == []
    assert steps(use_mask_for_norm={"0": True}) == [{"type": "zscore", "mask": "nonzero"}]
    two = steps(num_modalities=2, normalization_schemes={"0": "CT2", "1": "nonCT"}, **measured)
    window = {"type": "window", "low": -900.0, "high": 300.0, "out_low": -900.0, "out_high": 300.0}
    own = {"type": "zscore", "mask": "all"}
    assert two == [{**window, "channels": [0]}, {**own, "channels": [0]}, {**own, "channels": [1]}]
    assert steps(num_modalities=2, normalization_schemes={"0": "nonCT", "1": "nonCT"}) == [own]


def test_a_plan_without_grey_values_of_ct_gets_them_from_the_cases(decathlon: Path, tmp_path: Path) -> None:
    content = {**PLAN, "normalization_schemes": {"0": "CT"}}
    dataset = MSDDataset(dataset_root=str(decathlon), plan_path=written(tmp_path, content), mode="val")
    (step,) = dataset.task.preprocessing.intensity
    images = DecathlonDataset(str(decathlon), [], fold="all", normalize="none")
    pairs = [images.load(case) for case in images.cases]
    values = np.concatenate([image[label > 0] for image, label in pairs])
    assert (step["type"], step["mean"]) == ("standardize", pytest.approx(values.mean(), rel=0.01))
    assert step["low"] == pytest.approx(np.percentile(values, 0.5), rel=0.02)


@pytest.mark.parametrize(("flag", "axes"), [("plan2d", 2), ("plan3d", 3)])
def test_a_plan_is_made_where_there_is_none(decathlon: Path, tmp_path: Path, flag: str, axes: int) -> None:
    """A configuration of PaddleSeg3D names folders and a pickle that are not there yet."""
    folder = tmp_path / "preprocessed" / "Task006_Box"
    name = f"nnUNetPlansv2.1_plans_{axes}D.pkl"
    block: dict[str, Any] = {
        **{"plans_name": name, "dataset_root": "/", "result_dir": "/", "raw_data_dir": str(decathlon)},
        **{"decathlon_dir": str(tmp_path / "Task006_Box"), "cropped_data_dir": str(tmp_path / "cropped")},
        **{"preprocessed_dir": str(folder), flag: True, "stage": 0, "num_batches_per_epoch": 50},
    }
    train = MSDDataset(**block)
    assert [path.name for path in folder.iterdir()] == [name.replace(".pkl", ".json")]
    plan = read_plan(folder / name)
    assert len(plan.stages[0].patch_size) == axes
    assert (plan.num_modalities, plan.num_classes) == (1, 2)
    assert set(plan.intensities[0]) == {"mean", "sd", "percentile_00_5", "percentile_99_5"}
    assert plan.stages[0].spacing == (3.0, 1.5, 1.0)
    val = MSDDataset(**{**block, flag: False, "mode": "val"})
    model = NNUNet(folder / name, stage=0)
    check_fit(model, train, val)
    check_patches(model, train, val)
    assert train[(0, 0)][0].shape == (1, *model.patch_size)


def test_what_means_nothing_here_is_said(decathlon: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "medicalseg")
    changes = {"num_batches_per_epoch": 50, "cropped_data_dir": "somewhere"}
    MSDDataset(dataset_root=str(decathlon), plan_path=written(tmp_path), **changes)
    told = [record.getMessage() for record in caplog.records if "is ignored" in record.getMessage()]
    assert len(told) == 2
    assert any("MSDDataset.num_batches_per_epoch is ignored" in line for line in told)


def test_a_cascade(decathlon: Path, tmp_path: Path) -> None:
    stage = PLAN["plans_per_stage"]["0"]
    path = written(tmp_path, {**PLAN, "plans_per_stage": {"0": stage, "1": stage}})
    block = {"dataset_root": str(decathlon), "plan_path": path, "stage": 1, "cascade": True, "fold": "all"}
    with pytest.raises(ConfigError, match="previous: stage 1 of a cascade needs the label maps of stage 0"):
        MSDDataset(**block)
    folder = tmp_path / "pred_next_stage"
    labels = DecathlonDataset(str(decathlon), [], fold="all")
    for case in labels.cases:
        ids = labels.load(case)[1].astype(np.uint8)
        write_volume(Volume(ids, AFFINE, meta={"labels": True}), folder / f"{case.name}.nii.gz")
    for more in ({"previous": str(folder)}, {"preprocessed_dir": str(tmp_path)}):
        dataset = MSDDataset(**block, **more, transforms=[], corrupt_previous=None)
        image, label, _ = dataset[(0, 0)]
        assert image.shape == (3, 4, 8, 6)
        for channel in (1, 2):
            np.testing.assert_array_equal(image[channel], label == channel)
        check_fit(NNUNet(path, stage=1, cascade=True), dataset)


def test_what_the_config_says_comes_before_the_plan(decathlon: Path, tmp_path: Path) -> None:
    changes = {"patch_size": [4, 4, 4], "preprocess": {"crop": "none"}, "foreground": 1.0}
    dataset = MSDDataset(dataset_root=str(decathlon), plan_path=written(tmp_path), **changes)
    assert dataset[(0, 0)][0].shape == (1, 4, 4, 4)
    steps = dataset.task.preprocessing
    assert (steps.crop, steps.orientation, steps.spacing) == ("none", "SAR", (3.0, 1.5, 1.0))


def test_what_is_wrong_is_named(decathlon: Path, tmp_path: Path) -> None:
    path = written(tmp_path)
    root = {"dataset_root": str(decathlon)}
    other = written(tmp_path, {**PLAN, "num_classes": 1}, "other.json")
    two = written(tmp_path, {**PLAN, "num_modalities": 2}, "two.json")
    for arguments, error, message in (
        ({**root}, ConfigError, "plan_path: needed, or both preprocessed_dir and plans_name"),
        ({**root, "plan_path": "nowhere.json"}, ConfigError, "nowhere.json does not exist"),
        ({**root, "plan_path": path, "stage": 3}, ConfigError, "has no stage 3"),
        ({**root, "plan_path": other}, ConfigError, "is for 1 classes besides the background, .* has 2"),
        ({**root, "plan_path": two}, ConfigError, "is for 2 channels, .* has 1"),
        ({"plan_path": path}, DataError, "raw_data_dir or dataset_root is not given"),
        ({"plan_path": path, "raw_data_dir": "nowhere"}, DataError, "no such folder: nowhere .*Task06_Lung.tar"),
    ):
        with pytest.raises(error, match=message):
            MSDDataset(**arguments)
