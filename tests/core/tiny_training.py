"""A training run of a few seconds: random 8 x 8 x 8 volumes, a 3D U-Net of a few channels."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]

CONFIG = """
data_root: {data}
batch_size: 2
iters: 6
train_dataset:
  type: MedicalDataset
  dataset_root: tiny
  num_classes: 3
  mode: train
  repeat_times: 2
  transforms:
    - type: RandomFlip3D
val_dataset:
  type: MedicalDataset
  dataset_root: tiny
  num_classes: 3
  mode: val
  transforms: []
model:
  type: {model}
  in_channels: 1
  num_classes: 3
{model_arguments}
optimizer:
  type: sgd
  momentum: 0.9
  weight_decay: 1.0e-4
lr_scheduler:
  type: PolynomialDecay
  learning_rate: 0.05
  end_lr: 0
  power: 0.9
loss:
  types:
    - type: MixedLoss
      losses:
        - type: CrossEntropyLoss
        - type: DiceLoss
      coef: [1, 1]
  coef: [{coef}]
"""


def make_data(folder: Path, cases: int = 4) -> Path:
    """Arrays and lists of a tiny dataset under `folder/tiny`."""
    rng = np.random.default_rng(3)
    root = folder / "tiny"
    (root / "images").mkdir(parents=True)
    (root / "labels").mkdir()
    lines = []
    for k in range(cases):
        label = np.zeros((8, 8, 8), np.int32)
        corner = rng.integers(0, 3, 3)
        label[corner[0] : corner[0] + 4, corner[1] : corner[1] + 4, :4] = 1
        label[corner[0] :, corner[1] :, 5:] = 2
        np.save(root / "images" / f"c{k}.npy", (label + rng.normal(0, 0.3, label.shape)).astype(np.float32))
        np.save(root / "labels" / f"c{k}.npy", label)
        lines.append(f"images/c{k}.npy labels/c{k}.npy")
    (root / "train_list.txt").write_text("\n".join(lines) + "\n")
    (root / "val_list.txt").write_text("\n".join(lines[:2]) + "\n")
    return root


def make_config(
    folder: Path, model: str = "UNet3D", arguments: str = "base_channels: 2\n  depth: 2\n  norm: batch", coef: str = "1"
) -> Path:
    """Data and a configuration file in `folder`."""
    if not (folder / "tiny").exists():
        make_data(folder)
    path = folder / f"{model.lower()}.yml"
    arguments = "  " + arguments if arguments else ""
    path.write_text(CONFIG.format(data=folder, model=model, model_arguments=arguments, coef=coef))
    return path


def command(config: Path, save_dir: Path, *flags: str) -> list[str]:
    """The command line of a training run."""
    script = str(ROOT / "tools" / "train.py")
    return [sys.executable, script, "--config", str(config), "--save_dir", str(save_dir), "--device", "cpu", *flags]


def environment(**more: str) -> dict[str, str]:
    """Environment of a training process, free of the variables of a launcher."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PADDLE_", "FLAGS_"))}
    return {**kept, "MEDICALSEG_NUM_THREADS": "1", **more}


def run(config: Path, save_dir: Path, *flags: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a training to its end."""
    return subprocess.run(
        command(config, save_dir, *flags), capture_output=True, text=True, timeout=240, env=environment(**more)
    )
