"""Slices of volumes as training samples: what is drawn, how it is normalised, masks of sigmoids."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("paddle")

from medicalseg.datasets import DecathlonDataset, MedicalDataset
from medicalseg.datasets.slice_draw import presence_of
from medicalseg.errors import ConfigError, DataError
from medicalseg.inference import SliceSpec
from medicalseg.inference.decision import unpack
from medicalseg.transforms import RandomFlip3D, RandomPaddingCrop, RandomRotation3D, Resize3D
from medicalseg.utils.seeding import rng


def make(root: Path, shape: tuple[int, int, int] = (8, 7, 6), cases: int = 2, channels: int = 1) -> Path:
    """Volumes whose label is in the slices 2 (ids 1 and 2) and 3 (id 1) along the last axis of case 0 only."""
    (root / "images").mkdir(parents=True)
    (root / "labels").mkdir()
    lines = []
    for case in range(cases):
        image = np.random.default_rng(case).normal(5, 3, (channels, *shape)).astype(np.float32)
        label = np.zeros(shape, np.uint8)
        if case == 0:
            label[2:5, 1:4, 2:4] = 1
            label[5:7, 1:4, 2] = 2
        np.save(root / f"images/c{case}.npy", image if channels > 1 else image[0])
        np.save(root / f"labels/c{case}.npy", label)
        lines.append(f"images/c{case}.npy labels/c{case}.npy\n")
    for mode in ("train", "val"):
        (root / f"{mode}_list.txt").write_text("".join(lines))
    return root


def dataset(root: Path, mode: str = "train", **arguments) -> MedicalDataset:
    arguments = {"num_classes": 3, "slices": {"axis": 2}, "repeat_times": 1, **arguments}
    return MedicalDataset(str(root), mode=mode, **arguments)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("normalize", ["max", "zscore", "none"])
@pytest.mark.parametrize(("num", "edge"), [(1, "clamp"), (3, "clamp"), (5, "zero"), (3, "reflect")])
def test_a_slice_is_what_inference_shows_the_network(tmp_path, axis, normalize, num, edge):
    slices = {"axis": axis, "num_slices": num, "edge": edge}
    root = make(tmp_path, channels=2 if axis == 1 else 1)
    train = dataset(root, slices=slices, normalize=normalize)
    whole, label, _ = dataset(root, "val", slices=slices, normalize=normalize)[0]
    spec = SliceSpec(**slices)
    planes, labels = spec.as_images(spec.stack(whole)), spec.as_images(spec.stack(label[None], 0))
    for epoch in range(8):
        image, mask, name = train[epoch, 0]
        assert (image.dtype, mask.dtype, name) == (np.float32, np.int64, "c0")
        place = int(np.abs(planes - image).reshape(len(planes), -1).max(axis=1).argmin())
        np.testing.assert_allclose(image, planes[place], rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(mask, labels[place, len(labels[place]) // 2])


def test_slices_change_with_the_epoch_and_stay_with_the_seed(tmp_path):
    train = dataset(make(tmp_path), repeat_times=3)
    assert (len(train), len(train.cases)) == (6, 2)
    first = [train[epoch, 0][0] for epoch in range(6)]
    assert len({image.tobytes() for image in first}) > 2
    np.testing.assert_array_equal(train[4, 0][0], first[4])


@pytest.mark.parametrize(("share", "expected"), [(0.0, 2 / 6), (0.5, 0.5 + 0.5 * 2 / 6), (1.0, 1.0)])
def test_share_of_slices_with_foreground(tmp_path, share, expected):
    train = dataset(make(tmp_path, cases=1), foreground=share)
    found = np.mean([train[epoch, 0][1].any() for epoch in range(300)])
    assert found == pytest.approx(expected, abs=0.1)


def test_balanced_draws_the_class_first(tmp_path):
    train = dataset(make(tmp_path, cases=1), foreground="balanced")
    labels = [train[epoch, 0][1] for epoch in range(300)]
    second = np.mean([(label == 2).any() for label in labels])
    assert second == pytest.approx((1 + 0.5 + 1 / 6) / 3, abs=0.1)


def test_a_case_without_foreground_gives_way(tmp_path):
    train = dataset(make(tmp_path), foreground=1.0)
    names = {train[epoch, 1][2] for epoch in range(10)}
    assert names == {"c0"}
    assert not dataset(make(tmp_path / "other"), foreground=None)[0, 1][1].any()


def test_only_empty_cases_still_give_slices(tmp_path):
    root = make(tmp_path)
    np.save(root / "labels/c0.npy", np.zeros((8, 7, 6), np.uint8))
    image, label, _ = dataset(root, foreground=1.0)[0]
    assert image.shape == (1, 7, 8)
    assert not label.any()


def test_where_classes_are():
    label = np.zeros((2, 3, 4), np.uint8)
    label[0, 1, 2], label[1, 2, 3] = 2, 255
    assert presence_of(label, SliceSpec(2), 3)[:, 1:].tolist() == [[False] * 2, [False] * 2, [False, True], [False] * 2]
    masks = np.stack([label == 1, label == 2]).astype(np.uint8)
    np.testing.assert_array_equal(presence_of(masks, SliceSpec(0), 3), [[True, False, True], [True, False, False]])


def test_transforms_see_a_volume_of_one_slice(tmp_path):
    seen = []

    def look(image, label):
        seen.append((image.shape, label.shape))
        return image + rng().normal(), label

    steps = [look, RandomFlip3D(), RandomRotation3D(degrees=30, rotate_planes=[[0, 1]]), Resize3D([16, 12, 1])]
    image, label, _ = dataset(make(tmp_path), transforms=steps, slices={"num_slices": 3})[0]
    assert seen == [((3, 8, 7, 1), (8, 7, 1))]
    assert (image.shape, label.shape) == ((3, 12, 16), (12, 16))
    with pytest.raises(DataError, match=r"Resize3D gave a slice the shape .*last axis must stay 1"):
        dataset(make(tmp_path / "b"), transforms=[Resize3D([8, 8, 2])])[0]


def test_sigmoid_masks_and_codes(tmp_path):
    root = make(tmp_path)
    label = np.load(root / "labels/c0.npy")
    label[0] = 255
    np.save(root / "labels/c0.npy", label)
    train = dataset(root, num_classes=2, head="sigmoid", foreground=1.0)
    masks = train[0][1]
    assert (masks.shape, masks.dtype) == ((2, 7, 8), np.uint8)
    assert (masks[:, :, 0] == 255).all()
    assert set(np.unique(masks[:, :, 1:])) <= {0, 1}
    codes = dataset(root, "val", num_classes=2, head="sigmoid")[0][1]
    np.testing.assert_array_equal(codes[1:], label[1:])
    assert codes.dtype == np.int64
    assert (codes[0] == -1).all()
    assert (train.num_classes, train.task.num_ids) == (2, 3)


def test_sigmoid_for_volumes_and_binary(tmp_path):
    root = make(tmp_path)
    np.save(root / "labels/c0.npy", np.minimum(np.load(root / "labels/c0.npy"), 1))
    _, masks, _ = dataset(root, num_classes=1, head="sigmoid", slices=None)[0]
    assert masks.shape == (1, 8, 7, 6)
    np.testing.assert_array_equal(masks[0], np.load(root / "labels/c0.npy"))


def test_masks_that_overlap(tmp_path):
    root = make(tmp_path, cases=1)
    masks = np.zeros((2, 8, 7, 6), np.uint8)
    masks[0, 2:6, 1:5, 2], masks[1, 4:8, 3:7, 2:4] = 1, 1
    masks[:, 0] = 255
    np.save(root / "labels/c0.npy", masks)
    crop = RandomPaddingCrop([12, 12, 1], label_padding_value=255)
    train = dataset(root, num_classes=2, head="sigmoid", foreground="balanced", transforms=[crop])
    image, target, _ = train[0]
    assert image.shape == (1, 12, 12)
    assert (target == 255).sum() == 2 * (12 * 12 - 7 * 7)
    codes = dataset(root, "val", num_classes=2, head="sigmoid")[0][1]
    np.testing.assert_array_equal(unpack(codes, 2, 255), masks)
    with pytest.raises(DataError, match="head: sigmoid"):
        dataset(root)[0]
    with pytest.raises(DataError, match="2 masks, the task 3 structures"):
        dataset(root, num_classes=3, head="sigmoid")[0]


@pytest.mark.parametrize("structures", [7, 8, 9, 30])
def test_what_a_transform_pads_is_no_structure(tmp_path, structures):
    root = make(tmp_path, cases=1)
    masks = np.zeros((structures, 8, 7, 6), np.uint8)
    masks[:8], masks[-1, :4] = 1, 1
    np.save(root / "labels/c0.npy", masks)
    crop = RandomPaddingCrop([10, 9, 6], label_padding_value=255)
    arguments = {"num_classes": structures, "head": "sigmoid", "transforms": [crop]}
    target = dataset(root, slices=None, **arguments)[0][1]
    np.testing.assert_array_equal(target[:, :8, :7], masks)
    assert (target[:, 8:] == 255).all()
    assert (target[:, :, 7:] == 255).all()
    flat = {**arguments, "transforms": [RandomPaddingCrop([10, 9, 1], label_padding_value=255)]}
    assert (dataset(root, **flat)[0][1] == 255).sum() == structures * (90 - 56)
    codes = dataset(root, "val", **arguments)[0][1]
    np.testing.assert_array_equal(unpack(codes, structures, 255), target)


@pytest.mark.parametrize("ignored", [0, 2, 300, -1])
def test_masks_have_room_for_one_ignored_number(tmp_path, ignored):
    with pytest.raises(ConfigError, match="ignore_index: with head sigmoid expected 3 to 255"):
        dataset(make(tmp_path), num_classes=2, head="sigmoid", ignore_index=ignored)


def test_class_counts_from_names(tmp_path):
    root = make(tmp_path)
    (root / "dataset.json").write_text(json.dumps({"labels": {"0": "nothing", "1": "box", "2": "core"}}))
    task = dataset(root, num_classes=None, head="sigmoid", threshold=0.3).task
    assert (task.num_classes, task.names, task.threshold) == (2, ["nothing", "box", "core"], 0.3)
    assert dataset(root, num_classes=None).num_classes == 3
    given = dataset(root, num_classes=1, head="sigmoid").task
    assert given.names == ["nothing", "box"]


def test_decathlon(decathlon):
    arguments = {"slices": {"axis": 2, "num_slices": 3}, "foreground": 0.5, "head": "sigmoid", "cache": "ram"}
    train = DecathlonDataset(str(decathlon), **arguments)
    image, masks, _ = train[0]
    assert (image.shape, masks.shape) == ((3, 10, 12), (2, 10, 12))
    assert train.task.network_channels == 3
    assert train.task.names == ["background", "box", "core"]
    whole, codes, _ = DecathlonDataset(str(decathlon), mode="val", **arguments)[0]
    assert (whole.shape, codes.shape) == ((1, 12, 10, 6), (12, 10, 6))


def test_test_mode_has_ignored_codes(tmp_path):
    root = make(tmp_path)
    (root / "test_list.txt").write_text("images/c0.npy\n")
    assert (dataset(root, "test", num_classes=2, head="sigmoid")[0][1] == -1).all()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"foreground": 1.5}, "foreground"),
        ({"foreground": "some"}, "foreground"),
        ({"foreground": True}, "foreground"),
        ({"foreground": 0.5, "slices": None}, "add slices"),
        ({"slices": {"axis": 3}}, "slices.axis"),
        ({"slices": {"num_slice": 3}}, "did you mean 'num_slices'"),
        ({"head": "softmin"}, "head"),
        ({"head": "sigmoid", "threshold": 1}, "threshold"),
        ({"head": "sigmoid", "num_classes": 31}, "at most 30"),
    ],
)
def test_wrong_arguments(tmp_path, arguments, problem):
    with pytest.raises(ConfigError, match=problem):
        dataset(make(tmp_path), **arguments)


def test_wrong_labels_and_images_name_the_case(tmp_path):
    root = make(tmp_path)
    np.save(root / "labels/c1.npy", np.full((8, 7, 6), 9, np.uint8))
    with pytest.raises(DataError, match=r"case c1: label ids \[9\]"):
        dataset(root)[1]
    image = np.load(root / "images/c0.npy")
    image[0, 0, 0] = np.nan
    np.save(root / "images/c0.npy", image)
    with pytest.raises(DataError, match=r"case c0: .*NaN"):
        [dataset(root)[epoch, 0] for epoch in range(20)]
