"""The ten printed figures of the study (parameters, G multiply-accumulates at 1 x 1 x 640 x 640), and its formulas."""

from __future__ import annotations

import json

import pytest

import medicalseg.models  # noqa: F401 (registers the networks)
from medicalseg.complexity import inspect_model
from medicalseg.cvlibs import manager
from tests.complexity.formulas import segformer, simple_segnext
from tests.conftest import SHARED

LARGE = ((64, 128, 320, 512),)
STUDY = {
    "SegFormer_B0": (3_711_265, "13.1552", 13_155_174_400, 13_150_464_000),
    "SegFormer_B1": (13_671_233, "25.7578", 25_757_849_600, 25_748_428_800),
    "SegFormer_B2": (27_341_121, "98.3070", 98_306_995_200, 98_286_515_200),
    "SegFormer_B3": (47_216_961, "126.2161", 126_216_115_200, 126_183_347_200),
    "SegFormer_B4": (63_987_521, "154.6397", 154_639_744_000, 154_591_206_400),
    "SegFormer_B5": (84_587_841, "181.1287", 181_128_729_600, 181_070_156_800),
    "SimpleSegNeXt_T": (4_804_481, "16.5449", 16_544_937_986, 16_545_003_522),
    "SimpleSegNeXt_S": (14_595_585, "31.7697", 31_769_718_786, 31_769_784_322),
    "SimpleSegNeXt_B": (27_554_817, "53.2278", 53_227_843_586, 53_227_909_122),
    "SimpleSegNeXt_L": (46_177_025, "87.3279", 87_327_862_786, 87_327_928_322),
}
SIZES = {
    "SegFormer_B0": (segformer, (32, 64, 160, 256), (2, 2, 2, 2), 256),
    "SegFormer_B1": (segformer, *LARGE, (2, 2, 2, 2), 256),
    "SegFormer_B2": (segformer, *LARGE, (3, 4, 6, 3), 768),
    "SegFormer_B3": (segformer, *LARGE, (3, 4, 18, 3), 768),
    "SegFormer_B4": (segformer, *LARGE, (3, 8, 27, 3), 768),
    "SegFormer_B5": (segformer, *LARGE, (3, 6, 40, 3), 768),
    "SimpleSegNeXt_T": (simple_segnext, (32, 64, 160, 256), (3, 3, 5, 2), 256),
    "SimpleSegNeXt_S": (simple_segnext, *LARGE, (2, 2, 4, 2), 256),
    "SimpleSegNeXt_B": (simple_segnext, *LARGE, (3, 3, 12, 3), 512),
    "SimpleSegNeXt_L": (simple_segnext, *LARGE, (3, 5, 27, 3), 1024),
}
OPERATORS = {
    "convolution": ("_convolution",),
    "linear": ("linear",),
    "matmul": ("matmul", "bmm"),
    "layer_norm": ("layer_norm",),
    "batch_norm": ("batch_norm",),
    "bilinear upsampling": ("upsample_bilinear2d",),
    "multiplication": ("mul",),
}


def build(name: str):
    return manager.MODELS[name](in_channels=1, num_classes=1)


@pytest.mark.parametrize("name", STUDY)
def test_the_formula_gives_the_printed_figure(name):
    _, printed, train, evaluation = STUDY[name]
    formula, *arguments = SIZES[name]
    assert formula(640, *arguments, training=True) == train
    assert formula(640, *arguments, training=False) == evaluation
    assert f"{train / 1e9:.4f}" == printed


@pytest.mark.parametrize("name", ["SegFormer_B0", "SimpleSegNeXt_T"])
def test_small_images_give_the_formula(name):
    formula, *arguments = SIZES[name]
    network = build(name)
    for training in (True, False):
        info = inspect_model(network, (1, 1, 64, 64), "torchprofile", training)
        assert info.macs == formula(64, *arguments, training=training)
    assert info.trainable == STUDY[name][0]


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDY)
def test_printed_figures(name):
    parameters, printed, train, evaluation = STUDY[name]
    network = build(name)
    info = inspect_model(network, (1, 1, 640, 640), "torchprofile")
    assert (info.trainable, info.macs) == (parameters, train)
    assert f"{info.macs / 1e9:.4f}" == printed
    assert inspect_model(network, (1, 1, 640, 640), "torchprofile", training=False).macs == evaluation
    _check_operators(name, info.operators)


def _check_operators(name, operators):
    file = SHARED / "seed_numbers.json"
    if not file.is_file():
        pytest.skip(f"no split by operator: {file} does not exist")
    entry = json.loads(file.read_text(encoding="utf-8"))[name.removeprefix("Simple").replace("_", "-")]
    expected = {mine: sum(entry["ops"].get(key, 0) for key in theirs) for mine, theirs in OPERATORS.items()}
    assert {mine: operators.get(mine, 0) for mine in OPERATORS} == expected
    assert sum(expected.values()) == entry["macs_exact_train"]
