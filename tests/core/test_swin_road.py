"""SwinUNet from PaddleSeg3D's configuration through training, evaluation, export and deployment."""

from __future__ import annotations

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
from medicalseg.inference import EagerNetwork, SliceWise
from medicalseg.inference.static_network import RuntimeOptions, StaticNetwork
from medicalseg.io import read_volume
from medicalseg.models import SwinUNet
from tests.datasets.prepare.synapse_miniature import write_synapse

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "configs" / "synapse" / "swinunet_abdomen_224_224_1_14k_5e-2.yml"
TIPC = ROOT / "test_tipc" / "configs" / "swinunet"
RESIZE = [{"type": "Resize3D", "size": [1, 32, 32]}]
SIZE = {"img_size": 32, "patch_size": 2, "embed_dim": 6, "num_heads": [1, 2], "window_size": 4}


def run(*command: object) -> None:
    assert main([str(part) for part in command]) == 0


def test_the_published_configuration() -> None:
    content = Config(CONFIG).dic
    assert (content["batch_size"], content["iters"], content["lr_scheduler"]["learning_rate"]) == (24, 14000, 0.05)
    assert content["loss"]["types"][0]["coef"] == [0.4, 0.6]
    assert content["val_dataset"]["transforms"] == [{"type": "Resize3D", "size": [1, 224, 224]}]
    with paddle.LazyGuard():
        model = build(open_untrained(CONFIG).dic["model"], "model")
    assert isinstance(model, SwinUNet)
    assert sum(int(np.prod(value.shape)) for value in model.parameters()) == 27_170_436
    assert (model.only_size, model.in_channels, model.num_classes) == ((224, 224), 3, 9)


def test_the_chain_of_tipc() -> None:
    model = build(open_untrained(TIPC / "swinunet_synapse.yml").dic["model"], "model")
    assert (model.only_size, model.num_classes) == ((64, 64), 9)
    lines = (TIPC / "train_infer_python.txt").read_text().splitlines()
    assert len(lines) == 52
    assert lines[1] == "model_name:swinunet"
    assert sum("test_tipc/configs/swinunet/swinunet_synapse.yml" in line for line in lines) == 3


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network on miniature data, trained for two steps."""
    root = tmp_path_factory.mktemp("swin")
    raw = write_synapse(root / "raw", cases=4, shape=(40, 36, 4))
    run("prepare", "abdomen", "--raw_dir", raw, "--dataset_root", root / "abdomen", "--num_workers", 0)
    backbone = {"_inherited_": False, "type": "SwinTransformer", **SIZE, "depths": [2, 2]}
    content: dict[str, Any] = {
        "_base_": str(CONFIG),
        "data_root": str(root),
        "batch_size": 2,
        "iters": 2,
        "model": {**SIZE, "depths": [2, 1], "backbone": backbone},
        "train_dataset": {"transforms": Config(CONFIG).dic["train_dataset"]["transforms"][:-1] + RESIZE},
        "val_dataset": {"transforms": RESIZE},
        "export": {"transforms": RESIZE},
    }
    (root / "small.yml").write_text(yaml.safe_dump(content))
    run("train", "--config", root / "small.yml", "--save_dir", root / "run", "--log_iters", 1, "--do_eval")
    return root


def test_evaluation_is_on_the_original_grid(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = trained / "run" / "best_model"
    run("val", "--config", trained / "small.yml", "--model_path", weights, "--save_dir", trained / "val")
    said = capsys.readouterr()
    assert "scored on the original grid" in said.out + said.err


def test_the_deployed_network_gives_the_trained_one_s_labels(trained: Path) -> None:
    weights = trained / "run" / "best_model"
    run("export", "--config", trained / "small.yml", "--model_path", weights, "--save_dir", trained / "deployed")
    deploy = trained / "deployed" / "deploy.yaml"
    described = yaml.safe_load(deploy.read_text())["Deploy"]
    assert described["input_shape"] == [-1, 1, 32, 32]
    assert described["inference_helper"] == {"type": "InferenceHelper2D"}
    assert all(check["accepted"] for check in described["checks"] if check["precision"] == "fp32")
    model = load_trained(open_config(trained / "small.yml", weights), weights)
    path = trained / "raw" / "RawData" / "Training" / "img" / "img0004.nii.gz"
    network = StaticNetwork(deploy, RuntimeOptions(backend="paddle"))
    image, record = network.task.preprocessing.apply(read_volume(path))
    assert network.task.slices is not None
    for batch in (4, 3):
        slices = SliceWise(network.task.slices, batch=batch)
        labels = slices.labels(network, image)
        assert (labels == slices.labels(EagerNetwork(model), image)).mean() > 0.999
    infer = ("infer", "--config", deploy, "--image_path", path, "--save_dir", trained / "out", "--device", "cpu")
    run(*infer, "--enable_mkldnn", True)
    written = read_volume(trained / "out" / "img0004.nii.gz")
    np.testing.assert_array_equal(written.array, network.task.restore(labels, record).array)
    np.testing.assert_allclose(written.affine, read_volume(path).affine, atol=1e-5)
