"""Cases kept in blocks: what is read, what is made anew, what is not trusted."""

from __future__ import annotations

import dataclasses
import errno
import json
import logging
from pathlib import Path

import blosc2
import numpy as np
import pytest

from medicalseg.datasets.case import Case
from medicalseg.datasets.case_reader import CaseReader
from medicalseg.datasets.patches import store as store_module
from medicalseg.datasets.patches.block_file import BlockFile, block_sides, write_blocks
from medicalseg.datasets.patches.class_table import ClassTable, table_of_codes, table_of_ids
from medicalseg.datasets.patches.prepare import prepare_all
from medicalseg.datasets.patches.store import PatchStore
from medicalseg.errors import DataError, RunError
from medicalseg.inference.label_map import LabelMap
from medicalseg.inference.preprocess import Preprocessing

STEPS = Preprocessing(orientation="RAS", intensity=({"type": "zscore"},), spacing=(1.0, 1.0, 2.0))


@pytest.fixture
def cases(decathlon: Path) -> list[Case]:
    """The six cases of the small dataset."""
    names = [f"case_{number}.nii.gz" for number in range(6)]
    return [Case(name[:6], (decathlon / "imagesTr" / name,), decathlon / "labelsTr" / name) for name in names]


def store_of(folder: Path, **changes) -> PatchStore:
    reader = CaseReader(STEPS, ignore_index=255)
    for key in [key for key in changes if key != "sides"]:
        reader = dataclasses.replace(reader, **{key: changes[key]})
    ids = 3 if reader.label_map is None else reader.label_map.num_classes + reader.codes
    return PatchStore(folder, reader, changes.get("sides", (8, 8, 8)), ids, 255)


def made(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("patch", "sides"), [([128, 160, 14], (32, 64, 8)), ([40, 56, 40], (16, 16, 16)), ([5, 1, 33], (8, 1, 16))]
)
def test_blocks_are_about_a_quarter_of_the_patch(patch, sides):
    assert block_sides(patch) == sides


@pytest.mark.parametrize("shape", [(2, 70, 65, 61), (61, 62, 63), (1, 1, 1), (1, 130, 9, 200)])
@pytest.mark.parametrize("kind", [np.float32, np.uint8, np.int16])
def test_boxes_are_what_was_written(tmp_path, shape, kind):
    array = np.random.default_rng(0).integers(0, 100, shape).astype(kind)
    write_blocks(tmp_path / "a.b2nd", array, (16, 32, 8), {"case": "a", "mean": 0.5})
    file = BlockFile(tmp_path / "a.b2nd")
    assert file.meta == {"case": "a", "mean": 0.5}
    assert file.shape == shape
    np.testing.assert_array_equal(file.read(), array)
    assert file.read().dtype == kind
    low = [side // 3 for side in shape[-3:]]
    high = [side // 3 + (side + 1) // 2 for side in shape[-3:]]
    box = tuple(slice(*ends) for ends in zip(low, high, strict=True))
    np.testing.assert_array_equal(file.read(low, high), array[(..., *box)])
    assert file.read([0, 0, 0], [0, 1, 1]).size == 0


def test_only_touched_blocks_are_decoded(tmp_path):
    """With the other chunks destroyed in the file, a box still reads."""
    array = np.random.default_rng(0).normal(size=(256, 64, 64)).astype(np.float32)
    path = tmp_path / "a.b2nd"
    write_blocks(path, array, (16, 16, 16), {})
    assert blosc2.open(str(path)).blocks == (16, 16, 16)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + len(content) // 4] = bytes(len(content) // 4)
    path.write_bytes(content)
    file = BlockFile(path)
    np.testing.assert_array_equal(file.read([0, 0, 0], [40, 64, 64]), array[:40])
    with pytest.raises(DataError, match="damaged"):
        file.read([128, 0, 0], [200, 64, 64])


@pytest.mark.parametrize("content", [b"", b"nothing of the kind", None])
def test_damaged_files_are_named(tmp_path, content):
    path = tmp_path / "a.b2nd"
    if content is None:
        write_blocks(path, np.zeros((9, 9, 9), np.float32), (8, 8, 8), {})
        content = path.read_bytes()[:-40]
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.b2nd"):
        BlockFile(path)


def test_parts_are_as_the_reader_makes_them(tmp_path, cases):
    store = store_of(tmp_path)
    image, record = store.reader.image(cases[0])
    np.testing.assert_array_equal(store.image(cases[0]).read(), image)
    np.testing.assert_array_equal(store.label(cases[0]).read(), store.reader.label(cases[0], record))
    assert store.record(cases[0]) == record
    meta = store.image(cases[0]).meta
    assert meta["mean"] == pytest.approx(image.mean(), abs=1e-5)
    assert meta["deviation"] == pytest.approx(image.std(), rel=1e-5)
    assert meta["maximum"] == image.max()
    assert store.label(cases[0]).read().dtype == np.uint8


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"preprocessing": dataclasses.replace(STEPS, intensity=())}, {"labels", "tables"}),
        ({"preprocessing": dataclasses.replace(STEPS, image_order=3)}, {"labels", "tables"}),
        ({"label_map": LabelMap.from_config({"background": 0, "all": [1, 2]})}, {"images"}),
        ({"check_geometry": False}, {"images"}),
        ({"preprocessing": dataclasses.replace(STEPS, spacing=None)}, set()),
        ({"sides": (4, 8, 8)}, set()),
    ],
)
def test_a_changed_setting_redoes_what_it_must(tmp_path, cases, change, kept):
    prepare_all(store_of(tmp_path), cases[:2], 0)
    before = made(tmp_path)
    changed = store_of(tmp_path, **change)
    prepare_all(changed, cases[:2], 0)
    after = made(tmp_path)
    new = {Path(name).parts[0] for name in after.keys() - before.keys()}
    assert new == {"images", "labels", "tables"} - kept
    assert all(after[name] == time for name, time in before.items())
    prepare_all(changed, cases[:2], 0)
    assert made(tmp_path) == after


def test_a_changed_file_is_read_again(tmp_path, cases):
    before = store_of(tmp_path).parts(cases[0])
    cases[0].label.touch()
    after = store_of(tmp_path).parts(cases[0])
    assert after.image == before.image
    assert after.label != before.label


def test_in_processes_as_in_this_one(tmp_path, cases):
    prepare_all(store_of(tmp_path / "one"), cases, 0)
    prepare_all(store_of(tmp_path / "two"), cases, 2)
    one, two = (
        {name: (folder / name).read_bytes() for name in made(folder)}
        for folder in map(tmp_path.joinpath, ("one", "two"))
    )
    assert one == two
    assert len(one) == 18


def test_what_a_killed_run_left_is_not_trusted(tmp_path, cases):
    store = store_of(tmp_path)
    parts = store.parts(cases[0])
    parts.image.parent.mkdir(parents=True)
    parts.image.with_name(f".tmp-1-{parts.image.name}").write_bytes(b"half")
    assert not store.is_prepared(cases[0])
    store.prepare(cases[0])
    whole = store.image(cases[0]).read()
    parts.label.unlink()
    assert not store.is_prepared(cases[0])
    for path in (parts.image, parts.table):
        path.write_bytes(path.read_bytes()[:100])
    again = store_of(tmp_path)
    np.testing.assert_array_equal(again.image(cases[0]).read(), whole)
    assert again.table(cases[0]).classes == [1, 2]
    assert again.label(cases[0]).read().max() == 2
    parts.image.write_bytes(b"")
    parts.label.unlink()
    again.prepare(cases[0])
    np.testing.assert_array_equal(again.image(cases[0]).read(), whole)


def test_broken_cases_are_named_and_the_others_made(tmp_path, cases):
    cases[1].images[0].write_bytes(b"no volume")
    cases[4].label.write_bytes(b"no volume")
    store = store_of(tmp_path)
    with pytest.raises(DataError, match=r"(?s)case_1.*case_4"):
        prepare_all(store, cases, 0)
    assert [store.is_prepared(case) for case in cases] == [True, False, True, True, False, True]


def test_a_full_disk_ends_the_run(tmp_path, cases, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store_module, "write_blocks", full)
    with pytest.raises(RunError, match=f"no space left.*{tmp_path}.*cache_dir"):
        prepare_all(store_of(tmp_path), cases, 0)


def test_room_is_made_from_other_settings_only(tmp_path, cases):
    old, new = store_of(tmp_path), store_of(tmp_path, preprocessing=dataclasses.replace(STEPS, image_order=3))
    prepare_all(old, cases[:2], 0)
    prepare_all(new, cases[:2], 0)
    new.make_room(cases[:2], 1 << 30)
    assert all(path.is_file() for case in cases[:2] for path in old.parts(case).files)
    new.make_room(cases[:2], 1)
    assert all(new.is_prepared(case) for case in cases[:2])
    assert not any(old.parts(case).image.is_file() for case in cases[:2])


def test_training_and_validation_leave_each_other_room(tmp_path, cases):
    train, val = store_of(tmp_path), store_of(tmp_path)
    prepare_all(train, cases[:1], 0)
    train.make_room(cases[:1], 1)
    prepare_all(val, cases[1:2], 0)
    val.make_room(cases[1:2], 1)
    assert train.is_prepared(cases[0])
    assert val.is_prepared(cases[1])


def test_progress_is_logged_once(tmp_path, cases, caplog):
    with caplog.at_level(logging.INFO, logger="medicalseg"):
        prepare_all(store_of(tmp_path), cases[:2], 0)
        prepare_all(store_of(tmp_path), cases[:2], 0)
    assert [record.message for record in caplog.records if "Preparing" in record.message] == [
        f"Preparing 2 of 2 cases in {tmp_path}."
    ]


def test_table_counts_and_places(tmp_path):
    label = np.random.default_rng(0).choice([0, 1, 3, 9], (40, 50, 30), p=[0.5, 0.4, 0.01, 0.09]).astype(np.int32)
    table = table_of_ids(label, 5, 9, seed=1)
    counts = np.bincount(label.ravel(), minlength=10)
    np.testing.assert_array_equal(table.counts, [counts[0], counts[1], 0, counts[3], 0])
    assert table.ignored == counts[9]
    assert table.classes == [1, 3]
    assert len(table.voxels_of(1)) == 10000 < counts[1]
    assert len(np.unique(table.voxels_of(1))) == 10000
    np.testing.assert_array_equal(table.voxels_of(3), np.flatnonzero(label == 3))
    assert set(label.ravel()[table.voxels_of(0)]) == {0, 1, 3}
    assert label[table.voxel(int(table.voxels_of(3)[5]))] == 3
    table.save(tmp_path / "t.npz")
    loaded = ClassTable.load(tmp_path / "t.npz")
    for field in dataclasses.fields(table):
        np.testing.assert_array_equal(getattr(loaded, field.name), getattr(table, field.name))


def test_table_of_structures_that_overlap():
    masks = np.random.default_rng(0).random((3, 12, 11, 10)) < 0.2
    masks[1] = False
    codes = (masks * np.array([1, 2, 4])[:, None, None, None]).sum(0)
    codes[0, 0, :2] = -1
    masks[:, 0, 0, :2] = False
    table = table_of_codes(codes, 3, seed=0)
    np.testing.assert_array_equal(table.counts[1:], masks.sum((1, 2, 3)))
    assert table.counts[0] == (codes == 0).sum()
    assert table.ignored == 2
    assert len(table.voxels_of(0)) == codes.size - 2
    np.testing.assert_array_equal(table.voxels_of(3), np.flatnonzero(masks[2]))


def test_no_unknown_ids():
    with pytest.raises(DataError, match=r"\[7\].*3 classes"):
        table_of_ids(np.array([[[0, 1, 7, 255]]]), 3, 255, 0)


def test_empty_label_has_no_classes():
    table = table_of_ids(np.zeros((4, 4, 4), np.int32), 3, None, 0)
    assert table.classes == []
    assert table.counts.tolist() == [64, 0, 0]


def test_settings_are_words_and_numbers():
    reader = CaseReader(STEPS, label_map=LabelMap.from_config({"background": 0, "all": [1, 2]}))
    json.dumps([reader.image_settings(), reader.label_settings()])
