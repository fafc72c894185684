"""Labels of an earlier stage as channels, and the faults put into them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage

from medicalseg.datasets import PatchDataset
from medicalseg.datasets.patches.corrupt import CorruptPrevious, morphed
from medicalseg.datasets.patches.previous import PreviousStage, joined, parted
from medicalseg.errors import ConfigError, DataError
from medicalseg.inference.cascade import one_hot, with_previous
from medicalseg.io import Volume, read_label, read_volume, write_volume
from medicalseg.transforms import LabelRemap, NnUNetAugmentation
from medicalseg.utils.seeding import sample_seed

STEPS = {"orientation": "PIR", "intensity": [{"type": "zscore"}], "spacing": [1.0, 1.2, 0.9]}


def patches(root: Path, **changes) -> PatchDataset:
    settings = {"patch_size": [8, 9, 7], "preprocess": STEPS, "fold": "all", "corrupt_previous": None, **changes}
    settings.setdefault("previous", str(root / "labelsTr"))
    return PatchDataset(str(root), settings.pop("transforms", [NnUNetAugmentation()]), **settings)


def test_label_and_channels_move_together(decathlon):
    """With the reference as earlier stage, the channels are the label, however the patch is turned and mirrored."""
    dataset = patches(decathlon, foreground=1.0, repeat_times=5)
    assert (dataset.task.previous_classes, dataset.task.in_channels, dataset.task.network_channels) == (2, 1, 3)
    for index in range(30):
        image, label, _ = dataset[(1, index)]
        assert (image.shape, image.dtype, label.shape) == ((3, 8, 9, 7), np.float32, (8, 9, 7))
        np.testing.assert_array_equal(image[1:], one_hot(label, 2))


def test_the_image_is_the_one_without_a_cascade(decathlon):
    with_it, without = patches(decathlon), patches(decathlon, previous=None)
    for index in range(6):
        np.testing.assert_array_equal(with_it[(0, index)][0][:1], without[(0, index)][0])
        np.testing.assert_array_equal(with_it[(0, index)][1], without[(0, index)][1])


@pytest.mark.parametrize("normalize", ["none", "zscore", "max"])
def test_whole_volumes_are_those_of_prediction(decathlon, normalize):
    """The channels of the earlier stage are 0 and 1, however the image is normalised."""
    dataset = patches(decathlon, mode="val", fold=0, transforms=[], normalize=normalize)
    for index, case in enumerate(dataset.cases):
        image, _ = dataset.task.preprocessing.apply(read_volume(case.images[0], channels=True))
        previous = read_label(decathlon / "labelsTr" / f"{case.name}.nii.gz")
        expected = with_previous(image, dataset.record(index), previous, dataset.task)
        np.testing.assert_allclose(dataset[index][0], expected, atol=1e-6)


def test_predictions_of_the_folds_are_found(decathlon, tmp_path):
    for number in range(6):
        folder = tmp_path / "run" / f"fold_{number % 2}" / "validation"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(decathlon / "labelsTr" / f"case_{number}.nii.gz", folder)
    found = patches(decathlon, previous=str(tmp_path / "run"))
    np.testing.assert_array_equal(found[(0, 3)][0], patches(decathlon)[(0, 3)][0])
    done = tmp_path / "run" / "fold_1" / "validation_postprocessed"
    done.mkdir()
    shutil.copy(decathlon / "labelsTr" / "case_0.nii.gz", done / "case_3.nii.gz")
    postprocessed = patches(decathlon, previous=str(tmp_path / "run"), mode="val", fold="all", val_on_train=True)
    earlier = PreviousStage(tmp_path / "run", 2)
    assert earlier.path(postprocessed.case(3)) == done / "case_3.nii.gz"
    (done / "case_3.nii.gz").unlink()
    (tmp_path / "run" / "fold_0" / "validation" / "case_0.nii.gz").unlink()
    with pytest.raises(DataError, match=r"case_0.*crossval"):
        patches(decathlon, previous=str(tmp_path / "run")).prepare(0)
    shutil.copy(decathlon / "labelsTr" / "case_0.nii.gz", tmp_path / "run" / "fold_1" / "validation")
    shutil.copy(decathlon / "labelsTr" / "case_0.nii.gz", tmp_path / "run")
    with pytest.raises(DataError, match="several label maps"):
        patches(decathlon, previous=str(tmp_path / "run")).prepare(0)


def test_changed_predictions_are_read_again(decathlon, tmp_path):
    earlier = tmp_path / "earlier"
    shutil.copytree(decathlon / "labelsTr", earlier)
    before = patches(decathlon, previous=str(earlier))
    before.prepare(0)
    label = read_label(earlier / "case_0.nii.gz")
    write_volume(Volume(np.zeros(label.shape, np.uint8), label.affine), earlier / "case_0.nii.gz")
    after = patches(decathlon, previous=str(earlier))
    case = next(case for case in after.cases if case.name == "case_0")
    assert after._store.parts(case).image == before._store.parts(case).image
    assert after._store.parts(case).label == before._store.parts(case).label
    assert not after.load(case)[0][1:].any()
    assert before.load(case)[0][1:].any()


def test_faults_are_put_in_in_training_only(decathlon):
    settings = {"p_morphology": 1, "radius": [1, 2], "p_drop": 0, "p_per_class": 1}
    faulty = patches(decathlon, corrupt_previous=settings, foreground=1.0)
    right = patches(decathlon, foreground=1.0)
    differ = [not np.array_equal(faulty[(0, index)][0][1:], right[(0, index)][0][1:]) for index in range(6)]
    assert sum(differ) >= 4
    np.testing.assert_array_equal(faulty[(0, 0)][0][:1], right[(0, 0)][0][:1])
    for (image, _), (other, _) in zip(faulty.validation_patches(4), right.validation_patches(4), strict=True):
        np.testing.assert_array_equal(image, other)


@pytest.mark.parametrize(("ids", "message"), [(3, "ids 0 to 3; previous_classes is 2"), (None, "shape")])
def test_wrong_predictions(decathlon, tmp_path, ids, message):
    for number in range(6):
        label = read_label(decathlon / "labelsTr" / f"case_{number}.nii.gz")
        array = np.zeros((3, 3, 3), np.uint8) if ids is None else np.where(label.array == 2, ids, 0).astype(np.uint8)
        write_volume(Volume(array, label.affine), tmp_path / "earlier" / f"case_{number}.nii.gz")
    with pytest.raises(DataError, match=message):
        patches(decathlon, previous=str(tmp_path / "earlier")).prepare(0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"slices": {"axis": 2}, "patch_size": [4, 4], "transforms": []}, "previous: is for networks for volumes"),
        ({"regions": {"all": [1, 2], "core": 2}}, "previous: is for networks for classes"),
        ({"previous_classes": 0}, "previous_classes: expected"),
        ({"transforms": [LabelRemap({2: 1})]}, "transforms.0: LabelRemap"),
    ],
)
def test_wrong_arguments(decathlon, changes, message):
    with pytest.raises(ConfigError, match=message):
        patches(decathlon, **changes)


def test_joined_labels_part_again():
    label = np.random.default_rng(0).integers(-1, 1 << 30, (5, 6, 7)).astype(np.int32)
    earlier = np.random.default_rng(1).integers(0, 255, (5, 6, 7)).astype(np.uint8)
    both = joined(label, earlier)
    assert both.shape == label.shape
    one, two = parted(np.flip(both, (0, 2)))
    np.testing.assert_array_equal(one, label[::-1, :, ::-1])
    np.testing.assert_array_equal(two, earlier[::-1, :, ::-1])
    assert joined(np.zeros((1, 1, 1), np.int16), np.zeros((1, 1, 1), np.uint8)).max() == 0


@pytest.mark.parametrize("radius", [1, 2, 4])
@pytest.mark.parametrize("operation", ["dilation", "erosion", "opening", "closing"])
def test_morphology_equals_scipy(operation, radius):
    """With a ball as structuring element, far from the border of the array."""
    mask = np.zeros((40, 38, 36), bool)
    mask[13:26, 12:25, 14:24] = np.random.default_rng(radius).random((13, 13, 10)) < 0.8
    grid = np.indices((2 * radius + 1,) * 3) - radius
    ball = (grid**2).sum(0) <= radius**2
    expected = getattr(scipy.ndimage, f"binary_{operation}")(mask, ball)
    np.testing.assert_array_equal(morphed(mask, operation, radius), expected)


def test_what_a_class_gains_the_others_lose():
    ids = np.zeros((30, 30, 30), np.uint8)
    ids[5:15, 5:15, 5:15], ids[15:25, 5:15, 5:15] = 1, 2
    masks = one_hot(ids, 3)
    changed = 0
    for seed in range(20):
        with sample_seed(seed):
            after = CorruptPrevious(p_morphology=1, radius=(1, 3), p_drop=0, p_per_class=1)(masks)
        assert set(np.unique(after)) <= {0, 1}
        assert after.sum(0).max() == 1
        assert not after[2].any()
        changed += not np.array_equal(after, masks)
    assert changed >= 18
    np.testing.assert_array_equal(masks, one_hot(ids, 3))


def test_parts_are_dropped_unless_they_are_large():
    ids = np.zeros((30, 30, 30), np.uint8)
    ids[:20] = 1
    ids[25, 25, 25], ids[27:, :3, :3] = 2, 2
    with sample_seed(0):
        after = CorruptPrevious(p_morphology=0, p_drop=1, p_per_class=1)(one_hot(ids, 2))
    np.testing.assert_array_equal(after[0], ids == 1)
    assert after[1].sum() in (1, 27)
    drops = 0
    for seed in range(300):
        with sample_seed(seed):
            drops += CorruptPrevious(p_morphology=0)(one_hot(ids, 2))[1].sum() < 28
    assert drops / 300 == pytest.approx(0.2 * 0.5, abs=0.05)
