"""Building components by `type`."""

from __future__ import annotations

import copy

import pytest

from medicalseg.cvlibs import build
from medicalseg.cvlibs.components import accepts, parameters
from medicalseg.errors import ConfigError, DataError
from tests.cvlibs.conftest import ToyBackbone, ToyDice, ToyEntropy, ToyFlip, ToyNet, ToyRotation


def test_nested_components_are_built_first_and_the_mapping_stays():
    config = {
        "type": "ToyData",
        "dataset_root": "x",
        "transforms": [{"type": "ToyRotation", "degrees": 3}, {"type": "ToyFlip"}],
    }
    before = copy.deepcopy(config)
    data = build(config, where="train_dataset")
    assert config == before
    assert isinstance(data.transforms[0], ToyRotation)
    assert data.transforms[0].degrees == 3
    assert isinstance(data.transforms[1], ToyFlip)


def test_backbone_inside_a_model_and_plain_mappings_pass_as_they_are():
    net = build({"type": "ToyNet", "backbone": {"type": "ToyBackbone", "any": {"type_": 1}}}, where="model")
    assert isinstance(net, ToyNet)
    assert isinstance(net.backbone, ToyBackbone)
    assert net.backbone.kwargs == {"any": {"type_": 1}}


def test_any_name_searches_all_registries():
    assert isinstance(build({"type": "ToyDice"}), ToyDice)
    mixed = build({"type": "ToyMixed", "losses": [{"type": "ToyEntropy", "weight": [1]}], "coef": [1]})
    assert isinstance(mixed.losses[0], ToyEntropy)


@pytest.mark.parametrize(
    ("config", "where", "message"),
    [
        ({"type": "ToyNett"}, "model", r"^model\.type: 'ToyNett' is not among the models: .*did you mean 'ToyNet'\?$"),
        ({"type": "ToyDice"}, "model", r"^model\.type: 'ToyDice' is one of the losses, not of the models"),
        ({"type": ["ToyNet"]}, "model", r"^model\.type: .* is not among the models"),
        ({"width": 3}, "model", r"^model: has no 'type'; it has: width$"),
        ({"type": "ToyNet", "widht": 3}, "model", r"^model\.widht: unknown argument of ToyNet; .*'width'\?$"),
        (
            {"type": "ToyRotation"},
            "transforms",
            r"^transforms: ToyRotation needs degrees; allowed: degrees, rotate_planes$",
        ),
        ({"type": "ToyRotation", "degrees": "x"}, "t", r"^t: ToyRotation could not be built: TypeError: "),
        ({"type": "ToyRotation", "degrees": 999}, "t", r"^t: ToyRotation: degrees must not be above 360$"),
        (
            {"type": "ToyData", "dataset_root": "", "transforms": [{"type": "ToyFlip"}, {"prob": 1}]},
            "train_dataset",
            r"^train_dataset\.transforms\[1\]: has no 'type'",
        ),
        (
            {"type": "ToyData", "dataset_root": "", "transforms": [{"type": "ToyRotation", "degres": 1}]},
            "train_dataset",
            r"^train_dataset\.transforms\[0\]\.degres: unknown argument of ToyRotation; .*did you mean 'degrees'\?$",
        ),
        (
            {"type": "ToyData", "dataset_root": "", "transforms": [{"type": "ToyDice"}]},
            "train_dataset",
            r"^train_dataset\.transforms\[0\]\.type: 'ToyDice' is one of the losses, not of the transforms",
        ),
    ],
)
def test_errors_name_the_key_and_what_is_allowed(config, where, message):
    with pytest.raises(ConfigError, match=message) as caught:
        build(config, where=where)
    assert "\n" not in str(caught.value)


def test_errors_about_data_keep_their_class(monkeypatch):
    from medicalseg.cvlibs import manager

    def broken(x=1):
        raise DataError("folder is missing")

    monkeypatch.setitem(manager.DATASETS.components_dict, "broken", broken)
    with pytest.raises(DataError, match=r"^folder is missing$"):
        build({"type": "broken"}, where="train_dataset")


def test_parameters():
    assert list(parameters(ToyNet)[0]) == ["num_classes", "width", "backbone"]
    assert parameters(ToyBackbone) == ({}, True)
    assert accepts(ToyEntropy, "ignore_index")
    assert not accepts(ToyDice, "ignore_index")
    assert not accepts(ToyBackbone, "anything")
