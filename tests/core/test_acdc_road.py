"""ACDC and nnFormer through training, evaluation, export and deployment, from PaddleSeg3D's configuration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest
import yaml

from medicalseg.cli import main
from medicalseg.core.trained import load_trained, open_config, open_untrained
from medicalseg.cvlibs import Config
from medicalseg.cvlibs.components import build
from medicalseg.datasets import ACDC
from medicalseg.inference.static_network import RuntimeOptions, StaticNetwork
from medicalseg.io import read_volume
from medicalseg.models import nnFormer
from tests.datasets.prepare.acdc_miniature import write_acdc

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "configs" / "acdc" / "nnformer_acdc_160_160_14_250k.yml"
TIPC = ROOT / "test_tipc" / "configs" / "nnformer" / "nnformer_acdc_mini.yml"


def test_the_published_configuration() -> None:
    content = Config(CONFIG).dic
    assert (content["batch_size"], content["iters"], content["lr_scheduler"]["learning_rate"]) == (4, 250000, 0.0004)
    assert len(content["train_dataset"]["transforms"]) == 10
    with paddle.LazyGuard():
        model = build(open_untrained(CONFIG).dic["model"], "model")
    assert isinstance(model, nnFormer)
    assert sum(int(np.prod(value.shape)) for value in model.parameters()) == 37_197_072
    assert (model.only_size, model.in_channels, len(model.heads)) == ((14, 160, 160), 1, 3)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published configuration with the TIPC chain's network and crop, and miniature data, trained for two steps."""
    root = tmp_path_factory.mktemp("acdc_road")
    raw = write_acdc(root / "raw", patients=2)
    prepare = ["prepare", "acdc", "--raw_dir", raw, "--dataset_root", root / "acdc", "--num_workers", 0]
    assert main([str(part) for part in prepare]) == 0
    mini = Config(TIPC).dic
    published = Config(CONFIG).dic["train_dataset"]["transforms"]
    crop = [{"type": "RandomPaddingCrop", "crop_size": [6, 32, 32]}]
    data = {"dataset_root": "acdc/ACDCDataset_phase0"}
    content = {
        "_base_": str(CONFIG),
        "data_root": str(root),
        "batch_size": 2,
        "iters": 2,
        "model": {**mini["model"], "depths": [2, 1, 1, 1]},
        "train_dataset": {
            **data,
            "epoch_batches": 4,
            "transforms": published[:-1] + crop,
        },
        "val_dataset": data,
    }
    (root / "small.yml").write_text(yaml.safe_dump(content))
    train = ["train", "--config", root / "small.yml", "--save_dir", root / "run", "--log_iters", 1, "--do_eval"]
    assert main([str(part) for part in train]) == 0
    return root


def test_evaluation_is_in_windows_and_on_the_original_grid(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = small / "run" / "best_model"
    command = ["val", "--config", small / "small.yml", "--model_path", weights, "--save_dir", small / "val"]
    assert main([str(part) for part in command]) == 0
    said = capsys.readouterr()
    assert "scored on the original grid" in said.out + said.err
    dataset = Config(small / "small.yml").val_dataset
    assert isinstance(dataset, ACDC)
    assert len({dataset.case(index).name[:10] for index in range(2)}) == 1


def test_the_deployed_network_gives_the_trained_one_s_labels(small: Path) -> None:
    weights = small / "run" / "best_model"
    command = ["export", "--config", small / "small.yml", "--model_path", weights, "--save_dir", small / "deployed"]
    assert main([str(part) for part in command]) == 0
    described = yaml.safe_load((small / "deployed" / "deploy.yaml").read_text())["Deploy"]
    assert described["input_shape"] == [-1, 1, 6, 32, 32]
    assert described["inference_helper"] == {"type": "NNFormerInferenceHelper"}
    assert described["task"]["sliding"] == {"window": [6, 32, 32], "padding": "end"}
    config = open_config(str(small / "small.yml"), str(weights))
    model = load_trained(config, str(weights))
    x = np.random.default_rng(0).standard_normal((2, 1, 6, 32, 32)).astype(np.float32)
    with paddle.no_grad():
        expected = model.inference_forward(paddle.to_tensor(x))[0].numpy()
    network = StaticNetwork(small / "deployed", RuntimeOptions(enable_mkldnn=True, cpu_threads=1))
    np.testing.assert_allclose(network.logits(x), expected, atol=1e-4)


def test_predictions_of_the_two_ways(small: Path) -> None:
    """A raw image gets the same labels from the checkpoint and from the exported model, on its own grid."""
    image = next((small / "raw").glob("database/training/patient001/*frame01.nii.gz"))
    weights = small / "run" / "best_model"
    if not (small / "deployed").exists():
        pytest.skip("the export before this test failed")
    predict = ["predict", "--config", small / "small.yml", "--model_path", weights, "--image_path", image]
    infer = ["infer", "--config", small / "deployed" / "deploy.yaml", "--image_path", image, "--device", "cpu"]
    for command, folder in ((predict, "eager"), (infer, "static")):
        assert main([*map(str, command), "--save_dir", str(small / folder)]) == 0
    eager, static = (read_volume(next((small / part).glob("*.nii.gz"))) for part in ("eager", "static"))
    assert eager.shape == static.shape == read_volume(image).shape
    assert (eager.array == static.array).mean() > 0.999
