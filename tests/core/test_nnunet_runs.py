"""nnU-Net by a plan: the shipped configurations, and one of PaddleSeg3D as it is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from medicalseg.cli.main import run_verb
from medicalseg.cvlibs import Config, build
from medicalseg.io import read_label
from tests.datasets.prepare.lung_miniature import AFFINE, SHAPE, write_lung

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "configs/nnunet/msd_lung"
KINDS = ("2d", "3d_fullres", "3dcascade_lowres", "3dcascade_fullres")

UPSTREAM = """
batch_size: 1
iters: 2
data_root: data/

model:
  type: NNUNet
  plan_path: msd_lung/preprocessed/Task006_Lung/nnUNetPlansv2.1_plans_3D.pkl
  stage: 0

train_dataset: &train
  type: MSDDataset
  plans_name: nnUNetPlansv2.1_plans_3D.pkl
  dataset_root: /
  result_dir: /
  raw_data_dir: msd_lung/Task06_Lung
  decathlon_dir: msd_lung/Task006_Lung
  cropped_data_dir: msd_lung/cropped/Task006_Lung
  preprocessed_dir: msd_lung/preprocessed/Task006_Lung
  plan2d: False
  plan3d: True
  num_batches_per_epoch: 250
  fold: 0
  stage: 0
  unpack_data: True
  cascade: False
  mode: train

val_dataset:
  <<: *train
  num_batches_per_epoch: 50
  mode: val

optimizer:
  type: sgd
  momentum: 0.99
  weight_decay: 0.00003
  use_nesterov: True

lr_scheduler:
  type: PolynomialDecay
  learning_rate: 0.01
  end_lr: 0
  power: 0.9

loss:
  types:
    - type: MultipleLoss
      plan_path: msd_lung/preprocessed/Task006_Lung/nnUNetPlansv2.1_plans_3D.pkl
      stage: 0
      losses:
        - type: DC_and_CE_loss
          do_bg: False
          batch_dice: True
      coef: [1.0]
  coef: [1]
"""


def small_plan(folder: Path, kind: str) -> str:
    """The shipped plan with small patches, few channels and two poolings."""
    name = "plans_2D.json" if kind == "2d" else "plans_3D.json"
    content = json.loads((FOLDER / name).read_text())
    content["base_num_features"] = 4
    for stage in content["plans_per_stage"].values():
        stage["patch_size"] = [8, 8] if kind == "2d" else [4, 8, 8]
        stage["pool_op_kernel_sizes"] = stage["pool_op_kernel_sizes"][-2:]
        stage["conv_kernel_sizes"] = stage["conv_kernel_sizes"][:3]
    (folder / name).write_text(json.dumps(content))
    return str(folder / name)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of its own, with the data in it."""
    monkeypatch.setenv("MEDICALSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write_lung(tmp_path / "msd_lung")
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
def test_shipped_configurations_are_built(kind: str) -> None:
    for fold in range(5):
        config = Config(FOLDER / f"nnunet_{kind}_msd_lung_fold{fold}.yml")
        content = config.dic
        assert [content[key]["fold"] for key in ("train_dataset", "val_dataset")] == [fold, fold]
        plans = {content[key]["plan_path"] for key in ("model", "train_dataset", "val_dataset")}
        stages = {content[key]["stage"] for key in ("model", "train_dataset", "val_dataset")}
        assert plans == {content["loss"]["types"][0]["plan_path"]}
        assert stages == {content["loss"]["types"][0]["stage"]}
        plan = json.loads((ROOT / plans.pop()).read_text())["plans_per_stage"][str(stages.pop())]
        assert content["batch_size"] == plan["batch_size"]
        assert (content["iters"], content["optimizer"]["momentum"]) == (30000, 0.99)
    with paddle.LazyGuard():
        model = build(content["model"], "model")
    assert model.patch_size == tuple(plan["patch_size"])
    assert model.in_channels == (2 if kind == "3dcascade_fullres" else 1)
    assert config.loss["types"][0].weights(len(model.heads))[-1] == 0


@pytest.mark.parametrize("kind", ["2d", "3dcascade_fullres"])
def test_shipped_configurations_run(workplace: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    plan = small_plan(workplace, kind)
    changes = [f"{key}.plan_path={plan}" for key in ("model", "train_dataset", "val_dataset")]
    changes += [f"{key}.previous=msd_lung/Task06_Lung/labelsTr" for key in ("train_dataset", "val_dataset")]
    options = ["--iters", "2", "--batch_size", "2", "--do_eval", "--save_interval", "2", "--save_dir", "out"]
    changes = changes if kind == "3dcascade_fullres" else changes[:3]
    config = str(FOLDER / f"nnunet_{kind}_msd_lung_fold1.yml")
    assert run_verb("train", ["--config", config, "--opts", f"data_root={workplace}", *changes, *options]) == 0
    assert "iter: 2/2" in capsys.readouterr().out
    assert (workplace / "out/best_model/model.pdparams").is_file()


def test_a_configuration_of_paddleseg3d_as_it_is(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No plan is there: it is made. Trained, evaluated, exported, and the deployed model segments."""
    (workplace / "up.yml").write_text(UPSTREAM)
    options = ["--do_eval", "--save_interval", "2", "--log_iters", "1", "--nnunet", "--save_dir", "out"]
    assert run_verb("train", ["--config", "up.yml", *options]) == 0
    told = capsys.readouterr().out
    assert re.search(r"No plan at .*plans_3D.json; making one", told)
    assert "MSDDataset.cropped_data_dir is ignored" in told
    (plan,) = Path("msd_lung/preprocessed/Task006_Lung").glob("*.json")
    patches = json.loads(plan.read_text())["plans_per_stage"]["0"]["batch_size"]
    assert patches > 1
    assert f"{patches} samples per iteration" in told
    assert (workplace / "msd_lung/preprocessed/Task006_Lung/nnUNetPlansv2.1_plans_3D.json").is_file()
    weights = ["--config", "up.yml", "--model_path", "out/best_model/model.pdparams"]
    assert run_verb("val", [*weights, "--save_dir", "val"]) == 0
    metrics: dict[str, Any] = json.loads((workplace / "val/metrics.json").read_text())
    assert "cancer" in json.dumps(metrics)
    assert run_verb("export", [*weights, "--save_dir", "export"]) == 0
    image = "msd_lung/Task06_Lung/imagesTr/lung_002.nii.gz"
    assert run_verb("infer", ["--config", "export/deploy.yaml", "--image_path", image, "--save_dir", "pred"]) == 0
    found = read_label(workplace / "pred/lung_002.nii.gz")
    assert found.shape == SHAPE
    np.testing.assert_allclose(found.affine, AFFINE, atol=1e-5)


def test_the_one_of_paddleseg3d_is_the_batch_of_the_plan(workplace: Path, caplog: pytest.LogCaptureFixture) -> None:
    """There `batch_size` was without effect; the plan's batch was a step."""
    caplog.set_level("INFO", "medicalseg")
    folder = workplace / "msd_lung/preprocessed/Task006_Lung"
    folder.mkdir(parents=True)
    plan = Path(small_plan(workplace, "3d_fullres"))
    plan.rename(folder / "nnUNetPlansv2.1_plans_3D.json")
    up = workplace / "up.yml"
    up.write_text(UPSTREAM.replace("epoch: 250", "epoch: 250\n  repeat_times: 5"))
    config = Config(up)
    assert "--batch_size N" in next(note for note in config.notes if "batch" in note)
    assert config.batch_size == 2
    assert config.iters_per_epoch == -(-len(config.train_dataset) // 2)
    assert any("The plan's batch has 2 patches" in record.getMessage() for record in caplog.records)
    assert [Config(up, batch_size=count).batch_size for count in (1, 5)] == [1, 5]
    assert Config(up, opts=["batch_size=1"]).batch_size == 1
    up.write_text(UPSTREAM.replace("batch_size: 1", "batch_size: 3"))
    assert Config(up).batch_size == 3
    up.write_text(UPSTREAM.replace("batch_size: 1", ""))
    assert Config(up).batch_size == 2


def test_a_one_beside_plan_path_is_one_patch(workplace: Path) -> None:
    plan = small_plan(workplace, "3d_fullres")
    up = workplace / "up.yml"
    up.write_text(UPSTREAM.replace("fold: 0", f"fold: 0\n  plan_path: {plan}"))
    config = Config(up)
    assert not [note for note in config.notes if "batch" in note]
    assert config.batch_size == 1
