"""A miniature of the Decathlon's Task01_BrainTumour: folders, names, contrasts and orientation, but no patients.

`python -m tests.datasets.prepare.brain_miniature FOLDER CASES` writes one of 36 x 40 x 20, as the TIPC chain uses.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from medicalseg.io import Volume, write_volume

SHAPE = (10, 9, 6)
CONTRASTS = ("FLAIR", "T1w", "t1gd", "T2w")


def write_brain(folder: Path, cases: int = 6, shape: tuple[int, int, int] = SHAPE) -> Path:
    """Write `Task01_BrainTumour/{imagesTr,labelsTr,dataset.json}` below `folder`; returns the task's folder.

    Images are (240, 240, 155, 4) in the original, stored along RAS with the origin 0; 0 outside of the head.
    """
    task = folder / "Task01_BrainTumour"
    entries = []
    for number in range(1, cases + 1):
        name = f"BRATS_{number:03d}.nii.gz"
        image, label = _case(shape, number)
        for part, array in (("imagesTr", image), ("labelsTr", label)):
            (task / part).mkdir(parents=True, exist_ok=True)
            meta = {"labels": True} if part == "labelsTr" else {}
            write_volume(Volume(array, np.eye(4), meta=meta), task / part / name)
        entries.append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
    content = {
        "name": "BRATS",
        "modality": {str(index): name for index, name in enumerate(CONTRASTS)},
        "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
        "training": entries,
        "test": [],
    }
    (task / "dataset.json").write_text(json.dumps(content))
    return task


def _case(shape: tuple[int, int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A tumour of nested boxes somewhere in a head."""
    generator = np.random.default_rng(seed)
    label = np.zeros(shape, np.uint8)
    low = [int(generator.integers(1, size // 3)) for size in shape]
    for number, part in ((1, 2), (2, 3), (3, 5)):
        box = (slice(start, start + max(1, size // part)) for start, size in zip(low, shape, strict=True))
        label[tuple(box)] = number
    image = generator.uniform(100, 200, (4, *shape)) + label * generator.uniform(100, 300, (4, 1, 1, 1))
    image[:, 0], image[:, -1] = 0, 0
    return image.round().astype(np.float32), label


if __name__ == "__main__":
    write_brain(Path(sys.argv[1]), cases=int(sys.argv[2]), shape=(36, 40, 20))
