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
    config.require("batch_size", "iters", "train_dataset", "val_dataset", "model", "loss", "optimizer", "data_root")
    assert config.dic["val_dataset"]["mode"] == "val"
    assert not config.dic["val_dataset"]["transforms"]
    assert config.lr_scheduler() > 0
    heads = 4 if config.dic["model"]["type"] == "VNetDeepSup" else 1
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
