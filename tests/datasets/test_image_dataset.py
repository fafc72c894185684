"""ImageDataset: every mask format gives the same sample, the way back, splits, lists, colour, what is refused."""

from __future__ import annotations

import json
import logging
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("paddle")

from medicalseg.cvlibs import manager
from medicalseg.datasets import DecathlonDataset, ImageDataset
from medicalseg.datasets.rle import encode_rle
from medicalseg.datasets.splits import LEAKING_NOTE, kfold
from medicalseg.errors import ConfigError, DataError, UserError
from medicalseg.io import Volume, reorient, write_volume

ROWS, COLUMNS, CASES = 12, 16, 6
COLOURS = np.array([[0, 0, 0], [220, 60, 60], [60, 120, 220]], np.uint8)
LABELS = {0: "background", 1: "box", 2: "core"}


def ids(number: int) -> np.ndarray:
    """Mask (rows, columns): a box with a core, at a place that tells the case."""
    mask = np.zeros((ROWS, COLUMNS), np.uint8)
    mask[2:9, number : number + 8] = 1
    mask[4:7, number + 2 : number + 5] = 2
    return mask


def picture(number: int) -> np.ndarray:
    return (np.random.default_rng(number).integers(0, 50, (ROWS, COLUMNS)) + 80 * ids(number)).astype(np.uint8)


def save(path: Path, array: np.ndarray, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures c0 to c5 and the same masks in every format."""
    root = tmp_path / "pictures"
    rows = ["id,class,segmentation"]
    for number in range(CASES):
        case, mask = f"c{number}", ids(number)
        save(root / "images" / f"{case}.png", picture(number))
        save(root / "masks" / f"{case}.png", mask)
        save(root / "colours" / f"{case}.png", COLOURS[mask])
        save(root / "stack" / f"{case}.png", (255 * np.stack([mask == 1, mask == 2, mask > 5], -1)).astype(np.uint8))
        for index, name in enumerate(("box", "core"), start=1):
            save(root / "each" / name / f"{case}.png", (255 * (mask == index)).astype(np.uint8))
            rows.append(f"{case},{name},{encode_rle(mask == index)}")
        (root / "polygons").mkdir(exist_ok=True)
        box = rectangle(0, 2, 9, number, number + 8)
        (root / "polygons" / f"{case}.txt").write_text(f"{box}\n{rectangle(1, 4, 7, number + 2, number + 5)}\n")
    (root / "masks.csv").write_text("\n".join(rows) + "\n")
    return root


def rectangle(category: int, top: int, bottom: int, left: int, right: int) -> str:
    points = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return " ".join([str(category), *(f"{x / COLUMNS:.8f} {y / ROWS:.8f}" for x, y in points)])


FORMATS = {
    "index": {},
    "palette": {"mask_format": "palette", "masks": "colours", "mask_colours": {1: [220, 60, 60], 2: "#3c78dc"}},
    "each": {"mask_format": "multilabel", "masks": "each/{name}/{case}.png"},
    "yolo": {"mask_format": "yolo", "masks": "polygons"},
    "rle": {"mask_format": "rle", "masks": "masks.csv"},
}


def dataset(root: Path, **options) -> ImageDataset:
    return ImageDataset(str(root), **{"labels": LABELS, "normalize": "none", "fold": None, **options})


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_sample(folder, name):
    data = dataset(folder, mode="test", **FORMATS[name])
    assert len(data) == CASES
    for number in range(CASES):
        image, label, case = data[number]
        assert case == f"c{number}"
        assert (image.dtype, label.dtype) == (np.float32, np.int64)
        np.testing.assert_array_equal(image, picture(number).T[None, ..., None])
        np.testing.assert_array_equal(label, ids(number).T[..., None])
        np.testing.assert_array_equal(data.reference(number).array, label)
    assert data.task.names == ["background", "box", "core"]
    assert data.task.spatial_axes == 2


@pytest.mark.parametrize("name", [*FORMATS, "stack"])
def test_sigmoid(folder, name):
    options = {**FORMATS, "stack": {"mask_format": "multilabel", "masks": "stack"}}[name]
    labels = {**LABELS, 3: "nothing"} if name == "stack" else LABELS
    data = dataset(folder, head="sigmoid", **{**options, "labels": labels})
    _, masks, case = data[2]
    mask = ids(2)
    expected = [mask > 0, mask == 2] if name == "yolo" else [mask == 1, mask == 2]
    assert masks.dtype == np.uint8
    np.testing.assert_array_equal(masks[:2], expected)
    assert case == "c2"
    val = dataset(folder, head="sigmoid", mode="test", **{**options, "labels": labels})
    codes = expected[0] + 2 * expected[1]
    np.testing.assert_array_equal(val[2][1], codes.T[..., None])
    np.testing.assert_array_equal(val.reference(2).array, codes.T[..., None])
    assert val.num_classes == len(labels) - 1


def test_training_sample_is_rows_by_columns(folder):
    image, label, _ = dataset(folder)[3]
    np.testing.assert_array_equal(image, picture(3)[None])
    np.testing.assert_array_equal(label, ids(3))


def test_the_way_back(folder):
    data = dataset(folder, mode="test", preprocess={"size": [32, 24, 1]})
    image, label, _ = data[0]
    assert image.shape == (1, 32, 24, 1)
    back = data.to_original(label, 0)
    assert back.shape == (COLUMNS, ROWS, 1)
    np.testing.assert_array_equal(back.affine, np.diag([-1, -1, 1, 1]))
    assert (back.array == ids(0).T[..., None]).mean() > 0.95
    assert dataset(folder, mode="test").record(1).shape == (COLUMNS, ROWS, 1)


def test_overlapping_structures_survive_resizing(folder):
    data = dataset(folder, mode="test", head="sigmoid", preprocess={"size": [32, 24, 1]}, **FORMATS["yolo"])
    _, codes, _ = data[0]
    assert set(np.unique(codes)) == {0, 1, 3}
    np.testing.assert_array_equal(np.unique(data.to_original(codes, 0).array), [0, 1, 3])


def test_values_and_threshold(folder):
    for number in range(CASES):
        save(folder / "binary" / f"c{number}.png", (255 * (ids(number) > 0)).astype(np.uint8))
        save(folder / "jpeg" / f"c{number}.jpg", (255 * (ids(number) > 0)).astype(np.uint8), quality=95)
    expected = (ids(1) > 0).T[..., None]
    for options in (
        {"masks": "binary", "mask_values": {255: 1}},
        {"masks": "binary", "mask_threshold": 128},
        {"masks": "jpeg", "mask_threshold": 128},
    ):
        data = dataset(folder, mode="test", labels=None, num_classes=2, **options)
        np.testing.assert_array_equal(data[1][1], expected)
    with pytest.raises(DataError, match=r"case c1: .*c1\.jpg: has lossy compression"):
        dataset(folder, masks="jpeg")[1]
    with pytest.raises(DataError, match=r"case c1: label ids \[5\] are not among the 3 classes"):
        dataset(folder, masks="binary", mask_values={255: 5})[1]
    assert 255 in dataset(folder, masks="binary")[1][1]


@pytest.mark.parametrize(
    ("pixels", "options", "hint"),
    [
        (255, {}, r"c1\.png: holds 0 and 255 only, .* set mask_values: \{255: 1\}"),
        (1, {"mask_threshold": 128}, r"c1\.png: holds 0 and 1, all below mask_threshold: 128"),
        (1, {}, ""),
        (255, {"mask_values": {255: 1}}, ""),
        (255, {"mask_threshold": 128}, ""),
        (255, {"ignore_index": 0}, ""),
    ],
)
def test_masks_of_which_nothing_would_be_left_are_told_once(folder, caplog, monkeypatch, pixels, options, hint):
    monkeypatch.setattr(logging.getLogger("medicalseg"), "propagate", True)
    for number in range(CASES):
        save(folder / "binary" / f"c{number}.png", (pixels * (ids(number) > 0)).astype(np.uint8))
    data = dataset(
        folder, masks="binary", labels=None, num_classes=2 if options.get("ignore_index") != 0 else 256, **options
    )
    with caplog.at_level("WARNING", logger="medicalseg"):
        for number in (1, 0, 2):
            data[number]
    assert len({record.getMessage() for record in caplog.records}) == bool(hint)
    assert re.search(hint, caplog.text)


def test_names_of_classes_in_run_lengths(folder):
    lengths_of_all(folder, "liver", "1 5")
    options = {**FORMATS["rle"], "mask_values": {"liver": 2}}
    assert set(np.unique(dataset(folder, **options)[0][1])) == {0, 2}
    lengths_of_all(folder, "core", "1 5")
    assert set(np.unique(dataset(folder, **options)[0][1])) == {0, 2}
    lengths_of_all(folder, "2", "1 5")
    assert set(np.unique(dataset(folder, **FORMATS["rle"])[0][1])) == {0, 2}
    with pytest.raises(DataError, match="class '2' is not among the labels and mask_values"):
        dataset(folder, **options)[0]


def test_one_binary_structure_with_sigmoid(folder):
    data = dataset(folder, labels=None, num_classes=1, mask_threshold=1, head="sigmoid")
    np.testing.assert_array_equal(data[1][1], (ids(1) > 0)[None])
    assert data.num_classes == 1


def test_ignored_pixels(folder):
    mask = ids(0)
    mask[0] = 255
    save(folder / "masks/c0.png", mask)
    assert (dataset(folder)[0][1][0] == 255).all()
    structure = (ids(0) == 1).astype(np.uint8)
    structure[0] = 255
    save(folder / "each/box/c0.png", structure)
    masks = dataset(folder, head="sigmoid", **FORMATS["each"])[0][1]
    assert (masks[:, 0] == 255).all()


def test_empty_masks(folder):
    (folder / "polygons/c0.txt").write_text("")
    assert not dataset(folder, **FORMATS["yolo"])[0][1].any()
    (folder / "polygons/c1.txt").unlink()
    with pytest.raises(DataError, match=r"1 of 6 images have no mask: c1 .*c1\.txt.*missing_masks: empty"):
        dataset(folder, **FORMATS["yolo"])
    data = dataset(folder, missing_masks="empty", **FORMATS["yolo"])
    assert data.has_label(1)
    assert not data[1][1].any()
    assert not data.reference(1).array.any()
    text = (folder / "masks.csv").read_text()
    (folder / "masks.csv").write_text("\n".join(line for line in text.split("\n") if not line.startswith("c3,")))
    with pytest.raises(DataError, match="no mask: c3"):
        dataset(folder, **FORMATS["rle"])
    assert not dataset(folder, missing_masks="empty", **FORMATS["rle"])[3][1].any()


def test_without_mask_in_mode_test(folder):
    (folder / "masks/c4.png").unlink()
    data = dataset(folder, mode="test")
    assert not data.has_label(4)
    assert data.reference(4) is None
    assert (data[4][1] == 255).all()


def test_sizes_that_differ(folder):
    save(folder / "masks/c2.png", ids(2)[:-1])
    with pytest.raises(DataError, match=r"masks/c2\.png has 16 x 11 pixels, its image .*images/c2\.png 16 x 12"):
        dataset(folder)[2]
    save(folder / "masks/c2.png", ids(2).T)
    with pytest.raises(DataError, match="turned"):
        dataset(folder)[2]


def test_turned_photograph(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    save(folder / "images/c0.png", np.rot90(picture(0)), exif=exif)
    image, label, _ = dataset(folder)[0]
    np.testing.assert_array_equal(image, picture(0)[None])
    np.testing.assert_array_equal(label, ids(0))


def test_volumes_as_pictures(folder):
    (folder / "images/c0.png").unlink()
    (folder / "masks/c0.png").unlink()
    write_volume(Volume(picture(0).T[..., None], np.diag([0.5, 0.5, 4, 1])), folder / "images/c0.nii.gz")
    write_volume(Volume(ids(0).T[..., None], np.diag([0.5, 0.5, 4, 1])), folder / "masks/c0.nii.gz")
    data = dataset(folder, mode="test")
    np.testing.assert_array_equal(data[0][1], ids(0).T[..., None])
    assert data.reference(0).spacing == (0.5, 0.5, 4)
    write_volume(Volume(np.zeros((4, 4, 3), np.uint8), np.eye(4)), folder / "images/c0.nii.gz")
    with pytest.raises(DataError, match=r"c0\.nii\.gz: has 3 slices; a picture has one"):
        dataset(folder)


def test_masks_whose_header_says_that_they_lie_otherwise(folder):
    (folder / "images/c0.png").unlink()
    affine = np.diag([-0.5, -0.5, 4, 1])
    write_volume(Volume(picture(0).T[..., None], affine), folder / "images/c0.nii.gz")
    assert dataset(folder)[0][2] == "c0"
    (folder / "masks/c0.png").unlink()
    np.save(folder / "masks/c0.npy", ids(0).T[..., None])
    assert dataset(folder)[0][2] == "c0"
    (folder / "masks/c0.npy").unlink()
    write_volume(reorient(Volume(ids(0).T[..., None], affine), "RPS"), folder / "masks/c0.nii.gz")
    with pytest.raises(DataError, match=r"case c0: .*c0\.nii\.gz is stored as RPS, its image as LPS"):
        dataset(folder)[0]


def test_colour(folder):
    for number in range(CASES):
        save(folder / "images" / f"c{number}.png", np.stack([picture(number)] * 3, axis=-1))
    data = dataset(folder)
    assert data.task.network_channels == 3
    assert data[0][0].shape == (3, ROWS, COLUMNS)
    for options in ({"grey": True}, {"img_channels": 1}):
        grey = dataset(folder, **options)
        assert grey.task.in_channels == 1
        assert grey.task.preprocessing.colour == "grey"
        np.testing.assert_allclose(grey[0][0], picture(0)[None], atol=1e-3)
    save(folder / "images/c1.png", picture(1))
    with pytest.raises(DataError, match=r"has 1 channel\(s\), the first of the dataset 3; img_channels"):
        data[1]
    assert dataset(folder, img_channels=3)[1][0].shape == (3, ROWS, COLUMNS)
    with pytest.raises(ConfigError, match="contradict"):
        dataset(folder, img_channels=3, grey=True)
    with pytest.raises(ConfigError, match="img_channels: expected 1, 3 or null"):
        dataset(folder, img_channels=2)


def test_folds(folder, cache_folder):
    names = [f"c{number}" for number in range(CASES)]
    for mode in ("train", "val"):
        data = dataset(folder, fold=1, mode=mode)
        assert tuple(case.name for case in data.cases) == getattr(kfold(names)[1], mode)
    assert len(list((cache_folder / "splits").iterdir())) == 1
    (folder / "splits_final.json").write_text(json.dumps([{"train": ["c0", "c5"], "val": ["c3"]}]))
    assert [case.name for case in dataset(folder, fold=0, mode="val").cases] == ["c3"]
    with pytest.raises(ConfigError, match="val_on_train"):
        dataset(folder, mode="val", fold="all")
    assert LEAKING_NOTE in dataset(folder, mode="val", fold="all", val_on_train=True).notes[0]
    assert len(dataset(folder, mode="val", fold=None)) == CASES


def test_mode_test_never_takes_training_cases_unsaid(folder):
    with pytest.raises(DataError, match=r"no file of folds .* mode 'test'; name the test cases with test_path, or set"):
        dataset(folder, fold=0, mode="test")
    with pytest.raises(ConfigError, match="leaves none for mode 'test'"):
        dataset(folder, fold="all", mode="test")
    assert LEAKING_NOTE in dataset(folder, fold="all", mode="test", val_on_train=True).notes[0]
    assert dataset(folder, fold=None, mode="test").notes == ()
    path = folder / "splits_final.json"
    fold = {"train": ["c0", "c5"], "val": ["c3"]}
    path.write_text(json.dumps([fold]))
    with pytest.raises(DataError, match="fold 0 has no case for mode 'test'; name the test cases"):
        dataset(folder, fold=0, mode="test")
    path.write_text(json.dumps([{**fold, "test": ["c1", "c4"]}]))
    data = dataset(folder, fold=0, mode="test")
    assert ([case.name for case in data.cases], data.notes) == (["c1", "c4"], ())
    path.write_text(json.dumps([{**fold, "test": ["c1", "c5"]}]))
    assert dataset(folder, fold=0, mode="test").notes == (LEAKING_NOTE,)
    path.write_text(json.dumps([{**fold, "test": ["c9"]}]))
    assert len(dataset(folder, fold=0)) == 2
    with pytest.raises(DataError, match="names 1 cases that the dataset does not have: c9"):
        dataset(folder, fold=0, mode="test")


def test_patients_stay_together(folder, cache_folder):
    (folder / "index.csv").write_text("id,patient\n" + "".join(f"c{n},p{n // 2}\n" for n in range(CASES)))
    sides = {
        mode: {case.name for case in dataset(folder, fold=0, num_folds=3, mode=mode, group_table="index.csv").cases}
        for mode in ("train", "val")
    }
    assert sides["val"] in ({"c0", "c1"}, {"c2", "c3"}, {"c4", "c5"})
    assert len(sides["train"]) == 4
    (folder / "index.csv").write_text("id,patient\n" + "".join(f"c{n},p{n % 3}\n" for n in range(CASES)))
    again = {case.name for case in dataset(folder, fold=0, num_folds=3, mode="val", group_table="index.csv").cases}
    recorded = [json.loads(path.read_text())[0]["val"] for path in (cache_folder / "splits").iterdir()]
    assert sorted(map(sorted, recorded)) == sorted(map(sorted, (sides["val"], again)))
    (folder / "index.csv").write_text("id,patient\nc0,p0\n")
    with pytest.raises(DataError, match=r"index\.csv: tells no patient of case c1"):
        dataset(folder, fold=0, group_table="index.csv")
    with pytest.raises(DataError, match="has no column"):
        dataset(folder, fold=0, group_table="index.csv", group_columns=["id", "person"])


def test_lists(folder):
    (folder / "train.txt").write_text("images/c1.png masks/c1.png\nimages/c0.png masks/c0.png\n")
    (folder / "val.txt").write_text("images/c2.png|masks/c2.png\n")
    options = {"train_path": "train.txt"}
    data = dataset(folder, **options)
    assert [case.name for case in data.cases] == ["c1", "c0"]
    np.testing.assert_array_equal(data[0][1], ids(1))
    data = dataset(folder, val_path=str(folder / "val.txt"), mode="val", separator="|")
    np.testing.assert_array_equal(data[0][1], ids(2).T[..., None])
    with pytest.raises(ConfigError, match="val_path: mode 'val' needs its list"):
        dataset(folder, mode="val", **options)
    (folder / "val.txt").write_text("images/c0.png masks/c0.png\n")
    assert LEAKING_NOTE in dataset(folder, mode="val", val_path="val.txt", **options).notes[0]
    (folder / "test.txt").write_text("images/c1.png masks/c1.png\nimages/c4.png masks/c4.png\n")
    assert f"{LEAKING_NOTE}: 1 of 2" in dataset(folder, mode="test", test_path="test.txt", **options).notes
    (folder / "train.txt").write_text("images/c9.png masks/c1.png\n")
    with pytest.raises(DataError, match=r"train\.txt:1: .*c9\.png does not exist"):
        dataset(folder, **options)


def test_names_of_cases(folder):
    for patient in ("p1", "p2"):
        save(folder / "scans" / patient / "slice_1.png", picture(0))
        save(folder / "found" / f"{patient}_1_mask.png", ids(0))
    with pytest.raises(DataError, match=r"slice_1\.png are both case slice_1; .*case_pattern"):
        dataset(folder, images="scans/*/*.png", mode="test")
    data = dataset(
        folder,
        images="scans/*/*.png",
        masks="found/{case}_mask",
        case_pattern=r"(p\d)/slice_(\d)",
    )
    assert [case.name for case in data.cases] == ["p1_1", "p2_1"]
    np.testing.assert_array_equal(data[1][1], ids(0))


def test_images_and_masks_in_one_folder(folder):
    for number in range(3):
        save(folder / "both" / f"a{number}.png", picture(number))
        save(folder / "both" / f"a{number}_mask.png", ids(number))
    with pytest.raises(DataError, match="a0_mask"):
        dataset(folder, images="both", masks="both/{case}_mask.tif")
    data = dataset(folder, images="both", masks="both/{case}_mask.png", mode="test")
    assert [case.name for case in data.cases] == ["a0", "a1", "a2"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask_format": "polygon"}, "mask_format: expected one of"),
        ({"images": "nowhere"}, "images: .*nowhere is no folder"),
        ({"masks": "masks/{Case}"}, r"has the field \{Case\}"),
        ({"masks": "each/{name}"}, "needs mask_format: multilabel"),
        ({"mask_colours": {1: [1, 2, 3]}}, "mask_colours: has no meaning with mask_format: index"),
        ({"mask_format": "palette", "mask_colours": {1: [1, 2]}}, "mask_colours: expected"),
        ({"mask_values": {"a": 1}}, "mask_values: expected whole numbers"),
        ({"mask_values": [1, 2]}, "mask_values: expected a mapping"),
        ({**FORMATS["rle"], "mask_values": [1, 2]}, "mask_values: expected a mapping"),
        ({"mask_format": "palette", "mask_colours": [[1, 2, 3]]}, "mask_colours: expected a mapping"),
        ({"mask_threshold": "128"}, "mask_threshold: expected a number, got '128'"),
        ({"mask_format": "rle", "masks": "none.csv"}, "cannot be read as CSV"),
        ({**FORMATS["rle"], "mask_columns": ["id", "rle"]}, "mask_columns: expected names of three columns"),
        ({**FORMATS["rle"], "mask_order": "down"}, "mask_order: expected one of"),
        ({"missing_masks": "ignore"}, "missing_masks: expected one of"),
        ({"case_pattern": "("}, "no regular expression|not a regular expression"),
        ({"labels": None}, "num_classes: give it"),
        ({"slices": {"axis": 1}}, "slices: a picture is one slice"),
        ({"fold": 9}, "fold: 9 does not exist"),
        ({"group_table": "none.csv", "fold": 0}, r"group_table: .*none\.csv does not exist"),
        ({"group_table": "masks.csv", "group_columns": ["id"], "fold": 0}, "group_columns: expected names of two"),
        ({"group_table": "masks.csv", "group_columns": "id", "fold": 0}, "group_columns: expected names of two"),
        ({"group_table": "masks.csv", "group_columns": ["id"] * 3, "fold": 0}, "group_columns: expected names of two"),
        ({"head": "sigmod"}, "head"),
        ({"val_path": "x"}, "train_path: mode 'train' needs its list"),
    ],
)
def test_wrong_settings(folder, options, message):
    with pytest.raises((ConfigError, DataError), match=message):
        dataset(folder, **options)


def lengths_of_all(root: Path, name: str, text: str) -> None:
    rows = "".join(f"c{number},{name},{text}\n" for number in range(CASES))
    (root / "masks.csv").write_text("id,class,segmentation\n" + rows)


DAMAGE = {
    "box": (
        lambda root: (root / "polygons/c0.txt").write_text("0 0.5 0.5 0.1 0.1\n"),
        FORMATS["yolo"],
        r"c0\.txt:1: is a box",
    ),
    "class": (
        lambda root: (root / "polygons/c0.txt").write_text("7 0 0 1 0 1 1\n"),
        FORMATS["yolo"],
        "class 7 has the id 8; ids are 0 to 2",
    ),
    "colour": (lambda root: save(root / "colours/c0.png", picture(0)), FORMATS["palette"], "does not name"),
    "structure": (lambda root: save(root / "each/box/c0.png", picture(0)), FORMATS["each"], "mask holds 0 and 1"),
    "name": (lambda root: lengths_of_all(root, "liver", "1 2"), FORMATS["rle"], "class 'liver' is not among"),
    "run": (lambda root: lengths_of_all(root, "box", "190 9"), FORMATS["rle"], "class box of image c0: .* 190 9"),
    "two": (lambda root: save(root / "masks/c0.tif", ids(0)), {}, "several masks"),
    "colours": (lambda root: save(root / "masks/c0.png", COLOURS[ids(0)]), {}, r"c0\.png: has colours"),
    "png": (lambda root: (root / "images/c0.png").write_bytes(b"\x89PNG"), {}, "is no PNG file"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_wrong_files(folder, name):
    change, options, message = DAMAGE[name]
    change(folder)
    with pytest.raises(UserError, match=message) as error:
        dataset(folder, **options)[0]
    assert "\n" not in str(error.value)


def test_cache_and_pickle(folder, cache_folder):
    data = dataset(folder, cache="disk", preprocess={"size": [8, 8, 1]})
    first = data[0]
    assert len(list((cache_folder / "arrays").iterdir())) == 1
    again = pickle.loads(pickle.dumps(data))[0]
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    hidden = dataset(folder, cache="disk", preprocess={"size": [8, 8, 1]}, mask_values={2: 1})
    assert hidden[0][1].max() == 1
    assert hidden.data_hash() != data.data_hash()


def test_nnunet_folder_of_pictures(folder):
    root = folder.parent / "nnunet"
    for number in range(CASES):
        save(root / "imagesTr" / f"c{number}_0000.png", picture(number))
        save(root / "labelsTr" / f"c{number}.png", ids(number))
    names = {"background": 0, "box": 1, "core": 2}
    content = {"channel_names": {"0": "grey"}, "labels": names, "numTraining": CASES, "file_ending": ".png"}
    (root / "dataset.json").write_text(json.dumps(content))
    data = DecathlonDataset(str(root), fold="all", normalize="none", slices={"axis": 2})
    image, label, _ = data[2]
    np.testing.assert_array_equal(image, picture(2)[None])
    np.testing.assert_array_equal(label, ids(2))


def test_it_is_a_component():
    assert manager.DATASETS["ImageDataset"] is ImageDataset


def test_the_chest_radiographs(shared_data):
    root = str(shared_data / "xray2d")
    names = ["background", "right_lung", "left_lung", "cardiomediastinum"]
    options = {"labels": names, "preprocess": {"size": [64, 64, 1]}, "mode": "val"}
    index = ImageDataset(root, **options)
    lengths = ImageDataset(root, mask_format="rle", masks="masks_rle.csv", **options)
    assert len(index) == 8
    for number in range(3):
        np.testing.assert_array_equal(index.reference(number).array, lengths.reference(number).array)
        for one, other in zip(index[number], lengths[number], strict=True):
            np.testing.assert_array_equal(one, other)
    assert index.task.names == names
    grouped = {
        mode: {case.name for case in ImageDataset(root, labels=names, mode=mode, group_table="index.csv").cases}
        for mode in ("train", "val")
    }
    assert not grouped["train"] & grouped["val"]
