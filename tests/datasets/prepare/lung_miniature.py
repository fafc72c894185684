"""A miniature of the Decathlon's Task06_Lung: folders, names, Hounsfield units and orientation, but no patients.

`python -m tests.datasets.prepare.lung_miniature FOLDER CASES` writes one of 28 x 24 x 18, as the TIPC chain uses.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from medicalseg.io import Volume, write_volume

SHAPE = (14, 12, 9)
AFFINE = np.diag([-0.8, 0.8, 1.25, 1.0])


def write_lung(folder: Path, cases: int = 5, shape: tuple[int, int, int] = SHAPE) -> Path:
    """Write `Task06_Lung/{imagesTr,labelsTr,dataset.json}` below `folder`; returns the task's folder.

    Noise of air with a ball of tissue, the tumour.
    """
    task = folder / "Task06_Lung"
    entries = []
    for number in range(1, cases + 1):
        name = f"lung_{number:03d}.nii.gz"
        image, label = _case(shape, number)
        for part, array in (("imagesTr", image), ("labelsTr", label)):
            meta = {"labels": True} if part == "labelsTr" else {}
            write_volume(Volume(array, AFFINE, meta=meta), task / part / name)
        entries.append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
    content = {
        "name": "Lung",
        "modality": {"0": "CT"},
        "labels": {"0": "background", "1": "cancer"},
        "training": entries,
        "test": [],
    }
    (task / "dataset.json").write_text(json.dumps(content))
    return task


def _case(shape: tuple[int, int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    radius = min(shape) / 3
    centre = generator.uniform(radius, np.array(shape) - radius)
    distance = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1) - centre
    label = ((distance**2).sum(-1) < radius**2).astype(np.uint8)
    return np.rint(generator.normal(-700, 60, shape) + 720.0 * label).astype(np.int16), label


if __name__ == "__main__":
    write_lung(Path(sys.argv[1]), int(sys.argv[2]), (28, 24, 18))
