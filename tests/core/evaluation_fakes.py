"""A dataset of small volumes and a network that reads the class from the intensity."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle

from medicalseg.inference import GridRecord, Preprocessing, TaskSpec
from medicalseg.io import Volume

AFFINE = np.array([[0, 0, -3.0, 5], [-1.0, 0, 0, 7], [0, -1.5, 0, -9], [0, 0, 0, 1]])
TASK = TaskSpec(
    num_classes=4,
    labels={0: "background", 1: "S", 2: "L5", 3: "T9"},
    class_groups={"4 classes": (0, 1, 2, 3), "3 classes*": (0, 1, 2)},
    preprocessing=Preprocessing(orientation="LPS", size=(8, 10, 6), image_order=0),
    notes=("made up",),
)


def blocks(shift: int = 0, shape: tuple[int, int, int] = (9, 12, 7)) -> np.ndarray:
    """Labels 1 and 2 as boxes, moved along the second axis."""
    labels = np.zeros(shape, np.int32)
    labels[2:6, 1 + shift : 5 + shift, 1:5] = 1
    labels[2:6, 6 + shift : 9 + shift, 2:6] = 2
    return labels


class Oracle(paddle.nn.Layer):
    """Logit of class k is largest where the intensity is nearest to k; one weight so that there is a parameter."""

    num_classes = 4

    def __init__(self) -> None:
        super().__init__()
        self.scale = self.create_parameter([1], default_initializer=paddle.nn.initializer.Constant(10.0))

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        classes = paddle.arange(self.num_classes, dtype="float32").reshape([1, -1, 1, 1, 1])
        logits = -self.scale * (x[:, :1] - classes) ** 2
        return [logits, -logits]


class FakeDataset:
    """Case i's image shows its labels moved by i voxels, so case 0 is perfect and later ones are worse."""

    def __init__(
        self, count: int = 3, task: TaskSpec = TASK, originals: bool = True, labelled: tuple[int, ...] | None = None
    ) -> None:
        self.task = task
        self.num_classes = task.num_classes
        self.ignore_index = task.ignore_index
        self.cases = [f"case_{index}" for index in range(count)]
        self.originals = originals
        self.labelled = range(count) if labelled is None else labelled
        self.reads: list[int] = []

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray, str]:
        self.reads.append(index)
        shown = Volume(blocks(index).astype(np.float32), AFFINE)
        image, _ = self.task.preprocessing.apply(shown)
        label = self.task.preprocessing.apply_label(Volume(blocks(), AFFINE)).astype(np.int64)
        return np.rint(image), label, self.cases[index]

    def has_label(self, index: int) -> bool:
        return index in self.labelled

    def reference(self, index: int) -> Volume | None:
        return Volume(blocks(), AFFINE) if self.originals else None

    def record(self, index: int) -> GridRecord | None:
        return self.task.preprocessing.grid(Volume(blocks(), AFFINE)) if self.originals else None

    def to_original(self, labels: np.ndarray, index: int) -> Volume | None:
        record: Any = self.record(index)
        return None if record is None else self.task.preprocessing.restore(labels, record)
