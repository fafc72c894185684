"""`medicalseg verify` on pictures: folders and configurations, every fault by its kind."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from medicalseg.cli.main import main
from medicalseg.datasets.splits import group_by_pattern
from medicalseg.datasets.verify.picture_folders import picture_folders
from medicalseg.datasets.verify.picture_source import open_config, open_pictures
from medicalseg.datasets.verify.run import verify_dataset
from medicalseg.errors import ConfigError
from medicalseg.io import Volume, write_volume

CASES = 8


def picture(number, rows=10):
    return np.random.default_rng(number).integers(0, 200, (rows, 12), np.uint8)


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "pictures"
    for number in range(CASES):
        mask = np.zeros((10, 12))
        mask[2 : 4 + number % 5, 3:9] = 1
        mask[number, 0] = 2
        save(root / "images" / f"p{number // 2}_{number}.png", picture(number))
        save(root / "masks" / f"p{number // 2}_{number}.png", mask)
    return root


def found(source, **options):
    report = verify_dataset(source, **options)
    return {(finding.kind, finding.case): (finding.severity, finding.message) for finding in report.findings}


def of_folder(root, **options):
    return found(open_pictures(root, *picture_folders(root), **options))


def config(root, **changes):
    section = {"type": "ImageDataset", "dataset_root": str(root), "num_classes": 3, **changes}
    return {"train_dataset": {**section, "mode": "train"}, "val_dataset": {**section, "mode": "val"}}


def test_sound_pictures(folder, capsys):
    assert main(["verify", str(folder), "--num_workers", "2"]) == 0
    output = capsys.readouterr().out
    assert "8 cases" in output
    assert "0 errors, 0 warnings" in output
    given = ["--images", str(folder / "images"), "--labels", str(folder / "masks"), "--num_workers", "0"]
    assert main(["verify", *given]) == 0
    assert "(pictures)" in capsys.readouterr().out
    assert found(open_config(config(folder))) == {}


def test_every_fault(folder):
    masks, images = folder / "masks", folder / "images"
    (masks / "p0_0.png").unlink()
    save(masks / "p0_1.png", np.zeros((9, 12)))
    (masks / "p1_2.png").unlink()
    save(masks / "p1_2.jpg", np.zeros((10, 12)))
    (images / "p1_3.png").write_bytes((images / "p1_3.png").read_bytes()[:60])
    (masks / "p2_4.png").write_bytes(b"\x89PNG")
    save(masks / "p2_5.png", np.full((10, 12), 7))
    save(images / "p3_6.png", np.stack([picture(6)] * 3, axis=-1))
    save(masks / "p3_7.png", np.zeros((10, 12)))
    save(masks / "extra.png", np.zeros((10, 12)))
    findings = of_folder(folder, num_classes=3)
    findings |= found(open_pictures(folder, "images", "masks", num_classes=3), num_classes=3)
    errors = {key for key, (severity, _) in findings.items() if severity == "error"}
    assert errors == {
        ("no_label", "p0_0"),
        ("shape_mismatch", "p0_1"),
        ("lossy_mask", "p1_2"),
        ("unreadable", "p1_3"),
        ("unreadable", "p2_4"),
        ("label_out_of_range", "p2_5"),
        ("channel_mismatch", "p3_6"),
        ("no_image", "extra"),
    }
    severity, message = findings["empty_label", ""]
    assert severity == "warning"
    assert message == "1 of 3 masks show nothing: p3_7"


def test_a_mask_that_is_turned_against_its_image(folder):
    for kind, affine in (("images", [-1, -1, 1, 1]), ("masks", [-1, 1, 1, 1])):
        path = folder / kind / "p0_0.png"
        array = np.asarray(Image.open(path)).T[..., None]
        path.unlink()
        write_volume(Volume(array, np.diag(np.array(affine, float))), folder / kind / "p0_0.nii.gz")
    message = "p0_0.nii.gz is stored as LAS, its image as LPS"
    assert found(open_config(config(folder)))["flip_mismatch", "p0_0"] == ("error", message)


def test_copies_on_both_sides(folder):
    shutil.copy(folder / "images/p0_0.png", folder / "images/p3_7.png")
    names = [f"p{number // 2}_{number}" for number in range(CASES)]
    (folder / "splits_final.json").write_text(json.dumps([{"train": names[:6], "val": names[6:]}]))
    for source in (open_pictures(folder, "images", "masks"), open_config(config(folder))):
        findings = found(source)
        assert findings["duplicate_image", "p3_7"][0] == "warning"
        assert findings["leaking_split", "p3_7"][0] == "error"


def test_patients_on_both_sides(folder, capsys):
    names = [f"p{number // 2}_{number}" for number in range(CASES)]
    (folder / "splits_final.json").write_text(json.dumps([{"train": names[:5], "val": names[5:]}]))
    group_of = group_by_pattern(r"(p\d)_")
    assert "p2 (cases p2_4 and p2_5)" in of_folder(folder, group_of=group_of)["leaking_patient", ""][1]
    assert main(["verify", str(folder), "--group_pattern", r"(p\d)_", "--num_workers", "0"]) == 2
    assert "leaking_patient" in capsys.readouterr().out
    (folder / "index.csv").write_text("id,patient\n" + "".join(f"{name},{name[:2]}\n" for name in names))
    findings = found(open_config(config(folder, group_table="index.csv", splits="splits_final.json")))
    assert findings["leaking_patient", ""][0] == "error"
    (folder / "index.csv").write_text("id,patient\np0_0,a\n")
    findings = found(open_config(config(folder, group_table="index.csv", splits="splits_final.json")))
    assert "tells no patient" in findings["split", ""][1]


def test_divided_folders_with_the_same_names(folder):
    for mode in ("train", "val"):
        for number in range(3):
            save(folder / mode / "images" / f"{number}.png", picture(10 * len(mode) + number))
            save(folder / mode / "masks" / f"{number}.png", np.eye(10, 12))
    content = config(folder, fold=None)
    for mode in ("train", "val"):
        content[f"{mode}_dataset"] |= {"images": f"{mode}/images", "masks": f"{mode}/masks"}
    source = open_config(content)
    assert [case.name for case in source.cases] == ["0", "1", "2", "val/0", "val/1", "val/2"]
    assert {kind for kind, _ in found(source)} == {"duplicate_label", "class_missing"}


def test_lists(folder):
    lines = [f"images/p{number // 2}_{number}.png masks/p{number // 2}_{number}.png\n" for number in range(CASES)]
    (folder / "train.txt").write_text("".join(lines[:6]))
    (folder / "val.txt").write_text("".join(lines[5:]))
    findings = found(open_config(config(folder, train_path="train.txt", val_path="val.txt")))
    assert "1 of 3 val cases train too, first p2_5" in findings["leaking_split", ""][1]


def test_other_formats(folder):
    for number in range(CASES):
        (folder / "polygons").mkdir(exist_ok=True)
        (folder / "polygons" / f"p{number // 2}_{number}.txt").write_text("0 0.1 0.1 0.6 0.1 0.6 0.6\n")
    (folder / "polygons/p0_0.txt").write_text("0 0.1 0.1 0.6 0.1\n")
    (folder / "polygons/p0_1.txt").write_text("")
    content = config(folder, mask_format="yolo", masks="polygons", num_classes=1, head="sigmoid")
    findings = found(open_config(content))
    assert "p0_0.txt:1: is a box" in findings["wrong_mask", "p0_0"][1]
    assert "1 of 7 masks" in findings["empty_label", ""][1]
    lossy = config(folder, masks="jpeg", mask_threshold=128, num_classes=2)
    for number in range(CASES):
        save(folder / "jpeg" / f"p{number // 2}_{number}.jpg", 255 * np.eye(10, 12))
    assert {severity for severity, _ in found(open_config(lossy)).values()} == {"warning"}


def test_polygons_without_a_configuration(folder):
    shutil.rmtree(folder / "masks")
    for number in range(CASES):
        (folder / "labels").mkdir(exist_ok=True)
        (folder / "labels" / f"p{number // 2}_{number}.txt").write_text("3 0.1 0.1 0.6 0.1 0.6 0.6\n")
    assert {kind for kind, _ in of_folder(folder)} == {"duplicate_label"}


def test_a_configuration_file(folder, root, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MEDICALSEG_DATA_ROOT", str(folder.parent))
    path = tmp_path / "a.yml"
    base = root / "configs" / "chest_xray" / "chest_xray.yml"
    path.write_text(
        f"_base_: {base}\n"
        "model: {type: SegFormer_B0, in_channels: 1, num_classes: 4}\n"
        "train_dataset: {dataset_root: pictures, splits: null}\nval_dataset: {dataset_root: pictures, splits: null}\n"
    )
    assert main(["verify", "--config", str(path), "--num_workers", "0"]) == 0
    assert "left_lung" in capsys.readouterr().out
    monkeypatch.setenv("MEDICALSEG_DATA_ROOT", str(tmp_path / "nowhere"))
    assert main(["verify", "--config", str(path), "--num_workers", "0"]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_wrong_calls(folder, tmp_path, capsys):
    with pytest.raises(ConfigError, match="neither train_dataset nor val_dataset"):
        open_config({})
    with pytest.raises(ConfigError, match="--config checks image files, raw volumes and prepared arrays, not"):
        open_config({"train_dataset": {"type": "MedicalDataset"}})
    with pytest.raises(ConfigError, match="unknown keys"):
        open_config({"train_dataset": {"type": "ImageDataset", "dataset_root": ".", "image": 1}})
    assert main(["verify", str(folder), "--config", "a.yml"]) == 2
    assert "give one of" in capsys.readouterr().err


def test_masks_whose_structure_is_ignored(folder):
    for path in (folder / "masks").iterdir():
        save(path, 255 * (np.asarray(Image.open(path)) > 0))
    for findings in (of_folder(folder), found(open_config(config(folder)))):
        assert findings["empty_label", ""][1].startswith(
            "8 of 8 masks show nothing: p0_0, p0_1, p1_2, …; they hold 255"
        )
        assert findings["empty_label", ""][1].endswith("set mask_values: {255: 1} or mask_threshold: 128")
    assert found(open_config(config(folder, mask_values={255: 1}, num_classes=2))) == {}
    save(folder / "masks/p0_0.png", np.eye(10, 12))
    assert "255" not in of_folder(folder)["empty_label", ""][1]


def test_the_background_of_sigmoids_has_a_name(folder):
    content = config(folder, head="sigmoid", labels={1: "box", 2: "dot"}, num_classes=2)
    assert open_config(content).labels == {0: "background", 1: "box", 2: "dot"}


def test_jpeg_masks_say_what_to_do(folder):
    shutil.rmtree(folder / "masks")
    for number in range(CASES):
        save(folder / "masks" / f"p{number // 2}_{number}.jpg", 255 * (np.arange(120).reshape(10, 12) > 9 * number))
    assert "save it as PNG; grey JPEG masks" in of_folder(folder)["lossy_mask", "p0_0"][1]
    readable = found(open_config(config(folder, mask_threshold=128, num_classes=2)))
    assert {severity for severity, _ in readable.values()} == {"warning"}


def test_pictures_without_a_folder_of_masks(folder, capsys):
    def said(*arguments):
        assert main(["verify", *map(str, arguments)]) == 2
        return capsys.readouterr().err

    (folder / "masks").rename(folder / "left")
    assert "pictures in images/, but no masks/ or labels/: check them with --config FILE" in said(folder)
    (folder / "masks").mkdir()
    (folder / "left").rename(folder / "masks" / "left")
    assert "pictures in images/, but no mask files in masks/: check them with --config FILE" in said(folder)
    shutil.rmtree(folder / "images")
    assert "neither dataset.json" in said(folder)
    (folder / "images").mkdir()
    assert "no picture in images/" in said(folder)
    assert "--group_pattern is of pictures" in said(folder, "--group_pattern", "(p)")
    assert "with --config the pattern is that of train_dataset" in said("--config", "a.yml", "--group_pattern", "(p)")


def test_the_chest_radiographs(shared_data):
    folder = shared_data / "xray2d"
    report = verify_dataset(open_pictures(folder, "images", "masks"))
    assert report.findings == []
    names = ("background", "right_lung", "left_lung", "cardiomediastinum")
    with open(folder / "index.csv", encoding="utf-8") as handle:
        rows = {row["id"]: row for row in csv.DictReader(handle)}
    for item in report.facts:
        counts = [int(rows[item.case][f"px_{name}"]) for name in names]
        assert [item.voxels.get(number, 0) for number in range(4)] == counts
    options = {
        "splits": "splits_final.json",
        "group_table": "index.csv",
        "mask_format": "rle",
        "masks": "masks_rle.csv",
    }
    labels = {"labels": list(names), "num_classes": 4}
    assert found(open_config(config(folder, **options, **labels))) == {}
