"""`medicalseg model-info`: figures, sizes from the file, flags, errors; no data on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medicalseg.cli import run_verb

MODEL = (
    "model: {type: UNet3D, in_channels: 1, num_classes: 3, base_channels: 4, depth: 2, pretrained: absent.pdparams}\n"
)


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> str:
        file = tmp_path / "net.yml"
        file.write_text(text, encoding="utf-8")
        return str(file)

    return write


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    code = run_verb("model-info", list(arguments))
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_figures_and_file(write, capsys, tmp_path):
    code, out, _ = run(capsys, write(MODEL), "--input_shape", "8", "8", "8", "--json", str(tmp_path / "info.json"))
    content = json.loads((tmp_path / "info.json").read_text())
    assert code == 0
    assert f"MACs         {content['macs'] / 1e9:.4f} G ({content['macs']:,}; plain): convolution" in out
    assert f"{content['trainable']:,} trainable, {content['total']:,} with running statistics" in out
    assert content["input_shape"] == [1, 1, 8, 8, 8]
    assert len(content["layers"]) > out.count("\n")


def test_size_comes_from_the_file(write, capsys):
    root = Path(__file__).resolve().parents[2]
    code, out, _ = run(capsys, str(root / "configs/hippocampus/unet3d.yml"), "--depth", "0")
    assert code == 0
    assert "input 1 x 1 x 48 x 64 x 48, as evaluated" in out
    assert "size from    val_dataset.preprocess.size" in out
    code, out, _ = run(capsys, write(MODEL), "--depth", "0")
    assert "input 1 x 1 x 32 x 32 x 32" in out
    assert "smallest" in out


def test_modes_and_phases(write, capsys):
    def macs(*flags):
        code, out, _ = run(capsys, write(MODEL), "--input_shape", "8", "8", "8", "--depth", "0", *flags)
        assert code == 0
        return next(line for line in out.splitlines() if line.startswith("MACs"))

    assert "plain" in macs()
    assert "torchprofile" in macs("--mode", "torchprofile")
    assert macs("--mode", "torchprofile") == macs("--mode", "torchprofile", "--phase", "eval")


def test_network_of_images(write, capsys):
    text = "model: {type: SegFormer_B0, in_channels: 3, num_classes: 2}\n"
    code, out, _ = run(capsys, write(text), "--input_shape", "40", "64", "--depth", "1")
    assert code == 0
    assert "SegFormer_B0, input 1 x 3 x 40 x 64" in out
    assert "linear_pred" in out


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--input_shape", "8", "8"), "needs X Y Z, or N C X Y Z"),
        (("--input_shape", "7", "8", "8"), "8"),
        (("--input_shape", "1", "2", "8", "8", "8"), "in_channels 1"),
        (("--depth", "-1"), "--depth"),
        (("--opts", "model.type=NoNet"), "NoNet"),
    ],
)
def test_bad_input(write, capsys, flags, reason):
    code, _, err = run(capsys, write(MODEL), *flags)
    assert code == 2
    assert reason in err
    assert len(err.splitlines()) == 1


def test_no_model_in_the_file(write, capsys):
    code, _, err = run(capsys, write("iters: 3\n"))
    assert code == 2
    assert "model" in err
