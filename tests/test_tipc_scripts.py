"""The scripts of test_tipc: PaddleSeg3D's texts, machines without a GPU, which data are made. No network is run."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODE = "lite_train_lite_infer"
PYTHON = """#!/usr/bin/env bash
echo "$@" >> calls.txt
[ "$1" = -c ] && exit 1
[ -f "$1" ] || [ "$1" = -m ] || exit 2
exit 0
"""
TEXT = """params
model_name:VNet
python:python3
gpu_list:{gpus}
Global.use_gpu:null|null
--precision:fp32
--iters:lite_train_lite_infer=20|whole_train_whole_infer=500
--save_dir:./test_tipc/output/vnet/
--batch_size:lite_train_lite_infer=2|whole_train_whole_infer=4
--model_path:null
train_model_name:best_model/model.pdparams
train_infer_img_dir:./test_tipc/data/{data}/images
null:null
##
trainer:norm_train
norm_train:./train.py --config mine.yml --do_eval
pact_train:null
fpgm_train:null
distill_train:null
null:null
null:null
##
params
eval:./PaddleSeg/contrib/MedicalSeg/test.py --config mine.yml
null:null
##
params
--save_dir:
--model_path:
norm_export:./export.py --config mine.yml --without_argmax
quant_export:null
fpgm_export:null
distill_export:null
export1:null
export2:null
params
infer_model:
infer_export:./export.py --config mine.yml --without_argmax
infer_quant:False
inference:./infer.py --use_swl False
--device:gpu
--enable_mkldnn:False
--cpu_threads:1
--batch_size:1
--use_trt:False
--precision:fp32
--config:
--image_path:test_tipc/data/{data}/images
--save_log_path:null
--benchmark:True
--save_dir:
--model_name:vnet
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A checkout of scripts that do nothing, with a python that notes its arguments."""
    (tmp_path / "test_tipc").mkdir()
    for script in (ROOT / "test_tipc").glob("*.sh"):
        shutil.copy(script, tmp_path / "test_tipc")
    names = ("tools/train.py", "tools/val.py", "tools/export.py", "deploy/python/infer.py", "bin/python3")
    for name in (*names, "tools/prepare_lung_coronavirus.py", "tools/prepare_acdc.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(PYTHON)
    (tmp_path / "bin" / "python3").chmod(0o755)
    (tmp_path / "bin" / "python").symlink_to("python3")
    (tmp_path / "mine.yml").write_text("data_root: data\n")
    return tmp_path


def run(place: Path, script: str, *, gpus: str = "-1", data: str = "mini") -> subprocess.CompletedProcess[str]:
    (place / "text.txt").write_text(TEXT.format(gpus=gpus, data=data))
    command = ["bash", f"test_tipc/{script}.sh", "text.txt", MODE]
    variables = {**os.environ, "PATH": f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(command, cwd=place, env=variables, capture_output=True, text=True, check=False)


def calls(place: Path) -> list[str]:
    return (place / "calls.txt").read_text().splitlines()


def results(place: Path) -> str:
    return (place / "test_tipc" / "output" / "VNet" / MODE / "results_python.log").read_text()


def test_scripts_that_lay_in_the_root_are_run_where_they_are(place: Path) -> None:
    weights = place / f"test_tipc/output/VNet/{MODE}/norm_train_gpus_-1_autocast_fp32_nodes_1/best_model"
    (place / "tools" / "train.py").write_text("")
    done = run(place, "test_train_inference_python")
    assert done.returncode == 0, done.stdout + done.stderr
    train, val, export, infer = calls(place)
    assert train.startswith("tools/train.py --config mine.yml --do_eval --precision fp32 --iters 20")
    assert val.startswith("tools/val.py --split test --config mine.yml --model_path ")
    assert export.startswith("tools/export.py --config mine.yml --without_argmax --model_path ")
    assert infer.startswith("deploy/python/infer.py --use_swl False --device cpu")
    assert str(weights.relative_to(place)).rpartition("/")[0] in export
    for notes in (done.stdout, results(place)):
        assert notes.count("there is no ./export.py; tools/export.py is run in its place") == 1
        assert "test.py; tools/val.py --split test is run in its place" in notes
    assert results(place).count("Run successfully") == 4


def test_a_script_that_is_there_or_nowhere_stays(place: Path) -> None:
    (place / "train.py").write_text("")
    (place / "tools" / "export.py").unlink()
    done = run(place, "test_train_inference_python")
    assert done.returncode == 1
    assert calls(place)[0].startswith("./train.py --config")
    assert "Run failed with command - VNet - python3 ./export.py" in results(place)


def test_a_list_of_gpus_on_a_machine_without(place: Path) -> None:
    done = run(place, "test_train_inference_python", gpus="0|0,1")
    assert done.returncode == 1
    for gpus in ("0", "0,1"):
        assert f"skipped: gpus {gpus}, Paddle sees none here; to run on the CPU write gpu_list:-1 into text.txt" in (
            done.stdout
        )
    assert "error: nothing was run" in done.stderr
    assert all(call.startswith("-c ") for call in calls(place))


@pytest.mark.parametrize(("data", "made"), [("mini_lung_coronavirus", "lung_coronavirus"), ("mini_acdc", "acdc")])
def test_the_data_that_the_text_names_are_made(place: Path, data: str, made: str) -> None:
    raw = {"mini_lung_coronavirus": "20_ncov_scan", "mini_acdc": "images"}[data]
    (place / "test_tipc" / "data" / data / "raw" / raw).mkdir(parents=True)
    done = run(place, "prepare", data=data)
    assert done.returncode == 0, done.stderr
    assert calls(place)[-1].startswith(f"tools/prepare_{made}.py --raw_dir test_tipc/data/{data}/raw")
    assert (place / "test_tipc" / "data" / data / "images").resolve().name == raw


def test_the_configuration_may_name_the_data(place: Path) -> None:
    (place / "mine.yml").write_text("train_dataset: {dataset_root: mini_acdc/preprocessed}\n")
    (place / "test_tipc" / "data" / "mini_acdc" / "raw" / "images").mkdir(parents=True)
    assert run(place, "prepare", data="other").returncode == 0
    assert calls(place)[-1].startswith("tools/prepare_acdc.py")


def test_other_data_are_not_made(place: Path) -> None:
    done = run(place, "prepare", data="other")
    assert done.returncode == 2
    assert "text.txt and its --config name none of the data that are generated here" in done.stderr
    assert not (place / "calls.txt").exists()
