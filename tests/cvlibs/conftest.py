"""A small run made of toy components, so these tests need no data and no real network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import paddle
import pytest
import yaml

from medicalseg.cvlibs import manager
from medicalseg.errors import UserError

RUN = {
    "data_root": "data/",
    "batch_size": 3,
    "iters": 15000,
    "train_dataset": {
        "type": "ToyData",
        "dataset_root": "toy/phase0",
        "result_dir": "toy/phase1",
        "num_classes": 4,
        "mode": "train",
        "transforms": [{"type": "ToyRotation", "degrees": 30}, {"type": "ToyFlip"}],
    },
    "val_dataset": {"type": "ToyData", "dataset_root": "toy/phase0", "num_classes": 4, "transforms": []},
    "model": {"type": "ToyNet", "width": 2},
    "optimizer": {"type": "sgd", "momentum": 0.9, "weight_decay": 1.0e-4},
    "lr_scheduler": {"type": "PolynomialDecay", "learning_rate": 0.1, "decay_steps": 15000, "end_lr": 0, "power": 0.9},
    "loss": {
        "types": [
            {
                "type": "ToyMixed",
                "losses": [{"type": "ToyEntropy", "weight": None}, {"type": "ToyDice"}],
                "coef": [1, 1],
            }
        ],
        "coef": [1],
    },
}


class ToyData:
    """Remembers its arguments."""

    built = 0

    def __init__(self, dataset_root, transforms, num_classes=None, mode="train", ignore_index=255):
        type(self).built += 1
        self.dataset_root, self.transforms, self.mode = dataset_root, transforms, mode
        self.num_classes = num_classes or 7
        self.ignore_index = ignore_index


class ToyCounted(ToyData):
    """A dataset whose class says how many classes there are."""

    NUM_CLASSES = 9


class ToyRotation:
    """One required argument, and a limit."""

    def __init__(self, degrees, rotate_planes=None):
        if degrees > 360:
            raise UserError("degrees must not be above 360")
        self.degrees = degrees


class ToyFlip:
    """Optional argument only."""

    def __init__(self, prob=0.5):
        self.prob = prob


class ToyNet(paddle.nn.Layer):
    """One layer per name."""

    def __init__(self, num_classes=2, width=2, backbone=None):
        super().__init__()
        self.backbone = backbone
        self.num_classes = num_classes
        self.body = paddle.nn.Linear(width, width)
        self.head = paddle.nn.Linear(width, num_classes)


class ToyBackbone:
    """Takes any argument."""

    def __init__(self, **kwargs):
        self.kwargs = kwargs


class ToyEntropy:
    """A loss with ignore_index."""

    def __init__(self, weight=None, ignore_index=255):
        self.weight, self.ignore_index = weight, ignore_index


class ToyDice:
    """A loss without ignore_index."""

    def __init__(self, sigmoid_norm=True):
        self.sigmoid_norm = sigmoid_norm


class ToyMixed:
    """A loss made of losses."""

    def __init__(self, losses, coef):
        self.losses, self.coef = losses, coef


@pytest.fixture(autouse=True)
def toy_components(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEDICALSEG_DATA_ROOT", raising=False)
    ToyData.built = 0
    for registry, components in (
        (manager.MODELS, [ToyNet]),
        (manager.BACKBONES, [ToyBackbone]),
        (manager.DATASETS, [ToyData, ToyCounted]),
        (manager.TRANSFORMS, [ToyRotation, ToyFlip]),
        (manager.LOSSES, [ToyEntropy, ToyDice, ToyMixed]),
    ):
        for component in components:
            monkeypatch.setitem(registry.components_dict, component.__name__, component)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a mapping or YAML text to a file in a temporary folder."""

    def write(content: object, name: str = "run.yml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
        return path

    return write


@pytest.fixture
def run() -> dict:
    """A complete configuration, free to change."""
    return yaml.safe_load(yaml.safe_dump(RUN))
