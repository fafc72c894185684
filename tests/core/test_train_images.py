"""A whole run on images: one structure, the study's loss and schedule, both rules in the report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import paddle
import pytest

from medicalseg.core.train import TrainOptions, train
from medicalseg.cvlibs import Config, manager
from medicalseg.models.base_2d import SegmentationModel2D

CONFIG = """
data_root: {data}
batch_size: 2
epochs: 4
train_dataset: &data
  type: MedicalDataset
  dataset_root: pictures
  num_classes: {structures}
  head: sigmoid
  slices: {{axis: 2}}
  mode: train
  repeat_times: 1
  transforms: []
val_dataset:
  <<: *data
  mode: val
model:
  type: TinyImageNet2D
  num_classes: {structures}
optimizer:
  type: Adam
lr_scheduler:
  type: ReduceOnPlateau
  learning_rate: 0.1
  factor: 0.5
  patience: 5
  min_lr: 1.0e-7
loss:
  types:
    - type: DiceLoss
      smooth: 1.0e-5
      squared: False
      per_image: True
  coef: [1]
test_config:
  best: loss
  overlays: 0
"""


class TinyImageNet2D(SegmentationModel2D):
    """One convolution."""

    def __init__(self, num_classes: int = 1, in_channels: int = 1) -> None:
        super().__init__(in_channels, num_classes)
        self.head = paddle.nn.Conv2D(in_channels, num_classes, 3, padding=1)

    def main_logits(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.head(x)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return [self.head(x)]


@pytest.fixture(autouse=True)
def tiny_model(monkeypatch):
    monkeypatch.setattr("medicalseg.reports.write_progress_png", lambda path, history: None)
    if "TinyImageNet2D" not in manager.MODELS:
        manager.MODELS.add_component(TinyImageNet2D)


def make_pictures(folder: Path, structures: int) -> Path:
    """Four pictures of boxes, and the configuration."""
    rng = np.random.default_rng(0)
    root = folder / "pictures"
    root.mkdir()
    lines = []
    for k in range(4):
        masks = np.zeros((structures, 12, 10, 1), np.uint8)
        for mask in masks:
            x, y = rng.integers(0, 5, 2)
            mask[x : x + 5, y : y + 4] = 1
        image = masks.sum(axis=0) + rng.normal(0, 0.2, masks.shape[1:])
        np.save(root / f"i{k}.npy", image.astype(np.float32))
        np.save(root / f"l{k}.npy", masks[0] if structures == 1 else masks)
        lines.append(f"i{k}.npy l{k}.npy\n")
    for name in ("train_list.txt", "val_list.txt"):
        (root / name).write_text("".join(lines))
    path = folder / "images.yml"
    path.write_text(CONFIG.format(data=folder, structures=structures))
    return path


@pytest.mark.parametrize("structures", [1, 2])
def test_a_run_on_images(tmp_path, structures):
    config = Config(make_pictures(tmp_path, structures))
    out = tmp_path / "out"
    state = train(
        config, TrainOptions(save_dir=str(out), device="cpu", do_eval=True, log_iters=1, save_predictions=True)
    )
    assert (state.iteration, state.saved) == (8, [2, 4, 6, 8])
    assert state.best_by == "loss"
    losses = state.history["eval_loss"]
    assert state.best_score == min(losses) < losses[0]
    metrics = json.loads((out / "eval" / "metrics.json").read_text())
    assert metrics["foreground_mean"]["n"] == structures
    assert metrics["per_image"]["images"] == 4
    assert metrics["per_image"]["dice"] == pytest.approx(metrics["foreground_mean"]["dice"], abs=1e-6)
    assert set(metrics["pooled"]) >= {"sensitivity", "specificity", "f1", "precision", "rule"}
    assert metrics["loss"] == pytest.approx(losses[-1])
    assert metrics["seconds_per_case"] > 0
