"""Published weights predict and export without a dataset, with the preprocessing their data had."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medicalseg.cli.main import main
from medicalseg.core import published
from medicalseg.core.task import task_for
from medicalseg.cvlibs import Config
from medicalseg.datasets.prepare import abdomen, lung_coronavirus, mri_spine_seg, msd_brain_seg
from medicalseg.inference.nnformer_helper import heart_preprocessing
from medicalseg.io import Volume, read_label, write_volume
from medicalseg.models import UNet3D
from medicalseg.utils import checkpoint, weights_store, weights_table
from medicalseg.utils.weights_table import PUBLISHED, PublishedWeights

CONFIG = """
data_root: absent
model: {type: UNet3D, in_channels: 1, num_classes: 3, base_channels: 2, depth: 2}
val_dataset: {type: LungCoronavirus, dataset_root: nowhere, mode: val, transforms: []}
"""
ADDRESS = "https://weights.example.org/tiny/model.pdparams"
TINY = PublishedWeights("tiny_lung", "UNet3D", "", ADDRESS, "configs/lung_coronavirus/tiny.yml", "50")


@pytest.fixture
def fetched(tmp_path, monkeypatch, capsys):
    """The path that `weights get` prints; the file lies there as if it was fetched."""
    monkeypatch.setenv("SEG_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(weights_table, "PUBLISHED", (TINY,))
    network = UNet3D(in_channels=1, num_classes=3, base_channels=2, depth=2)
    checkpoint.save_state(weights_store.place_of(TINY.url), network.state_dict())
    assert main(["weights", "get", "tiny_lung"]) == 0
    return capsys.readouterr().out.strip()


def entry(network: str, config: str) -> PublishedWeights:
    return next(e for e in PUBLISHED if e.network == network and config in e.config)


def test_lungs_as_paddleseg3d_prepares_them():
    task = published.task_of(entry("VNet", "lung_coronavirus"))
    assert task.names == ["background", "left lung", "right lung"]
    assert task.preprocessing.size == (128, 128, 128)
    hounsfield = np.array([-3000.0, -1200.0, -300.0, 600.0, 3000.0], np.float32)
    grid = np.repeat(hounsfield, 128 * 128 // 5 + 1)[: 128 * 128].reshape(128, 128, 1).repeat(128, axis=2)
    image, _ = task.preprocessing.apply(Volume(grid, np.eye(4)))
    np.testing.assert_allclose(np.unique(image.round(6)), [0, 0.5, 1], atol=1e-6)


def test_spine_as_paddleseg3d_prepares_it():
    task = published.task_of(entry("VNet", "mri_spine_seg"))
    assert (task.num_classes, task.preprocessing.size) == (20, (512, 512, 12))
    assert task.class_groups["16 classes*"] == tuple(n for n in range(20) if n not in (9, 10, 18, 19))
    assert replace(task.preprocessing, size=None).apply(Volume(np.full((2, 2, 2), 1325.0), np.eye(4)))[0].max() == 1
    assert task.notes[0].startswith("published weights vnet_mri_spine_seg")


@pytest.mark.parametrize(
    ("steps", "config"),
    [
        (mri_spine_seg.preprocessing((512, 512, 12)), "mri_spine_seg/vnet_mri_spine_seg_512_512_12_15k_5e-1.yml"),
        (lung_coronavirus.preprocessing((128, 128, 128)), "lung_coronavirus/lung_coronavirus.yml"),
        (msd_brain_seg.preprocessing(), "msd_brain_seg/unetr_msd_brain_seg_1e-4.yml"),
        (abdomen.preprocessing(), "synapse/transunet_abdomen_224_224_1_14k_1e-2.yml"),
        (heart_preprocessing("SLP", normalize="none"), "acdc/nnformer_acdc_160_160_14_250k.yml"),
    ],
    ids=["spine", "lung", "brain", "abdomen", "heart"],
)
def test_the_task_is_that_of_the_prepared_data(steps, config, root, tmp_path):
    """Independent of the table: the dataset of the configuration, on a folder with the preparation's description."""
    path = root / "configs" / config
    folder = tmp_path / Config(path, log_notes=False).dic["val_dataset"]["dataset_root"]
    channels = [4] if "brain" in config else []
    for part, shape, kind in (("images", [*channels, 4, 6, 8], np.float32), ("labels", [4, 6, 8], np.int32)):
        (folder / part).mkdir(parents=True)
        np.save(folder / part / "a.npy", np.zeros(shape, kind))
    (folder / "val_list.txt").write_text("images/a.npy labels/a.npy\n")
    (folder / "dataset.json").write_text(json.dumps({"preprocessing": steps.to_dict()}))
    dataset = Config(path, opts=[f"data_root={tmp_path}"], log_notes=False).val_dataset
    task = published.task_of(next(e for e in PUBLISHED if e.config.startswith(f"configs/{Path(config).parent}/")))
    assert replace(task, notes=()) == replace(dataset.task, notes=())


def test_encoders_have_no_task(tmp_path):
    encoder = next(e for e in PUBLISHED if not e.config)
    assert published.task_of(encoder) is None
    assert published.describe(encoder, tmp_path / "model.pdparams") is None
    assert published.task_of(next(e for e in PUBLISHED if e.name.endswith("_pretrain"))) is None
    assert not list(tmp_path.iterdir())


def test_prediction_needs_no_dataset(monkeypatch, request, tmp_path):
    task = published.task_of(TINY)
    small = replace(task, preprocessing=replace(task.preprocessing, size=(32, 32, 32)))
    monkeypatch.setitem(published._TASKS, "lung_coronavirus", lambda: small)
    fetched = request.getfixturevalue("fetched")
    (tmp_path / "c.yml").write_text(CONFIG)
    affine = np.diag([2.0, 2.0, 4.0, 1.0])
    scan = np.random.default_rng(0).normal(-600, 300, (40, 36, 20)).astype(np.int16)
    write_volume(Volume(scan, affine), tmp_path / "scan.nii.gz")
    arguments = ["predict", "--config", str(tmp_path / "c.yml"), "--model_path", fetched]
    assert main([*arguments, "--image_path", str(tmp_path / "scan.nii.gz"), "--save_dir", str(tmp_path / "out")]) == 0
    label = read_label(next((tmp_path / "out").rglob("scan*.nii.gz")))
    assert label.shape == (40, 36, 20)
    np.testing.assert_allclose(label.affine, affine)


def test_the_task_is_that_of_the_table(fetched, tmp_path):
    task = task_for(None, fetched)
    assert task == published.task_of(TINY)
    content = json.loads(weights_store.place_of(TINY.url).with_name("meta.json").read_text())
    assert content["published"] == "tiny_lung"
