"""Roboflow exports: miniatures of the layout, polygons, splits, leaks."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from medicalseg.cli import main
from medicalseg.datasets.splits import read_splits

from .conftest import contents, snapshot
from .picture_preparations import picture, prepare, printed

SQUARE = "0 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75"
SIDE = 40


def add(root, part, name, label=SQUARE, colour=False, value=None):
    folder = root / part
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "labels").mkdir(exist_ok=True)
    generator = np.random.default_rng(sum(map(ord, name)))
    grey = (
        generator.integers(0, 256, (SIDE, SIDE), np.uint8) if value is None else np.full((SIDE, SIDE), value, np.uint8)
    )
    picture = np.stack([grey] * 3, -1) if colour else grey
    Image.fromarray(picture).save(folder / "images" / f"{name}.png")
    if label is not None:
        (folder / "labels" / f"{name}.txt").write_text(label)


@pytest.fixture
def export(tmp_path):
    root = tmp_path / "AIS.v1i.yolov8"
    for number in range(6):
        add(root, "train", f"{number}_bmp.rf.{number:032x}")
    for number in range(6, 8):
        add(root, "valid", f"{number}_bmp.rf.{number:032x}", colour=True)
    add(root, "test", "8_bmp.rf.0")
    (root / "data.yaml").write_text("nc: 1\nnames: ['spine']\nroboflow:\n  license: CC BY 4.0\n  url: https://a.b/c\n")
    return root


def run(raw, root, *arguments) -> int:
    return prepare("scoliosis", raw, root, (SIDE, SIDE), *arguments)


def test_the_export_s_split_is_kept(export, tmp_path, capsys):
    before = snapshot(export)
    root = tmp_path / "scoliosis"
    assert run(export.parent / export.name, root) == 0
    assert snapshot(export) == before
    split = read_splits(root / "splits_final.json")[0]
    assert [len(split.train), len(split.val), len(split.test)] == [6, 2, 1]
    assert not split.leaking
    name = split.val[0]
    assert (root / "val_list.txt").read_text().splitlines()[0] == f"images/{name}.png\tmasks/{name}.png"
    image, mask = picture(root / "images" / f"{name}.png"), picture(root / "masks" / f"{name}.png")
    assert image.shape == mask.shape == (SIDE, SIDE)
    np.testing.assert_array_equal(image, picture(export / "valid" / "images" / f"{name}.png")[..., 0])
    assert mask.sum() == (SIDE // 2) ** 2
    description = json.loads((root / "dataset.json").read_text())
    assert description["licence"] == "CC BY 4.0"
    assert "leak" not in printed(capsys).lower()


def test_archive(export, tmp_path):
    archive = tmp_path / "AIS.v1i.yolov8.zip"
    with zipfile.ZipFile(archive, "w") as handle:
        for path in sorted(export.rglob("*")):
            handle.write(path, path.relative_to(export))
    flags = ["--archive", archive, "--dataset_root", tmp_path / "data", "--num_workers", 0, "--size", SIDE, SIDE]
    assert main(["prepare", "scoliosis", *map(str, flags)]) == 0
    assert len(list((tmp_path / "data" / "masks").iterdir())) == 9


@pytest.mark.parametrize("kind", ["version of the same source", "equal content"])
def test_a_source_in_two_parts_is_reported(export, tmp_path, kind, capsys):
    if kind == "equal content":
        add(export, "train", "100_bmp.rf.1", value=7)
        add(export, "test", "200_bmp.rf.2", value=7)
    else:
        add(export, "test", "3_bmp.rf.ffff")
    assert run(export, tmp_path / "data") == 0
    assert "1 source images are in several parts" in printed(capsys)
    assert read_splits(tmp_path / "data" / "splits_final.json")[0].leaking


def test_split_by_source(export, tmp_path, capsys):
    for number in range(6):
        add(export, "test", f"{number}_bmp.rf.ffff")
    assert run(export, tmp_path / "data", "--split", "source", "--test_fraction", 0.2, "--val_fraction", 0.2) == 0
    split = read_splits(tmp_path / "data" / "splits_final.json")[0]
    sources = [{name.split(".rf.")[0] for name in part} for part in (split.train, split.val, split.test)]
    assert sum(map(len, sources)) == len(set().union(*sources)) == 9
    assert min(map(len, sources)) == 2
    assert not split.leaking
    assert "several parts" not in printed(capsys)


def test_several_and_no_polygons(export, tmp_path):
    add(export, "train", "empty", "")
    add(export, "train", "two", f"{SQUARE}\n3 0 0 0.2 0 0.2 0.2 0 0.2\n")
    assert run(export, tmp_path / "data") == 0
    assert not picture(tmp_path / "data" / "masks" / "empty.png").any()
    assert picture(tmp_path / "data" / "masks" / "two.png").sum() == 400 + 64


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (None, "does not exist"),
        ("0 0.5 0.5 0.2 0.2", "box"),
        ("0 0.1 0.2 0.3 0.4 0.5", "x y x y"),
        ("spine 0.1 0.2 0.3 0.4 0.5 0.6", "no number"),
        ("0 10 20 300 20 300 400", "from 0 to 1"),
        ("0 nan 0 1 0 1 1", "from 0 to 1"),
    ],
)
def test_bad_labels_are_reported(export, tmp_path, label, message, capsys):
    add(export, "train", "bad", label)
    assert run(export, tmp_path / "data") == 2
    errors = printed(capsys)
    assert "bad" in errors
    assert message in errors
    assert "bad" not in (tmp_path / "data" / "train_list.txt").read_text()


def test_damaged_picture(export, tmp_path, capsys):
    path = next((export / "train" / "images").iterdir())
    path.write_bytes(path.read_bytes()[:60])
    assert run(export, tmp_path / "data") == 2
    assert path.name in printed(capsys)


def test_a_picture_of_16_bits_is_refused(export, tmp_path, capsys):
    name = "0_bmp.rf.00000000000000000000000000000000"
    Image.fromarray(np.full((SIDE, SIDE), 3000, np.uint16)).save(export / "train/images" / f"{name}.png")
    assert run(export, tmp_path / "out") == 2
    assert "more than 8 bits" in printed(capsys)
    assert not (tmp_path / "out/images" / f"{name}.png").exists()


def test_without_data(tmp_path, capsys):
    assert main(["prepare", "scoliosis", "--dataset_root", str(tmp_path / "x")]) == 2
    assert "Roboflow" in printed(capsys)
    assert run(tmp_path, tmp_path / "y") == 2
    assert "train/images" in printed(capsys)


def test_second_run_does_only_what_is_missing(export, tmp_path, capsys):
    root = tmp_path / "data"
    assert run(export, root) == 0
    first = contents(root)
    (root / "masks" / "8_bmp.rf.0.png").unlink()
    capsys.readouterr()
    assert run(export, root) == 0
    assert contents(root) == first
    assert "1 sources prepared, 8 were there" in printed(capsys)
