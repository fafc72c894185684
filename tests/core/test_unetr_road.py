"""UNETR on brains from training to the deployed model: windows of its one size everywhere, without being asked."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

paddle = pytest.importorskip("paddle")

from medicalseg.cli import run_verb  # noqa: E402
from medicalseg.core.only_size import check_window, with_windows  # noqa: E402
from medicalseg.core.trained import asked_task  # noqa: E402
from medicalseg.cvlibs import Config  # noqa: E402
from medicalseg.errors import ConfigError  # noqa: E402
from medicalseg.inference import Preprocessing, SlidingWindow, TaskSpec, WholeVolume, inferer_for  # noqa: E402
from medicalseg.inference.slices import SliceSpec  # noqa: E402
from medicalseg.io import read_volume  # noqa: E402
from medicalseg.models import UNETR  # noqa: E402
from tests.datasets.prepare.brain_miniature import write_brain  # noqa: E402

CONFIG = "configs/msd_brain_seg/unetr_msd_brain_seg_1e-4.yml"
SHAPE = (20, 18, 17)
NETWORK = SimpleNamespace(only_size=(16, 16, 16))
PADDLESEG3D = """
data_root: {data}
batch_size: 2
iters: 2
train_dataset: &data
  type: msd_brain_dataset
  dataset_root: Task01_BrainTumour/Task01_BrainTumour_phase0
  result_dir: data/Task01_BrainTumour/Task01_BrainTumour_phase1
  num_classes: 4
  transforms:
    - {{type: RandomCrop4D, size: 16, scale: [0.8, 1.2]}}
    - {{type: RandomRotation4D, degrees: 90, rotate_planes: [[1, 2], [1, 3], [2, 3]]}}
    - {{type: RandomFlip4D, flip_axis: [1, 2, 3]}}
  mode: train
val_dataset:
  <<: *data
  transforms: []
  mode: val
  dataset_json_path: "{data}/Task01_BrainTumour/Task01_BrainTumour_raw/dataset.json"
optimizer: {{type: AdamW, weight_decay: 1.0e-4}}
lr_scheduler: {{type: PolynomialDecay, decay_steps: 2, learning_rate: 0.0001, end_lr: 0, power: 0.9}}
loss:
  types: [{{type: MixedLoss, losses: [{{type: CrossEntropyLoss, weight: Null}}, {{type: DiceLoss}}], coef: [1, 1]}}]
  coef: [1]
model:
  type: UNETR
  img_shape: (16, 16, 16)
  in_channels: 4
  num_classes: 4
  embed_dim: 24
  patch_size: 16
  num_heads: 3
  dropout: 0.1
  num_layers: 4
  ext_layers: [1, 2, 3, 4]
  dim_linear_block: 32
"""


def run(verb: str, *arguments: str | Path) -> None:
    assert run_verb(verb, [str(argument) for argument in arguments]) == 0


def test_a_configuration_as_paddleseg3d_writes_it(tmp_path: Path) -> None:
    """prepare, train, val, export, predict with the weights, infer with the exported model."""
    task = write_brain(tmp_path / "raw", cases=4, shape=SHAPE)
    data, out = tmp_path / "data", tmp_path / "out"
    flags = ("--dataset_root", data / "Task01_BrainTumour", "--num_workers", "0", "--test_fraction", "0")
    run("prepare", "msd_brain_seg", "--raw_dir", task, *flags)
    config = tmp_path / "c.yml"
    config.write_text(PADDLESEG3D.format(data=data))
    run("train", "--config", config, "--save_dir", out, "--do_eval", "--save_interval", "2", "--num_workers", "0")
    meta = json.loads((out / "iter_2" / "meta.json").read_text())
    assert meta["task"]["sliding"] == {"window": [16, 16, 16], "padding": "end"}
    run("val", "--config", config, "--model_path", out / "iter_2", "--save_dir", out / "val", "--sw_num", "4")
    run("export", "--config", config, "--model_path", out / "iter_2", "--save_dir", out / "export")
    deployed = yaml.safe_load((out / "export" / "deploy.yaml").read_text())["Deploy"]
    assert (deployed["input_shape"], deployed["output_op"]) == ([-1, 4, 16, 16, 16], "none")
    image = task / "imagesTr" / "BRATS_001.nii.gz"
    flags = ("--image_path", image, "--save_dir")
    run("predict", "--config", config, "--model_path", out / "iter_2", *flags, out / "predicted")
    run("infer", "--config", out / "export" / "deploy.yaml", *flags, out / "inferred", "--device", "cpu")
    predicted, inferred = (
        read_volume(next((out / folder).glob("BRATS_001*.nii.gz"))) for folder in ("predicted", "inferred")
    )
    assert predicted.array.shape == SHAPE
    assert predicted.grid_difference(read_volume(image, channels=True)) is None
    assert (predicted.array == inferred.array).mean() > 0.999


def test_the_published_setting(root: Path) -> None:
    config = Config(root / CONFIG, opts=["model.embed_dim=24", "model.dim_linear_block=32", "model.base_filters=4"])
    assert isinstance(config.model, UNETR)
    assert config.model.only_size == (128, 128, 128)
    content = Config(root / CONFIG).dic
    assert content["model"] == {
        **{"type": "UNETR", "img_shape": [128, 128, 128], "in_channels": 4, "num_classes": 4},
        **{"embed_dim": 768, "patch_size": 16, "num_heads": 12, "dropout": 0.1},
    }
    assert (content["batch_size"], content["iters"], content["data_root"]) == (4, 30000, "data/")
    assert content["lr_scheduler"]["learning_rate"] == 1e-4
    assert content["optimizer"] == {"type": "AdamW", "weight_decay": 1e-4}
    names = [step["type"] for step in content["train_dataset"]["transforms"]]
    assert names == ["RandomCrop4D", "RandomRotation4D", "RandomFlip4D"]


def test_windows_of_the_one_size() -> None:
    task = TaskSpec(2)
    assert with_windows(task, SimpleNamespace()) is task
    assert with_windows(task, NETWORK).sliding == {"window": [16, 16, 16], "padding": "end"}
    mirrored = TaskSpec(2, sliding={"mirror_axes": [0], "overlap": 0.25})
    windows = {"window": [16, 16, 16], "padding": "end"}
    assert with_windows(mirrored, NETWORK).sliding == {"mirror_axes": [0], "overlap": 0.25, **windows}
    patches = TaskSpec(2, sliding={"window": [16, 16, 16]})
    assert with_windows(patches, NETWORK).sliding == patches.sliding
    again = with_windows(with_windows(task, NETWORK), NETWORK)
    assert again == with_windows(task, NETWORK)
    sliding = inferer_for(asked_task({"sliding": {"overlap": 0.25}}, task, NETWORK, sw_num=4))
    assert isinstance(sliding, SlidingWindow)
    assert (sliding.window, sliding.overlap, sliding.batch) == ((16, 16, 16), 0.25, 4)
    np.testing.assert_array_equal(inferer_for(asked_task({}, task, NETWORK)).window, 16)


@pytest.mark.parametrize(
    ("steps", "whole"),
    [({"size": (16, 16, 16)}, True), ({"size": (16, 16, 16), "fit": "pad"}, False), ({"size": (16, 16, 12)}, False)],
)
def test_volumes_that_preprocessing_brings_to_the_size(steps: dict, whole: bool) -> None:
    task = TaskSpec(2, preprocessing=Preprocessing(**steps))
    assert (with_windows(task, NETWORK) is task) == whole
    assert isinstance(inferer_for(asked_task({}, task, NETWORK)), WholeVolume if whole else SlidingWindow)


def test_windows_of_another_size_are_refused() -> None:
    wrong = r"sliding.window: \[32, 32, 32\], but SimpleNamespace was built for volumes of \[16, 16, 16\]"
    with pytest.raises(ConfigError, match=wrong):
        with_windows(TaskSpec(2, sliding={"window": 32}), NETWORK)
    with pytest.raises(ConfigError, match=wrong):
        inferer_for(asked_task({"sliding": {"window": [32, 32, 32]}}, TaskSpec(2), NETWORK))
    check_window(TaskSpec(2), SimpleNamespace(), 32)
    flat = TaskSpec(2, slices=SliceSpec())
    assert with_windows(flat, SimpleNamespace(only_size=(224, 224))) is flat
