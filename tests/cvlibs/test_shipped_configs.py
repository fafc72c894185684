"""Every file under configs/ is valid and says what its name promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from medicalseg.cvlibs import Config

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "configs").rglob("*.yml"))
RUNS = [path for path in FILES if "model:" in path.read_text() or path.stem.startswith(("vnet", "unet"))]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=name)
def test_is_valid(path):
    Config(path)


@pytest.mark.parametrize("path", RUNS, ids=name)
def test_is_a_whole_run(path):
    config = Config(path)
    length = "epochs" if "epochs" in config.dic else "iters"
    config.require("batch_size", length, "train_dataset", "val_dataset", "model", "loss", "optimizer", "data_root")
    assert config.dic["val_dataset"]["mode"] == "val"
    assert all(step["type"] == "Resize3D" for step in config.dic["val_dataset"]["transforms"])
    if length == "iters":
        assert config.lr_scheduler() > 0
    heads = {"VNetDeepSup": 4, "nnFormer": 3}.get(config.dic["model"]["type"], 1)
    assert len(config.loss["types"]) == len(config.loss["coef"]) == heads


def test_every_folder_has_a_readme():
    for folder in {path.parent for path in FILES} - {ROOT / "configs" / "_base_"}:
        text = (folder / "README.md").read_text()
        for heading in ("## Results", "licence" if folder.name == "quickstart" else "Licence"):
            assert heading in text, folder


def test_the_published_setting():
    config = Config(ROOT / "configs/mri_spine_seg/vnet.yml").dic
    assert config["train_dataset"]["dataset_root"] == "MRSpineSeg/MRI_spine_seg_phase0_class20_big_12"
    assert (config["data_root"], config["batch_size"], config["iters"]) == ("data/", 3, 15000)
    assert config["model"]["kernel_size"] == [[2, 2, 4], [2, 2, 2], [2, 2, 2], [2, 2, 2]]
    assert config["model"]["stride_size"] == [[2, 2, 1], [2, 2, 1], [2, 2, 2], [2, 2, 2]]
    assert config["lr_scheduler"]["learning_rate"] == 0.1
    assert config["class_groups"]["16 classes*"] == [k for k in range(20) if k not in (9, 10, 18, 19)]


def test_variants_of_the_published_table():
    folder = ROOT / "configs/mri_spine_seg"
    for suffix, rate in (("_1e-1", 0.1), ("_5e-1", 0.5)):
        config = Config(folder / f"vnet_mri_spine_seg_512_512_12_15k{suffix}.yml").dic
        base = Config(folder / f"mri_spine_seg{suffix}_big_rmresizecrop_class20.yml").dic
        assert config["lr_scheduler"] == base["lr_scheduler"]
        assert config["lr_scheduler"]["learning_rate"] == rate


@pytest.mark.parametrize("folder", ["scoliosis", "ich"])
def test_the_study_s_ten_networks(folder):
    """Batches of 16, 16, 16, 8, 8, 4 and of 16, 16, 16, 8 on two ranks."""
    per_rank = {"SegFormer_B": (8, 8, 8, 4, 4, 2), "SimpleSegNeXt_": (8, 8, 8, 4)}
    for prefix, batches in per_rank.items():
        sizes = "012345" if prefix == "SegFormer_B" else "TSBL"
        for size, batch in zip(sizes, batches, strict=True):
            stem = f"segformer_b{size}" if prefix == "SegFormer_B" else f"segnext_{size.lower()}"
            config = Config(ROOT / "configs" / folder / f"{stem}.yml").dic
            assert config["model"] == {"type": f"{prefix}{size}", "in_channels": 1, "num_classes": 1}
            assert config["batch_size"] == batch
            assert config["epochs"] == 100
            assert config["optimizer"] == {"type": "Adam"}
            schedule = {"metric": "val_loss", "factor": 0.5, "patience": 5, "min_lr": 1e-7, "learning_rate": 1e-4}
            assert config["lr_scheduler"] == {"type": "ReduceOnPlateau", **schedule}
            assert config["train_dataset"]["preprocess"]["size"] == [640, 640, 1]
            assert config["train_dataset"]["head"] == config["val_dataset"]["head"] == "sigmoid"
            assert not config["train_dataset"]["transforms"]


def test_slices_of_the_network_and_the_data_agree():
    for path in RUNS:
        config = Config(path).dic
        slices = config["train_dataset"].get("slices")
        assert slices == config["val_dataset"].get("slices"), path
        if slices is not None:
            assert config["model"]["in_channels"] == slices.get("num_slices", 1), path
