"""MSD and nnU-Net folders: discovery, channels, folds, cache, geometry, the way back."""

from __future__ import annotations

import json
import pickle
import shutil

import numpy as np
import pytest

pytest.importorskip("paddle")

from medicalseg.datasets import DecathlonDataset
from medicalseg.datasets.decathlon_layout import find_cases, read_layout
from medicalseg.datasets.splits import LEAKING_NOTE, kfold
from medicalseg.errors import ConfigError, DataError
from medicalseg.inference import TaskSpec
from medicalseg.io import Volume, read_label, read_volume, write_volume
from tests.datasets.conftest import AFFINE, make_pair

SIZE = {"size": [8, 8, 8], "intensity": [{"type": "window", "low": 0, "high": 300}]}


def edit(root, **changes):
    path = root / "dataset.json"
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def files_of(root):
    return sorted(path.relative_to(root) for path in root.rglob("*"))


def test_item_equals_preprocessing_and_nothing_is_written_beside_the_data(decathlon):
    before = files_of(decathlon)
    dataset = DecathlonDataset(str(decathlon), mode="val", preprocess=SIZE, normalize="max")
    image, label, name = dataset[0]
    stored = dataset.task.preprocessing
    expected, record = stored.apply(read_volume(decathlon / f"imagesTr/{name}.nii.gz"))
    np.testing.assert_allclose(image, expected, rtol=1e-6)
    reference = read_label(decathlon / f"labelsTr/{name}.nii.gz")
    np.testing.assert_array_equal(label, stored.apply_label(reference))
    assert dataset.record(0) == record
    np.testing.assert_array_equal(dataset.reference(0).array, reference.array)
    assert dataset.to_original(label, 0).grid_difference(reference) is None
    assert files_of(decathlon) == before
    assert dataset.task.names == ["background", "box", "core"]


def test_folds_follow_nnunets_rule_and_are_recorded(decathlon, cache_folder, tmp_path):
    names = [f"case_{number}" for number in range(6)]
    for fold, split in enumerate(kfold(names)):
        for mode, expected in (("train", split.train), ("val", split.val)):
            dataset = DecathlonDataset(str(decathlon), mode=mode, fold=fold)
            assert tuple(case.name for case in dataset.cases) == expected
    (recorded,) = (cache_folder / "splits").iterdir()
    assert json.loads(recorded.read_text())[1]["val"] == list(kfold(names)[1].val)
    DecathlonDataset(str(decathlon), result_dir=str(tmp_path / "results"))
    assert len(list((tmp_path / "results").iterdir())) == 1


def test_given_splits(decathlon):
    folds = [{"train": ["case_0", "case_1"], "val": ["case_5"]}, {"train": ["case_0"], "val": ["case_0"]}]
    (decathlon / "splits_final.json").write_text(json.dumps(folds))
    dataset = DecathlonDataset(str(decathlon), mode="val")
    assert [case.name for case in dataset.cases] == ["case_5"]
    assert dataset.notes == ()
    assert DecathlonDataset(str(decathlon), mode="val", fold=1).notes == (LEAKING_NOTE,)
    with pytest.raises(ConfigError, match=r"fold: 2 does not exist; .* 0 to 1"):
        DecathlonDataset(str(decathlon), fold=2)
    folds[0]["val"] = ["case_9"]
    (decathlon / "other.json").write_text(json.dumps(folds))
    with pytest.raises(DataError, match=r"other\.json: names 1 cases .*case_9"):
        DecathlonDataset(str(decathlon), splits="other.json")


def test_fold_all(decathlon):
    assert len(DecathlonDataset(str(decathlon), fold="all")) == 6
    with pytest.raises(ConfigError, match="val_on_train"):
        DecathlonDataset(str(decathlon), fold="all", mode="val")
    dataset = DecathlonDataset(str(decathlon), fold="all", mode="val", val_on_train=True)
    assert dataset.notes[0].startswith(LEAKING_NOTE)


def test_nnunet_names_channels_and_ignore_label(decathlon):
    for path in sorted((decathlon / "imagesTr").iterdir()):
        stem = path.name.removesuffix(".nii.gz")
        shutil.copy(path, path.with_name(f"{stem}_0001.nii.gz"))
        path.rename(path.with_name(f"{stem}_0000.nii.gz"))
    edit(
        decathlon,
        modality=None,
        training=None,
        channel_names={"0": "T1", "1": "T2"},
        labels={"background": 0, "box": 1, "ignore": 2},
        file_ending=".nii.gz",
        numTraining=6,
    )
    dataset = DecathlonDataset(str(decathlon), mode="val", preprocess=SIZE)
    image, _, name = dataset[0]
    assert (image.shape, name) == ((2, 8, 8, 8), dataset.cases[0].name)
    assert (dataset.num_classes, dataset.ignore_index, dataset.task.in_channels) == (2, 2, 2)
    assert DecathlonDataset(str(decathlon), channels=[1]).task.in_channels == 1
    (decathlon / "imagesTr/case_0_0001.nii.gz").unlink()
    write_volume(Volume(make_pair(0)[0][:-1], AFFINE), decathlon / "imagesTr/case_0_0001.nii.gz")
    with pytest.raises(DataError, match="case case_0: channels lie on different grids: shape"):
        DecathlonDataset(str(decathlon), fold="all")[0]


def test_listed_cases_with_nnunet_suffix_and_other_label_folder(decathlon):
    for path in (decathlon / "imagesTr").iterdir():
        path.rename(path.with_name(path.name.replace(".nii.gz", "_0000.nii.gz")))
    (decathlon / "labelsTr").rename(decathlon / "labelsTr_levels")
    dataset = DecathlonDataset(str(decathlon), labels_dir="labelsTr_levels")
    assert dataset[0][0].shape == (1, 12, 10, 6)


def test_channels_of_a_4d_file(decathlon):
    for number in range(6):
        image, _ = make_pair(number)
        stack = np.stack([image, image * 2, image * 3])
        write_volume(Volume(stack, AFFINE), decathlon / f"imagesTr/case_{number}.nii.gz")
    edit(decathlon, modality={"0": "a", "1": "b", "2": "c"})
    dataset = DecathlonDataset(str(decathlon), channels=[2, 0], normalize="none", preprocess=SIZE)
    assert (dataset[0][0].shape, dataset.task.in_channels) == ((2, 8, 8, 8), 2)
    assert (dataset.task.preprocessing.channels, dataset.task.stored_channels) == ((2, 0), 3)
    stored = read_volume(dataset.cases[0].images[0], channels=True)
    image, _ = dataset.task.preprocessing.apply(stored)
    np.testing.assert_array_equal(image, dataset[0][0])
    assert TaskSpec.from_dict(json.loads(json.dumps(dataset.task.to_dict()))) == dataset.task
    same = DecathlonDataset(str(decathlon), normalize="none", preprocess={**SIZE, "channels": [2, 0]})
    np.testing.assert_array_equal(same[0][0], image)
    with pytest.raises(ConfigError, match=r"channels: \[1\], but preprocess.channels is \[0\]"):
        DecathlonDataset(str(decathlon), channels=[1], preprocess={"channels": [0]})
    with pytest.raises(DataError, match=r"case .*: .*channels \[5\] do not exist"):
        DecathlonDataset(str(decathlon), channels=[5])[0]


@pytest.mark.parametrize("kind", ["disk", "ram"])
def test_cache_gives_the_same_and_follows_the_files(decathlon, kind, monkeypatch):
    dataset = DecathlonDataset(str(decathlon), mode="val", preprocess=SIZE, cache=kind)
    first = dataset[0]
    monkeypatch.setattr(dataset, "_prepare", lambda case: pytest.fail("read again"))
    for again in (dataset[0], dataset[5, 0]):
        np.testing.assert_array_equal(again[0], first[0])
        np.testing.assert_array_equal(again[1], first[1])
    monkeypatch.undo()
    image = read_volume(dataset.cases[0].images[0])
    write_volume(image.with_array(image.array[::-1] * 1.5), dataset.cases[0].images[0])
    assert not np.array_equal(dataset[0][0], first[0])


def test_pickled_dataset_gives_the_same(decathlon):
    dataset = DecathlonDataset(str(decathlon), preprocess=SIZE, cache="none")
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(dataset))[2, 1][0], dataset[2, 1][0])


def test_several_descriptions(decathlon):
    content = (decathlon / "dataset.json").read_text()
    (decathlon / "dataset.json").rename(decathlon / "dataset_a.json")
    assert read_layout(decathlon).description.name == "dataset_a.json"
    (decathlon / "dataset_b.json").write_text(content)
    (decathlon / "cases.json").write_text("{}")
    with pytest.raises(DataError, match=r"several .*dataset_a\.json, dataset_b\.json"):
        DecathlonDataset(str(decathlon))
    assert len(DecathlonDataset(str(decathlon), dataset_json="dataset_b.json", fold="all")) == 6
    with pytest.raises(DataError, match=r"descriptions there: dataset_a\.json, dataset_b\.json"):
        DecathlonDataset(str(decathlon), dataset_json="dataset_c.json")


def test_test_mode(decathlon):
    with pytest.raises(DataError, match="mode 'test'"):
        DecathlonDataset(str(decathlon), mode="test")
    shutil.copytree(decathlon / "imagesTr", decathlon / "imagesTs")
    edit(decathlon, test=["./imagesTs/case_0.nii.gz", "./imagesTs/case_1.nii.gz"])
    dataset = DecathlonDataset(str(decathlon), mode="test", preprocess=SIZE)
    assert len(dataset) == 2
    assert set(np.unique(dataset[1][1])) == {255}
    assert dataset.reference(0) is None


@pytest.mark.parametrize(
    ("affine", "message"), [(np.diag([-1.0, 1.5, 3, 1]), "orientation"), (np.diag([1.0, 1.5, 3.5, 1]), "spacing")]
)
def test_label_elsewhere_is_refused(decathlon, affine, message):
    _, label = make_pair(0)
    write_volume(Volume(label, affine), decathlon / "labelsTr/case_0.nii.gz")
    with pytest.raises(DataError, match=f"case case_0: image and label .*{message}.*verify"):
        DecathlonDataset(str(decathlon), fold="all")[0]
    assert DecathlonDataset(str(decathlon), fold="all", check_geometry=False)[0][2] == "case_0"


def test_wrong_label_shape_and_broken_file(decathlon):
    _, label = make_pair(0)
    write_volume(Volume(label[1:], AFFINE), decathlon / "labelsTr/case_0.nii.gz")
    (decathlon / "imagesTr/case_1.nii.gz").write_bytes(b"\x1f\x8b")
    dataset = DecathlonDataset(str(decathlon), fold="all", check_geometry=False)
    with pytest.raises(DataError, match="case case_0: label has the shape"):
        dataset[0]
    with pytest.raises(DataError, match=r"case case_1: .*case_1\.nii\.gz"):
        dataset[1]


def test_nan_is_replaced_where_asked(decathlon):
    image, _ = make_pair(0)
    image[0, 0, 0] = np.nan
    write_volume(Volume(image, AFFINE), decathlon / "imagesTr/case_0.nii.gz")
    with pytest.raises(DataError, match=r"case case_0: .*NaN"):
        DecathlonDataset(str(decathlon), fold="all")[0]
    window = {"type": "window", "low": 0, "high": 300, "nan": 0}
    dataset = DecathlonDataset(str(decathlon), fold="all", preprocess={"intensity": [window]}, normalize="none")
    assert dataset[0][0][0, 0, 0, 0] == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": {"a": [1, 2], "b": 3}}, "the background"),
        ({"labels": {"a": [1, 2], "b": "x"}}, "lists of ids"),
        ({"labels": {"a": [1, 2], "b": 2}, "regions_class_order": [1]}, "region_order"),
        ({"labels": {"a": 1, "b": 1}}, "one id to several"),
        ({"labels": None}, "no dataset description|'labels' is missing"),
        ({"training": [{"label": "x"}]}, "'training' needs"),
        ({"training": [{"image": "imagesTr/no.nii.gz", "label": "labelsTr/no.nii.gz"}]}, r"missing files .*no\.nii"),
        ({"training": ["./imagesTr/case_0.nii.gz"] * 2}, "listed twice"),
    ],
)
def test_wrong_descriptions(decathlon, changes, message):
    edit(decathlon, **changes)
    with pytest.raises(DataError, match=message):
        DecathlonDataset(str(decathlon))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fold": "some"}, "fold"),
        ({"fold": -1}, "fold"),
        ({"preprocess": {"sice": 3}}, r"preprocessing\.sice"),
        ({"cache": "tape"}, "cache"),
        ({"class_groups": {"g": [7]}}, "class_groups"),
        ({"mode": "x"}, "mode"),
        ({"num_folds": 9}, "9 folds"),
    ],
)
def test_wrong_arguments(decathlon, arguments, message):
    with pytest.raises(ConfigError, match=message):
        DecathlonDataset(str(decathlon), **arguments)


def test_real_layouts(shared_data):
    hippocampus = DecathlonDataset(str(shared_data / "hippocampus"), mode="val", preprocess={"size": [32, 48, 32]})
    assert (len(hippocampus), hippocampus.num_classes) == (45, 3)
    spine = DecathlonDataset(
        str(shared_data / "spine/spider_t2space"),
        mode="val",
        dataset_json="dataset_levels.json",
        preprocess={"size": [32, 32, 8]},
    )
    assert (len(spine), spine.num_classes, spine[0][0].shape) == (6, 20, (1, 32, 32, 8))
    restored = spine.to_original(spine[0][1], 0)
    assert restored.grid_difference(spine.reference(0)) is None
    full = shared_data / "spine/spider_t2space_fullres"
    layout = read_layout(shared_data / "spine/spider_t2space", "dataset_tissue.json")
    assert [case.name for case in find_cases(layout)][:2] == ["spider_005", "spider_007"]
    with pytest.raises(DataError, match=r"no dataset\.json"):
        DecathlonDataset(str(full))
