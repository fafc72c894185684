"""Abdomen and TransUNet through training, evaluation, export and deployment, from PaddleSeg3D's configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import yaml

from medicalseg.cli import main
from medicalseg.core.trained import load_trained, open_config, open_untrained
from medicalseg.cvlibs import Config
from medicalseg.cvlibs.components import build
from medicalseg.datasets import Abdomen
from medicalseg.inference import EagerNetwork, SliceWise
from medicalseg.inference.static_network import RuntimeOptions, StaticNetwork
from medicalseg.io import read_volume
from medicalseg.models import TransUNet
from tests.datasets.prepare.synapse_miniature import write_synapse

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "configs" / "synapse" / "transunet_abdomen_224_224_1_14k_1e-2.yml"
TIPC = ROOT / "test_tipc" / "configs" / "transunet" / "transunet_synapse.yml"
SHAPE = (40, 36, 4)
SIZE = {"img_size": 32, "patches_grid": [2, 2], "hidden_size": 24, "mlp_dim": 16, "num_heads": 2, "num_layers": 1}
RESIZE = [{"type": "Resize3D", "size": [1, 32, 32]}]


def test_the_published_configuration() -> None:
    content = Config(CONFIG).dic
    assert (content["batch_size"], content["iters"], content["lr_scheduler"]["learning_rate"]) == (24, 13950, 0.01)
    assert [step["type"] for step in content["train_dataset"]["transforms"]] == [
        "RandomFlip3D", "RandomQuarterTurn3D", "RandomRotation3D", "Resize3D",
    ]  # fmt: skip
    with paddle.LazyGuard():
        model = build(open_untrained(CONFIG).dic["model"], "model")
    assert isinstance(model, TransUNet)
    assert sum(int(np.prod(value.shape)) for value in model.state_dict().values()) == 105_279_961
    assert (model.only_size, model.in_channels) == ((224, 224), 3)


def test_the_small_configuration_of_the_tipc_chain() -> None:
    model = build(open_untrained(TIPC).dic["model"], "model")
    assert (model.only_size, model.num_classes) == ((64, 64), 9)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published configuration with a small network, and miniature data, trained for two steps."""
    root = tmp_path_factory.mktemp("synapse")
    raw = write_synapse(root / "raw", cases=4, shape=SHAPE)
    prepare = ["prepare", "abdomen", "--raw_dir", raw, "--dataset_root", root / "abdomen", "--num_workers", 0]
    assert main([str(part) for part in prepare]) == 0
    transforms = Config(CONFIG).dic["train_dataset"]["transforms"][:-1] + RESIZE
    content: dict[str, Any] = {
        "_base_": str(CONFIG),
        "data_root": str(root),
        "batch_size": 2,
        "iters": 2,
        "model": {**SIZE, "pretrained_path": None, "backbone": {"block_units": [1, 1, 1]}},
        "train_dataset": {"transforms": transforms},
        "val_dataset": {"transforms": RESIZE},
        "test_dataset": {"transforms": RESIZE},
        "export": {"transforms": RESIZE},
    }
    (root / "small.yml").write_text(yaml.safe_dump(content))
    train = ["train", "--config", root / "small.yml", "--save_dir", root / "run", "--log_iters", 1, "--do_eval"]
    assert main([str(part) for part in train]) == 0
    return root


def test_evaluation_is_on_the_original_grid(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = small / "run" / "best_model"
    command = ["val", "--config", small / "small.yml", "--model_path", weights, "--save_dir", small / "val"]
    assert main([str(part) for part in command]) == 0
    said = capsys.readouterr()
    assert "scored on the original grid" in said.out + said.err
    dataset = Config(small / "small.yml").val_dataset
    assert isinstance(dataset, Abdomen)
    assert [dataset.case(index).name for index in range(2)] == ["img0003", "img0004"]
    assert main([str(part) for part in [*command[:-1], small / "test", "--split", "test"]]) == 0
    scores = [json.loads((small / name / "metrics.json").read_text())["classes"] for name in ("val", "test")]
    assert scores[0] == scores[1]


def test_the_deployed_network_gives_the_trained_one_s_labels(small: Path) -> None:
    weights = small / "run" / "best_model"
    command = ["export", "--config", small / "small.yml", "--model_path", weights, "--save_dir", small / "deployed"]
    assert main([str(part) for part in command]) == 0
    described = yaml.safe_load((small / "deployed" / "deploy.yaml").read_text())["Deploy"]
    assert described["input_shape"] == [-1, 1, 32, 32]
    assert described["inference_helper"] == {"type": "InferenceHelper2D"}
    assert all(check["accepted"] for check in described["checks"] if check["precision"] == "fp32")
    model = load_trained(open_config(small / "small.yml", weights), weights)
    network = StaticNetwork(small / "deployed" / "deploy.yaml", RuntimeOptions(backend="paddle"))
    path = small / "raw" / "RawData" / "Training" / "img" / "img0004.nii.gz"
    image, record = network.task.preprocessing.apply(read_volume(path))
    assert image.shape == (1, 4, 32, 32)
    assert network.task.slices is not None
    slices = SliceWise(network.task.slices)
    expected = slices.labels(EagerNetwork(model), image)
    for _ in range(2):
        labels = slices.labels(network, image)
        assert (labels == expected).mean() > 0.999
    infer = ["infer", "--config", small / "deployed" / "deploy.yaml", "--image_path", path, "--save_dir", small / "out"]
    assert main([*(str(part) for part in infer), "--device", "cpu"]) == 0
    written = read_volume(small / "out" / "img0004.nii.gz")
    np.testing.assert_array_equal(written.array, network.task.restore(labels, record).array)
    np.testing.assert_allclose(written.affine, read_volume(path).affine, atol=1e-5)
