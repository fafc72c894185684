"""A miniature of what a user of PaddleSeg3D has: prepared arrays, a configuration, raw volumes and checkpoints.

Names, keys and number types are those that PaddleSeg3D writes (raw folder beside the prepared one, validation list a
part of the training list, no original labels kept); the content is the phantom.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from medicalseg.datasets.class_tables import MRI_SPINE_SEG
from medicalseg.datasets.phantom import spine_phantom
from medicalseg.io import Volume, write_volume

SIZE = (32, 32, 12)
CASES = 5
ROOT = "data/MRSpineSeg"
PREPARED = f"{ROOT}/MRI_spine_seg_phase0_class20_big_12"
RAW = f"{ROOT}/MRI_spine_seg_raw/MRI_train/train"

CONFIG = f"""data_root: data/
batch_size: 2
iters: 15000

train_dataset:
  type: MRISpineSeg
  dataset_root: MRSpineSeg/{Path(PREPARED).name}
  result_dir: MRSpineSeg/MRI_spine_seg_phase1
  dataset_json_path: {ROOT}/MRI_spine_seg_raw/dataset.json
  transforms:
    - type: RandomRotation3D
      degrees: 30
    - type: RandomFlip3D
  mode: train
  num_classes: 20

val_dataset:
  type: MRISpineSeg
  dataset_root: MRSpineSeg/{Path(PREPARED).name}
  result_dir: MRSpineSeg/MRI_spine_seg_phase1
  dataset_json_path: {ROOT}/MRI_spine_seg_raw/dataset.json
  num_classes: 20
  transforms: []
  mode: val

optimizer:
  type: sgd
  momentum: 0.9
  weight_decay: 1.0e-4

lr_scheduler:
  type: PolynomialDecay
  decay_steps: 15000
  learning_rate: 0.1
  end_lr: 0
  power: 0.9

loss:
  types:
    - type: MixedLoss
      losses:
        - type: CrossEntropyLoss
          weight: Null
        - type: DiceLoss
      coef: [1, 1]
  coef: [1]

model:
  type: VNet
  elu: False
  in_channels: 1
  num_classes: 20
  pretrained: null
  kernel_size: [[2, 2, 4], [2, 2, 2], [2, 2, 2], [2, 2, 2]]
  stride_size: [[2, 2, 1], [2, 2, 1], [2, 2, 2], [2, 2, 2]]
"""


def make_workspace(folder: Path) -> Path:
    """Fill `folder`: `data/`, `my_vnet.yml`, `output/iter_14000`, `output/best_model`, `scans/`."""
    _write_data(folder)
    (folder / "my_vnet.yml").write_text(CONFIG, encoding="utf-8")
    _write_checkpoints(folder / "output")
    return folder


def _write_data(folder: Path) -> None:
    for name in (f"{PREPARED}/images", f"{PREPARED}/labels", f"{RAW}/MR", f"{RAW}/Mask", "scans"):
        (folder / name).mkdir(parents=True)
    lines = []
    for number in range(1, CASES + 1):
        scan = spine_phantom(number, size=SIZE)
        image, label = f"Case{number}", f"mask_case{number}"
        write_volume(Volume(scan.image, scan.affine), folder / f"{RAW}/MR/{image}.nii.gz")
        write_volume(Volume(scan.label, scan.affine), folder / f"{RAW}/Mask/{label}.nii.gz", labels=True)
        np.save(folder / f"{PREPARED}/images/{image}.npy", np.clip(scan.image / 2650, 0, 1).astype(np.float32))
        np.save(folder / f"{PREPARED}/labels/{label}.npy", scan.label.astype(np.int32))
        lines.append(f"images/{image}.npy labels/{label}.npy\n")
    scan = spine_phantom(CASES + 1, size=SIZE)
    write_volume(Volume(scan.image, scan.affine), folder / "scans/new_patient.nii.gz")
    (folder / PREPARED / "train_list.txt").write_text("".join(lines))
    (folder / PREPARED / "val_list.txt").write_text("".join(lines[-2:]))
    (folder / ROOT / "MRI_spine_seg_raw/dataset.json").write_text(json.dumps(_description(folder)))


def _description(folder: Path) -> dict[str, object]:
    shape = [[*reversed(SIZE)]]
    case = {"dim": 3, "shape": shape, "minmax_vals": ["0.0", "2650.0"], "spacing": [1.0, 1.0, 4.0]}
    case |= {"origin": [0.0, 0.0, 0.0], "direction": [1.0, 0, 0, 0, 1, 0, 0, 0, 1], "spacing_resample": [1.0, 1.0, 4.0]}
    names = [f"Case{number}" for number in range(1, CASES + 1)]
    files = {name: {"image": f"{name}.nii.gz", "label": f"mask_{name.lower()}.nii.gz"} for name in names}
    return {
        "name": "MRISpineSeg",
        "licence": "",
        "modality": {"0": "MR-T2"},
        "labels": {str(number): name for number, name in MRI_SPINE_SEG.items()},
        "training": {name: {**files[name], **case} for name in names},
        "test": {},
    }


def _write_checkpoints(output: Path) -> None:
    import paddle

    from medicalseg.models import VNet

    paddle.seed(0)
    kernels, strides = [[2, 2, 4], *[[2, 2, 2]] * 3], [[2, 2, 1], [2, 2, 1], *[[2, 2, 2]] * 2]
    model = VNet(num_classes=20, kernel_size=kernels, stride_size=strides)
    schedule = paddle.optimizer.lr.PolynomialDecay(0.1, decay_steps=15000, end_lr=0, power=0.9)
    optimizer = paddle.optimizer.Momentum(schedule, 0.9, parameters=model.parameters(), weight_decay=1e-4)
    schedule.step(14000)
    for name in ("iter_14000", "best_model"):
        (output / name).mkdir(parents=True)
        paddle.save(model.state_dict(), str(output / name / "model.pdparams"))
    paddle.save(optimizer.state_dict(), str(output / "iter_14000/model.pdopt"))
