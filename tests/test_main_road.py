"""The five verbs one after the other, as a user types them: prepare, train, evaluate, export, predict, infer."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medicalseg.cli import run_verb
from medicalseg.inference.static_network import StaticNetwork
from medicalseg.io import read_label, read_volume

CONFIG = """
data_root: {data}
batch_size: 2
iters: 30
train_dataset:
  type: MRISpineSeg
  dataset_root: spine/MRI_spine_seg_phase0_class20_big_12
  num_classes: 20
  transforms: [{{type: RandomFlip3D, flip_axis: [2]}}]
val_dataset:
  type: MRISpineSeg
  dataset_root: spine/MRI_spine_seg_phase0_class20_big_12
  num_classes: 20
  mode: val
  transforms: []
class_groups:
  20 classes: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]
  16 classes*: [0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15, 16, 17]
model: {{type: UNet3D, base_channels: 4, depth: 2, num_classes: 20}}
optimizer: {{type: AdamW}}
lr_scheduler: {{type: PolynomialDecay, learning_rate: 0.01}}
loss: {{types: [{{type: DiceCELoss}}], coef: [1]}}
"""


class Road:
    """A finished run of all verbs in one folder."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.folder = root, folder
        self.config = folder / "config.yml"
        self.config.write_text(CONFIG.format(data=folder / "data"))

    def run(self, script: str, *arguments: str | Path, code: int = 0) -> str:
        """Run a script from an unrelated folder; its output."""
        command = [sys.executable, str(self.root / script), *map(str, arguments)]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout + done.stderr


Infer = Callable[..., tuple[int, str]]


@pytest.fixture
def infer(road: Road, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Infer:
    """`deploy/python/infer.py` in this process: exit code and output."""

    def call(*arguments: str | Path) -> tuple[int, str]:
        monkeypatch.chdir(road.folder)
        code = run_verb("infer", list(map(str, arguments)))
        shown = capsys.readouterr()
        return code, shown.out + shown.err

    return call


@pytest.fixture(scope="module")
def road(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Road:
    made = Road(root, tmp_path_factory.mktemp("road"))
    data, weights = made.folder / "data/spine", made.folder / "run/best_model"
    made.run("tools/prepare_mri_spine_seg.py", "--phantom", 8, "--size", 32, 32, 12, "--dataset_root", data)
    made.run("tools/train.py", "--config", made.config, "--save_dir", "run", "--do_eval", "--save_interval", 15)
    made.run("tools/val.py", "--config", made.config, "--model_path", weights, "--save_dir", "val")
    made.run("tools/export.py", "--config", made.config, "--model_path", weights, "--save_dir", "export")
    split = json.loads((data / "MRI_spine_seg_phase0_class20_big_12/split.json").read_text())
    scans = data / "phantom/MRI_spine_seg_raw/MRI_train/train/MR"
    (made.folder / "val.txt").write_text("".join(f"{scans / case}.nii.gz\n" for case in split["val"]))
    common = ["--image_path", "val.txt", "--label_path", data / "MRI_spine_seg_phase0_class20_big_12/originals"]
    made.run("deploy/python/infer.py", "--config", "export/deploy.yaml", "--save_dir", "infer", *common)
    made.run("deploy/python/infer.py", "--config", "export", "--save_dir", "batch", "--batch_size", 2, *common)
    made.run("tools/predict.py", "--config", made.config, "--model_path", weights, "--save_dir", "predict", *common)
    return made


def _scores(road: Road, folder: str) -> dict:
    return json.loads((road.folder / folder / "metrics.json").read_text())


@pytest.mark.parametrize("folder", ["infer", "batch", "predict"])
def test_deployed_figures_equal_those_of_val(road: Road, folder: str) -> None:
    val, other = _scores(road, "val"), _scores(road, folder)
    assert val["grid"] == other["grid"] == "original"
    assert other["foreground_mean"]["dice"] == pytest.approx(val["foreground_mean"]["dice"], abs=5e-5)
    for group in ("20 classes", "16 classes*"):
        assert other["groups"][group]["dice"] == pytest.approx(val["groups"][group]["dice"], abs=5e-5)


def test_scores_are_those_of_the_written_label_maps(road: Road) -> None:
    with open(road.folder / "infer/metrics.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    case = rows[0]["case"]
    reference = read_label(road.folder / f"data/spine/MRI_spine_seg_phase0_class20_big_12/originals/{case}.nii.gz")
    written = read_label(road.folder / f"infer/{case}.nii.gz")
    checked = 0
    for row in (row for row in rows if row["case"] == case and row["dice"] not in ("", "n/a", "nan")):
        label = int(row["class_id"])
        ours, theirs = written.array == label, reference.array == label
        assert float(row["dice"]) == pytest.approx(2 * (ours & theirs).sum() / (ours.sum() + theirs.sum()), abs=1e-4)
        checked += 1
    assert checked > 10


def test_label_maps_lie_on_the_grid_of_their_images(road: Road) -> None:
    scans = (road.folder / "val.txt").read_text().split()
    for scan in map(Path, scans):
        image, labels = read_volume(scan), read_label(road.folder / "infer" / scan.name)
        assert image.same_grid(labels)
        assert np.issubdtype(labels.array.dtype, np.integer)


def test_nothing_is_written_beside_the_input(road: Road, infer: Infer) -> None:
    scans = road.folder / "data/spine/phantom/MRI_spine_seg_raw/MRI_train/train/MR"
    assert {path.suffix for path in scans.iterdir()} == {".gz"}
    code, output = infer("--config", "export", "--image_path", scans, "--save_dir", scans)
    assert code == 2
    assert "--save_dir" in output


def test_deployment_imports_no_training_code(road: Road) -> None:
    code = (
        "import sys; from medicalseg.cli import run_verb;"
        "code = run_verb('infer', ['--config', 'export', '--image_path', 'val.txt', '--save_dir', 'again']);"
        "bad = [m for m in sys.modules if m.startswith('medicalseg.') and m.split('.')[1] in"
        " ('models', 'losses', 'datasets', 'transforms', 'optimizers', 'core.train')];"
        "print('TRAINING CODE', bad); sys.exit(code or bool(bad))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=road.folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "nowhere/deploy.yaml", "--image_path", "val.txt"], "nowhere/deploy.yaml"),
        (["--config", "export", "--image_path", "nowhere"], "nowhere"),
        (["--config", "export", "--image_path", "val.txt", "--device", "tpu"], "tpu"),
        (["--config", "export", "--image_path", "val.txt", "--batch_size", "0"], "--batch_size"),
        (["--config", "export", "--image_path", "val.txt", "--use_trt", "True", "--device", "cpu"], "--use_trt"),
        (["--config", "export", "--image_path", "val.txt", "--use_swl", "True"], "--output_op none"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(infer: Infer, arguments: list[str], message: str) -> None:
    code, output = infer(*arguments)
    assert code == 2
    errors = [line for line in output.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in output


def test_a_broken_scan_is_named_and_the_rest_goes_on(road: Road, infer: Infer) -> None:
    folder = road.folder / "mixed"
    folder.mkdir()
    good = Path((road.folder / "val.txt").read_text().split()[0])
    (folder / "good.nii.gz").write_bytes(good.read_bytes())
    (folder / "cut.nii.gz").write_bytes(good.read_bytes()[:2000])
    code, output = infer("--config", "export", "--image_path", folder, "--save_dir", "mixed_out")
    assert code == 2
    assert "cut" in output
    assert (road.folder / "mixed_out/good.nii.gz").is_file()
    assert not (road.folder / "mixed_out/cut.nii.gz").exists()


@pytest.mark.parametrize("size", [1, 2])
def test_benchmark_warms_up_with_what_it_then_runs(infer: Infer, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    shapes = []
    genuine = StaticNetwork.labels

    def recorded(self: StaticNetwork, x: np.ndarray) -> np.ndarray:
        shapes.append(x.shape)
        return genuine(self, x)

    monkeypatch.setattr(StaticNetwork, "labels", recorded)
    common = ["--image_path", "val.txt", "--save_dir", "warm", "--batch_size", size, "--benchmark"]
    code, _ = infer("--config", "export", *common)
    assert code == 0
    assert shapes[0] == shapes[1] == (size, 1, 32, 32, 12)
    assert len(shapes) == 1 + 2 // size


def test_benchmark_prints_every_stage(infer: Infer) -> None:
    code, output = infer("--config", "export", "--image_path", "val.txt", "--save_dir", "timed", "--benchmark")
    assert code == 0
    for stage in ("read", "pre", "run", "post", "write", "total"):
        assert any(line.startswith(stage) for line in output.splitlines())
