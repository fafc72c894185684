"""Prepared arrays: items, seeds, grids, notes and errors that name the case."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

from medicalseg.cvlibs import manager  # noqa: E402
from medicalseg.datasets import LungCoronavirus, MedicalDataset, MRISpineSeg  # noqa: E402
from medicalseg.datasets.splits import LEAKING_NOTE  # noqa: E402
from medicalseg.errors import ConfigError, DataError  # noqa: E402
from medicalseg.io import read_label  # noqa: E402
from medicalseg.transforms import RandomFlip3D, Resize3D  # noqa: E402
from medicalseg.utils.seeding import rng  # noqa: E402
from tests.datasets.conftest import write_list  # noqa: E402


def noise(im, label=None):
    return im + rng().normal(size=im.shape).astype(np.float32), label


def test_item(prepared):
    dataset = MedicalDataset(str(prepared), None, [], 3, mode="val")
    image, label, name = dataset[1]
    stored = np.load(prepared / "images/Case5.npy")
    assert (image.shape, image.dtype, label.shape, label.dtype) == ((1, 6, 5, 6), np.float32, (6, 5, 6), np.int64)
    np.testing.assert_allclose(image[0], stored / stored.max(), rtol=1e-6)
    np.testing.assert_array_equal(label, np.load(prepared / "labels/mask_case5.npy"))
    assert name == "Case5"
    assert dataset.has_label(0)
    assert isinstance(dataset, paddle.io.Dataset)


def test_train_list_is_repeated(prepared):
    dataset = MedicalDataset(str(prepared), "results", [], 3)
    assert (len(dataset), len(dataset.cases)) == (40, 4)
    assert [dataset[index][2] for index in (0, 4, 39)] == ["Case0", "Case0", "Case3"]
    assert sum(1 for _ in dataset) == 40
    with pytest.raises(IndexError):
        dataset[40]


def test_sample_depends_on_seed_epoch_and_index_only(prepared):
    dataset = MedicalDataset(str(prepared), None, [noise, RandomFlip3D()], 3)
    first = dataset[3, 4][0]
    np.random.default_rng().normal()
    np.testing.assert_array_equal(dataset[3, 4][0], first)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(dataset))[3, 4][0], first)
    assert not np.array_equal(dataset[4, 4][0], first)
    assert not np.array_equal(dataset[3, 8][0], first)
    dataset.seed = 1
    assert not np.array_equal(dataset[3, 4][0], first)


def test_data_workers_give_the_same_samples(prepared):
    dataset = MedicalDataset(str(prepared), None, [noise], 3, repeat_times=1)
    loader = paddle.io.DataLoader(dataset, batch_size=2, num_workers=2, return_list=True)
    batches = [batch[0].numpy() for batch in loader]
    np.testing.assert_array_equal(np.concatenate(batches), np.stack([dataset[index][0] for index in range(4)]))


def test_way_back_to_the_original_grid(prepared):
    dataset = MedicalDataset(str(prepared), mode="val")
    reference = dataset.reference(0)
    np.testing.assert_array_equal(reference.array, read_label(prepared / "originals/Case4.nii.gz").array)
    restored = dataset.to_original(dataset[0][1], 0)
    assert restored.grid_difference(reference) is None
    assert (restored.array == reference.array).mean() > 0.8
    resized = MedicalDataset(str(prepared), mode="val", transforms=[Resize3D([8, 8, 8])])
    assert resized.to_original(resized[0][1], 0).shape == (12, 10, 6)


def test_of_two_descriptions_the_one_with_the_preprocessing(prepared, tmp_path, caplog):
    own = json.loads((prepared / "dataset.json").read_text())
    foreign, missing = tmp_path / "raw.json", tmp_path / "no.json"
    foreign.write_text(json.dumps({"labels": {"0": "nothing", "1": "something", "2": "else"}}))
    assert MedicalDataset(str(prepared), dataset_json_path=str(foreign)).description == own
    assert MedicalDataset(str(prepared), dataset_json_path=str(missing)).description == own
    assert "no.json does not exist" in caplog.text
    (prepared / "dataset.json").unlink()
    assert MedicalDataset(str(prepared), dataset_json_path=str(foreign)).task.labels[1] == "something"
    foreign.write_text(json.dumps(own))
    assert MedicalDataset(str(prepared), dataset_json_path=str(foreign)).description == own


@pytest.mark.parametrize("dataset", [MRISpineSeg, LungCoronavirus])
def test_arrays_of_paddleseg3d_know_their_preprocessing(prepared, dataset, caplog):
    (prepared / "dataset.json").unlink()
    caplog.set_level("INFO")
    steps = dataset(str(prepared), mode="val").task.preprocessing
    assert (steps.size, steps.intensity[0]["type"], steps.normalize) == ((6, 5, 6), "window", "max")
    assert "taken for PaddleSeg3D's" in caplog.text
    assert MedicalDataset(str(prepared), num_classes=3).task.preprocessing.size is None
    assert "leave raw volumes as they are" in caplog.text


def test_without_description(prepared):
    (prepared / "dataset.json").unlink()
    with pytest.raises(ConfigError, match="num_classes"):
        MedicalDataset(str(prepared))
    dataset = MedicalDataset(str(prepared), num_classes=3, mode="val")
    assert dataset.record(0) is None
    assert dataset.to_original(dataset[0][1], 0) is None
    assert dataset.task.name(2) == "class 2"


def test_task(prepared):
    task = MedicalDataset(str(prepared)).task
    assert (task.num_classes, task.names) == (3, ["background", "box", "core"])
    assert task.class_groups == {"all": (0, 1, 2)}
    assert (task.preprocessing.size, task.preprocessing.normalize, task.in_channels) == ((6, 5, 6), "max", 1)
    assert MedicalDataset(str(prepared), normalize="zscore").task.preprocessing.normalize == "zscore"


def test_spine_classes(prepared):
    (prepared / "dataset.json").unlink()
    task = MRISpineSeg(str(prepared)).task
    assert (task.names[1], task.names[10], task.names[19]) == ("S", "T9", "T9/T10")
    assert {name: len(ids) for name, ids in task.class_groups.items()} == {"20 classes": 20, "16 classes*": 16}
    assert not {9, 10, 18, 19} & set(task.class_groups["16 classes*"])
    assert LungCoronavirus(str(prepared)).task.names == ["background", "left lung", "right lung"]
    assert manager.DATASETS["MRISpineSeg"] is MRISpineSeg


def test_leaking_lists_are_marked(prepared):
    assert MedicalDataset(str(prepared)).notes == ()
    write_list(prepared, "val", range(3, 6))
    for mode in ("train", "val"):
        assert MedicalDataset(str(prepared), mode=mode).notes == (f"{LEAKING_NOTE}: 1 of 3",)


def test_declared_leak_is_marked(prepared):
    content = json.loads((prepared / "dataset.json").read_text())
    content["split"]["leaking"] = True
    (prepared / "dataset.json").write_text(json.dumps(content))
    assert MedicalDataset(str(prepared)).task.notes == (LEAKING_NOTE,)


def test_unlabelled_test_case(prepared):
    (prepared / "test_list.txt").write_text("images/Case0.npy\n")
    dataset = MedicalDataset(str(prepared), mode="test")
    image, label, _ = dataset[0]
    assert label.shape == image.shape[1:]
    assert set(np.unique(label)) == {255}
    assert not dataset.has_label(0)


def test_data_hash_tells_states_apart(prepared):
    first = MedicalDataset(str(prepared)).data_hash()
    assert MedicalDataset(str(prepared)).data_hash() == first
    np.save(prepared / "labels/mask_case0.npy", np.ones((6, 5, 6), np.int32))
    assert MedicalDataset(str(prepared)).data_hash() != first


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (np.full((6, 5, 6), 3), r"case Case4: label ids \[3\] .*3 classes.*mask_case4"),
        (np.full((6, 5, 6), -1), r"case Case4: label ids \[-1\]"),
        (np.full((6, 5, 6), 0.5), "case Case4: .*no integers"),
        (np.zeros((5, 5, 6), int), "case Case4: label has the shape"),
        (np.zeros(3), "case Case4: .*expected an array"),
        (np.array({"a": 1}), "case Case4: .*cannot be read"),
    ],
)
def test_wrong_label_names_case_and_file(prepared, label, message):
    np.save(prepared / "labels/mask_case4.npy", label)
    with pytest.raises(DataError, match=message):
        MedicalDataset(str(prepared), mode="val")[0]


def test_any_failure_names_the_case(prepared):
    def fail(im, label=None):
        raise RuntimeError("broken\nop")

    with pytest.raises(DataError, match=r"case Case4: RuntimeError: broken op \(.*Case4\.npy"):
        MedicalDataset(str(prepared), transforms=[fail], mode="val")[0]
    (prepared / "images/Case4.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(DataError, match="case Case4"):
        MedicalDataset(str(prepared), mode="val")[0]


def test_wrong_arguments(prepared, tmp_path):
    with pytest.raises(DataError, match=r"does not exist: .*prepare_mri_spine_seg\.py --phantom"):
        MRISpineSeg(str(tmp_path / "no"))
    with pytest.raises(DataError, match="has no list files"):
        MedicalDataset(str(tmp_path))
    with pytest.raises(ConfigError, match="mode"):
        MedicalDataset(str(prepared), mode="eval")
    with pytest.raises(ConfigError, match="repeat_times"):
        MedicalDataset(str(prepared), repeat_times=0)
    with pytest.raises(DataError, match=r"test_list\.txt"):
        MedicalDataset(str(prepared), mode="test")
    (prepared / "dataset.json").write_text("[")
    with pytest.raises(DataError, match=r"dataset\.json: cannot be read"):
        MedicalDataset(str(prepared))
