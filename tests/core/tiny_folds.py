"""A dataset of folds that trains in seconds: four volumes of 16 x 16 x 16 in nnU-Net's layout, two folds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from medicalseg.io import Volume, write_volume

CONFIG = """
data_root: {root}
batch_size: 2
iters: 4
train_dataset: &data
  type: PatchDataset
  dataset_root: cubes
  mode: train
  fold: 0
  cache_dir: {root}/cache
  preprocess: {{spacing: [1.0, 1.0, 1.0], intensity: [{{type: zscore}}]}}
  normalize: none
  patch_size: [8, 8, 8]
  foreground: 0.5
  sliding: {{window: [8, 8, 8], overlap: 0.5}}
  restoring: scores
  repeat_times: 2
  transforms: [{{type: NnUNetAugmentation, mirror_axes: [0]}}]
val_dataset:
  <<: *data
  mode: val
  transforms: []
model: {{type: UNet3D, in_channels: 1, num_classes: 2, base_channels: 4, depth: 2}}
optimizer: {{type: AdamW}}
lr_scheduler: {{type: PolynomialDecay, learning_rate: 0.02}}
loss: {{types: [{{type: DiceCELoss}}], coef: [1]}}
"""


def make_cubes(folder: Path, cases: int = 4) -> Path:
    """Data under `folder/cubes` and a configuration; returns the configuration's path."""
    root = folder / "cubes"
    for name in ("imagesTr", "labelsTr"):
        (root / name).mkdir(parents=True)
    rng = np.random.default_rng(5)
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    for number in range(cases):
        label = np.zeros((16, 16, 16), np.uint8)
        x, y, z = rng.integers(2, 8, 3)
        label[x : x + 6, y : y + 6, z : z + 6] = 1
        image = (200.0 * label + rng.normal(0, 20, label.shape)).astype(np.float32)
        write_volume(Volume(image, affine), root / "imagesTr" / f"c{number}_0000.nii.gz")
        write_volume(Volume(label, affine), root / "labelsTr" / f"c{number}.nii.gz", labels=True)
    description = {
        "channel_names": {"0": "MR"},
        "labels": {"background": 0, "cube": 1},
        "numTraining": cases,
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(description))
    names = [f"c{number}" for number in range(cases)]
    half = [names[: cases // 2], names[cases // 2 :]]
    splits = [{"train": half[1 - fold], "val": half[fold]} for fold in (0, 1)]
    (root / "splits_final.json").write_text(json.dumps(splits))
    path = folder / "cubes.yml"
    path.write_text(CONFIG.format(root=folder))
    return path
