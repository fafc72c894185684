"""Patches: which part of which case, the same whatever worker makes them."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage

from medicalseg.core.loader import BatchLoader, collate_samples
from medicalseg.datasets import DecathlonDataset, PatchDataset
from medicalseg.datasets.patches.block_file import BlockFile
from medicalseg.datasets.patches.stored_volume import StoredVolume
from medicalseg.errors import ConfigError, DataError
from medicalseg.io import Volume, write_volume
from medicalseg.transforms import GammaTransform, MirrorTransform, NnUNetAugmentation, SpatialTransform
from medicalseg.transforms.patch_view import InMemory, PatchView
from medicalseg.transforms.sampling import rotation_matrix
from medicalseg.utils.seeding import sample_seed
from tests.datasets.conftest import AFFINE, make_pair

STEPS = {"orientation": "RAS", "intensity": [{"type": "zscore"}], "spacing": [1.0, 1.0, 1.0]}


def patches(root: Path, **changes) -> PatchDataset:
    settings = {"patch_size": [6, 5, 7], "preprocess": STEPS, "fold": "all", "foreground": 0.5, **changes}
    return PatchDataset(str(root), settings.pop("transforms", None), **settings)


def where(patch: np.ndarray, whole: np.ndarray) -> list[tuple[int, ...]]:
    """Places at which a patch lies in a volume."""
    views = np.lib.stride_tricks.sliding_window_view(whole, patch.shape)
    return [tuple(place) for place in np.argwhere((views == patch).all((3, 4, 5))).tolist()]


def test_a_patch_is_a_part_of_the_volume(decathlon):
    dataset = patches(decathlon, repeat_times=3)
    assert len(dataset) == 18
    for index in range(18):
        image, label, name = dataset[(2, index)]
        whole, ids = dataset.load(next(case for case in dataset.cases if case.name == name))
        assert (image.shape, image.dtype, label.shape, label.dtype) == ((1, 6, 5, 7), np.float32, (6, 5, 7), np.int64)
        places = where(image[0], whole[0])
        assert len(places) == 1
        box = tuple(slice(start, start + side) for start, side in zip(places[0], label.shape, strict=True))
        np.testing.assert_array_equal(label, ids[box])


def test_whole_volumes_are_those_of_decathlon_dataset(decathlon):
    options = {"mode": "val", "fold": 0, "preprocess": STEPS, "normalize": "none"}
    ours, other = PatchDataset(str(decathlon), [], **options), DecathlonDataset(str(decathlon), [], **options)
    assert len(ours) == len(other) > 0
    for index in range(len(ours)):
        for one, two in zip(ours[index], other[index], strict=True):
            np.testing.assert_array_equal(one, two)
        assert ours.record(index) == other.record(index)
        assert ours.to_original(ours[index][1], index).array.max() == 2


@pytest.mark.parametrize("normalize", ["none", "max", "zscore", None])
def test_normalisation_is_the_whole_volumes(decathlon, normalize):
    steps = {"spacing": [1.0, 1.0, 1.0]}
    options = {"preprocess": steps, "normalize": normalize}
    dataset = patches(decathlon, patch_size=[40, 40, 40], **options)
    image, _, name = dataset[(0, 1)]
    evaluated = patches(decathlon, mode="val", val_on_train=True, **options)
    whole = next(item[0] for item in map(evaluated.__getitem__, range(6)) if item[2] == name)
    box = tuple(slice((40 - side) // 2 + (40 - side) % 2, None) for side in whole.shape[1:])
    inner = image[0][box][tuple(slice(0, side) for side in whole.shape[1:])]
    np.testing.assert_allclose(inner, whole[0], atol=1e-5)
    assert np.count_nonzero(image) <= whole.size


def test_small_volumes_are_padded_with_zero_and_background(decathlon):
    image, label, name = patches(decathlon, patch_size=[30, 30, 30])[(0, 0)]
    whole, ids = patches(decathlon).load(next(case for case in patches(decathlon).cases if case.name == name))
    outside = np.ones((30, 30, 30), bool)
    starts = [-((side - 30) // 2) for side in ids.shape]
    outside[tuple(slice(start, start + side) for start, side in zip(starts, ids.shape, strict=True))] = False
    assert not image[0][outside].any()
    assert not label[outside].any()
    np.testing.assert_array_equal(image[0][~outside], whole[0].ravel())


def test_overhang_moves_small_volumes(decathlon):
    dataset = patches(decathlon, patch_size=[30, 30, 30], overhang=0.1, repeat_times=30)
    firsts = {int(np.flatnonzero(dataset[(0, index)][0][0].any((1, 2)))[0]) for index in range(180)}
    assert firsts == set(range(6, 13))


@pytest.mark.parametrize("sampling", ["case", "dataset"])
def test_foreground_is_in_the_middle(decathlon, sampling):
    dataset = patches(decathlon, patch_size=[3, 3, 3], foreground=1.0, class_sampling=sampling, repeat_times=20)
    seen = Counter(int(dataset[(0, index)][1][1, 1, 1]) for index in range(len(dataset)))
    assert set(seen) <= {0, 1, 2}
    assert seen[0] < 12, "only where the voxel of a class lies at the border"
    assert seen[2] / len(dataset) == pytest.approx(0.5, abs=0.15)


def test_classes_are_drawn_over_the_dataset(decathlon):
    """A class that one case of six has is met as often as the others."""
    _, label = make_pair(3)
    rare = label.copy()
    rare[rare == 2] = 3
    write_volume(Volume(rare, AFFINE), decathlon / "labelsTr" / "case_3.nii.gz")
    content = json.loads((decathlon / "dataset.json").read_text())
    content["labels"]["3"] = "rare"
    (decathlon / "dataset.json").write_text(json.dumps(content))
    share = {}
    for sampling in ("case", "dataset"):
        dataset = patches(decathlon, patch_size=[4, 4, 4], foreground=1.0, class_sampling=sampling, repeat_times=50)
        share[sampling] = np.mean([(dataset[(0, index)][1] == 3).any() for index in range(len(dataset))])
    assert share["case"] == pytest.approx(1 / 12 + 1 / 60, abs=0.06)
    assert share["dataset"] > 0.3
    frequencies = dataset.class_frequencies()
    ids = np.concatenate([dataset.load(case)[1].ravel() for case in dataset.cases])
    np.testing.assert_allclose(frequencies, np.bincount(ids, minlength=4) / ids.size)


def test_a_sample_depends_on_seed_epoch_and_index_only(decathlon):
    transforms = [NnUNetAugmentation(mirror_axes=[0, 1]), GammaTransform((0.5, 2), p_per_sample=1)]
    dataset = patches(decathlon, transforms=transforms, repeat_times=2)
    dataset.seed = 7
    batches = [[(3, 1), (3, 0)], [(3, 5), (4, 1)], [(0, 11), (3, 1)]]
    alone, workers = (list(BatchLoader(dataset, batches, collate_samples, count, 7)) for count in (0, 2))
    for (image, label), (other, other_label) in zip(alone, workers, strict=True):
        np.testing.assert_array_equal(image, other)
        np.testing.assert_array_equal(label, other_label)
    np.testing.assert_array_equal(alone[0][0][0], alone[2][0][1])
    assert not np.array_equal(alone[0][0][0], alone[1][0][1])
    again = patches(decathlon, transforms=transforms, repeat_times=2)
    again.seed = 8
    assert not np.array_equal(again[(3, 1)][0], alone[0][0][0])


def test_a_copy_in_another_process_gives_the_same(decathlon):
    """What a spawned worker gets is a pickled copy."""
    dataset = patches(decathlon, transforms=[NnUNetAugmentation()])
    copy = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(dataset[(1, 2)][0], copy[(1, 2)][0])


VIEWS = {
    "box": PatchView((9, 7, 8)),
    "beyond the volume": PatchView((40, 50, 60)),
    "turned": PatchView((9, 7, 8), rotation_matrix((0, 1), 20) @ rotation_matrix((1, 2), -13) * 1.2),
    "scaled": PatchView((9, 7, 8), np.diag([0.7, 0.7, 1.3])),
    "bent": PatchView((9, 7, 8), None, np.indices((9, 7, 8)).astype(np.float32) * 1.07 - 0.4),
    "both": PatchView((9, 7, 8), rotation_matrix((0, 2), 31), np.indices((9, 7, 8)).astype(np.float32) + 0.3),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())
@pytest.mark.parametrize("starts", [(11, 12, 9), (-4, 30, -3), (200, 0, 0), (-90, 3, 3)])
def test_from_blocks_as_from_memory(decathlon, view, starts):
    dataset = patches(decathlon, preprocess={**STEPS, "spacing": [0.4, 0.4, 0.5]})
    case = dataset.cases[0]
    image, label = dataset.load(case)
    assert min(image.shape[1:]) > 24
    stored = dataset._volume(case)
    one, two = view.cut(stored, starts), view.cut(InMemory(image, label), starts)
    np.testing.assert_allclose(one[0], two[0], atol=2e-5)
    np.testing.assert_array_equal(one[1], two[1])
    expected = scipy.ndimage.map_coordinates(image[0], _places(view, starts), order=1, mode="constant")
    far = np.abs(np.subtract(_places(view, starts), np.reshape(image.shape[1:], (3, 1, 1, 1)) - 1)) > 0.01
    clear = (far & (np.abs(_places(view, starts)) > 0.01)).all(0)
    np.testing.assert_allclose(one[0][0][clear], expected[clear], atol=1e-3)


def _places(view: PatchView, starts: tuple[int, ...]) -> np.ndarray:
    places = np.indices(view.shape).astype(float) if view.bent is None else view.bent.astype(float)
    centre = (np.reshape(view.shape, (3, 1, 1, 1)) - 1) / 2
    matrix = np.eye(3) if view.matrix is None else view.matrix
    return np.tensordot(matrix, places - centre, 1) + centre + np.reshape(starts, (3, 1, 1, 1))


def test_only_the_box_of_the_patch_is_read(decathlon, monkeypatch):
    dataset = patches(decathlon, transforms=[NnUNetAugmentation()], preprocess={**STEPS, "spacing": [0.3, 0.3, 0.3]})
    read = []
    whole = dataset.load(dataset.cases[0])[0].shape[1:]
    original = BlockFile.read

    def recorded(self, low=(0, 0, 0), high=None):
        read.append(np.prod(np.subtract(high, low)))
        return original(self, low, high)

    monkeypatch.setattr(BlockFile, "read", recorded)
    for index in range(6):
        dataset[(0, index)]
    assert len(read) == 12
    assert max(read) < 0.2 * np.prod(whole)


def test_spatial_transform_of_a_list_is_cut_with(decathlon):
    """A transform that cuts gives the same as on the whole volume at the same place."""
    transform = SpatialTransform([6, 5, 7], p_rotation=1, p_scaling=1, p_elastic=0.5)
    dataset = patches(decathlon, transforms=[transform], foreground=0.0)
    image, label = dataset.load(dataset.cases[2])
    with sample_seed(dataset.seed, 4, 2):
        np.testing.assert_equal(dataset._draw.choose(dataset.cases[2], dataset.cases, dataset._store.table)[1], None)
        starts = dataset._draw.starts(image.shape[1:], None)
        expected = transform.view((6, 5, 7)).cut(InMemory(image, label), starts)
    made = dataset[(4, 2)]
    np.testing.assert_allclose(made[0], expected[0], atol=2e-5)
    np.testing.assert_array_equal(made[1], expected[1])


def test_ignored_voxels_are_not_drawn_around(decathlon):
    """Of a sparse annotation any place is one around a labelled voxel."""
    for number in range(6):
        _, label = make_pair(number)
        label[:, :, 2:] = 9
        write_volume(Volume(label, AFFINE), decathlon / "labelsTr" / f"case_{number}.nii.gz")
    labels = {"background": 0, "box": 1, "core": 2}
    dataset = patches(decathlon, labels=labels, ignore=9, patch_size=[3, 3, 1], foreground=0.3, repeat_times=10)
    labels_seen = [dataset[(0, index)][1] for index in range(60)]
    assert all((label != 255).any() for label in labels_seen)
    assert dataset.class_frequencies().sum() == pytest.approx(1)
    assert dataset.task.label_map is not None


def test_regions_become_masks(decathlon):
    regions = {"all": [1, 2], "core": 2}
    options = {"regions": regions, "region_order": [1, 2], "num_classes": None}
    dataset = patches(decathlon, transforms=[SpatialTransform(p_rotation=1), MirrorTransform()], **options)
    masks = dataset[(0, 4)][1]
    assert (masks.dtype, masks.shape) == (np.uint8, (2, 6, 5, 7))
    assert dataset.task.head == "sigmoid"
    assert set(np.unique(masks)) <= {0, 1}
    assert (masks[0] >= masks[1]).all()
    plain = patches(decathlon, **options)
    ids = patches(decathlon)[(0, 4)][1]
    np.testing.assert_array_equal(plain[(0, 4)][1], np.stack([ids > 0, ids == 2]))
    evaluated = patches(decathlon, mode="val", fold=0, **options)
    by_ids = patches(decathlon, mode="val", fold=0)
    np.testing.assert_array_equal(evaluated[0][1], np.array([0, 1, 3])[by_ids[0][1]])
    shares = dataset.class_frequencies()
    assert shares.shape == (2,)
    assert shares[0] > shares[1] > 0


def test_channels_of_several_files(decathlon):
    for number in range(6):
        image, _ = make_pair(number)
        for channel in range(2):
            name = f"case_{number}_000{channel}.nii.gz"
            write_volume(Volume(image * (1 + channel) + channel, AFFINE), decathlon / "imagesTr" / name)
        (decathlon / "imagesTr" / f"case_{number}.nii.gz").unlink()
    content = {
        "channel_names": {"0": "T1", "1": "T2"},
        "labels": {"background": 0, "box": 1, "core": 2},
        "numTraining": 6,
        "file_ending": ".nii.gz",
    }
    (decathlon / "dataset.json").write_text(json.dumps(content))
    dataset = patches(decathlon, preprocess={"orientation": "RAS"}, normalize="none", transforms=[NnUNetAugmentation()])
    assert dataset.task.in_channels == 2
    assert dataset[(0, 0)][0].shape == (2, 6, 5, 7)
    image = dataset.load(dataset.cases[0])[0]
    np.testing.assert_allclose(image[1], image[0] * 2 + 1, rtol=1e-5)
    only = patches(decathlon, preprocess={"orientation": "RAS"}, channels=[1])
    assert only[(0, 0)][0].shape == (1, 6, 5, 7)
    (decathlon / "imagesTr" / "case_2_0001.nii.gz").unlink()
    with pytest.raises(DataError, match="case_2"):
        patches(decathlon, preprocess={"orientation": "RAS"}).prepare(0)


@pytest.mark.parametrize(("axis", "num_slices"), [(0, 1), (1, 3), (2, 5)])
@pytest.mark.parametrize("edge", ["clamp", "zero", "reflect"])
def test_patches_of_slices(decathlon, axis, num_slices, edge):
    slices = {"axis": axis, "num_slices": num_slices, "edge": edge}
    dataset = patches(decathlon, slices=slices, patch_size=[6, 5])
    spec = dataset.task.slices
    for index in range(6):
        image, label, name = dataset[(1, index)]
        assert (image.shape, label.shape) == ((num_slices, 5, 6), (5, 6))
        whole, ids = dataset.load(next(case for case in dataset.cases if case.name == name))
        stacks = spec.as_images(spec.stack(whole))
        planes = spec.as_images(np.moveaxis(ids, axis, 0))
        found = []
        for stack, plane in zip(stacks, planes, strict=True):
            views = np.lib.stride_tricks.sliding_window_view(stack, (5, 6), (1, 2))
            hits = np.argwhere((views == image[:, None, None]).all((0, 3, 4)))
            found += [plane[row : row + 5, column : column + 6] for row, column in hits]
        assert len(found) == 1
        np.testing.assert_array_equal(label, found[0])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_turned_within_their_plane(decathlon, axis):
    """With constant planes along the cut axis, a patch of a slice is constant however it is turned."""
    for number in range(6):
        image, _ = make_pair(number)
        steps = np.arange(1, image.shape[axis] + 1, dtype=np.float32).reshape(
            [-1 if a == axis else 1 for a in range(3)]
        )
        path = decathlon / "imagesTr" / f"case_{number}.nii.gz"
        write_volume(Volume(np.broadcast_to(steps, image.shape).copy(), AFFINE), path)
    transforms = [SpatialTransform(p_rotation=1, p_scaling=1, degrees=20, scaling=(0.5, 0.7))]
    options = {"preprocess": {"orientation": "RAS"}, "normalize": "none", "transforms": transforms}
    dataset = patches(decathlon, slices={"axis": axis}, patch_size=[3, 3], foreground=0.0, **options)
    for index in range(6):
        inside = dataset[(1, index)][0]
        inside = inside[inside != 0]
        assert inside.size > 3
        assert inside.max() - inside.min() < 1e-4


def test_labels_with_wrong_headers_lie_on_the_image(decathlon):
    """With check_geometry off the label's own header counts for nothing."""
    right = patches(decathlon).load(patches(decathlon).cases[0])[1]
    for number in range(6):
        label = make_pair(number)[1]
        write_volume(Volume(label, np.diag([-2.0, 1, 1, 1])), decathlon / "labelsTr" / f"case_{number}.nii.gz")
    with pytest.raises(DataError, match="check_geometry"):
        patches(decathlon)[(0, 0)]
    dataset = patches(decathlon, check_geometry=False)
    np.testing.assert_array_equal(dataset.load(dataset.cases[0])[1], right)


def test_whole_slices_as_before(decathlon):
    options = {"slices": {"axis": 2}, "foreground": 0.5, "fold": "all", "preprocess": STEPS, "normalize": "max"}
    ours, other = PatchDataset(str(decathlon), [], **options), DecathlonDataset(str(decathlon), [], **options)
    for index in range(3):
        np.testing.assert_array_equal(ours[(1, index)][0], other[(1, index)][0])
        np.testing.assert_array_equal(ours[(1, index)][1], other[(1, index)][1])


def test_validation_patches(decathlon):
    dataset = patches(decathlon, mode="val", fold=0, foreground=1.0)
    one, two = list(dataset.validation_patches(7, seed=3)), list(dataset.validation_patches(7, seed=3))
    assert len(one) == 7
    for (image, label), (other, other_label) in zip(one, two, strict=True):
        np.testing.assert_array_equal(image, other)
        np.testing.assert_array_equal(label, other_label)
        assert (image.shape, label.shape, label.dtype) == ((1, 6, 5, 7), (6, 5, 7), np.int64)
        assert label.any()
    assert not np.array_equal(one[0][0], next(dataset.validation_patches(7, seed=4))[0])
    with pytest.raises(ConfigError, match="patch_size"):
        next(patches(decathlon, mode="val", fold=0, patch_size=None).validation_patches(1))


def test_real_cases(shared_data, tmp_path):
    steps = {"orientation": "RAS", "intensity": [{"type": "zscore"}], "spacing": [1.0, 1.0, 1.0]}
    dataset = PatchDataset(
        str(shared_data / "hippocampus"), [NnUNetAugmentation()], patch_size=[40, 56, 40], preprocess=steps
    )
    assert dataset._cache_folder.is_relative_to(tmp_path)
    image, label, _ = dataset[(0, 5)]
    assert image.shape == (1, 40, 56, 40)
    assert set(np.unique(label)) == {0, 1, 2}
    assert isinstance(dataset._volume(dataset.cases[0]), StoredVolume)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch_size": None}, "patch_size: PatchDataset needs"),
        ({"patch_size": [4, 4]}, "patch_size: expected three"),
        ({"patch_size": [4, 0, 4]}, "patch_size: expected three"),
        ({"patch_size": [4, 4, 4], "slices": {"axis": 2}}, "patch_size: expected two"),
        ({"foreground": 1.5}, "foreground"),
        ({"foreground": "balanced"}, "foreground"),
        ({"class_sampling": "voxel"}, "class_sampling.*case"),
        ({"class_sampling": "dataset", "patch_size": None, "slices": {"axis": 2}}, "class_sampling: .* patch_size"),
        ({"overhang": 0.6}, "overhang"),
        ({"transforms": [SpatialTransform([9, 9, 9])]}, "transforms.0.patch_size"),
        ({"previous_classes": 2}, "previous_classes: needs 'previous'"),
        ({"previous": "nowhere"}, "previous: nowhere does not exist"),
        ({"num_classes": 5, "labels": {"background": 0, "box": [1, 2]}}, "num_classes: 5"),
        ({"corrupt_previous": {"p_drop": 2}}, "p_drop"),
    ],
)
def test_wrong_arguments(decathlon, changes, message):
    with pytest.raises(ConfigError, match=message):
        patches(decathlon, **changes)
