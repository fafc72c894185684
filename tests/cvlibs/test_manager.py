"""Registries."""

from __future__ import annotations

import logging

import pytest

from medicalseg.cvlibs import ComponentManager, manager


@pytest.fixture
def colours() -> ComponentManager:
    return ComponentManager("colours")


class Red: ...


def blue(): ...


def test_works_as_bare_decorator(colours):
    @colours.add_component
    class Green: ...

    assert colours["Green"] is Green


def test_takes_classes_functions_and_sequences(colours):
    assert colours.add_component([Red, blue]) == [Red, blue]
    assert list(colours) == ["Red", "blue"]
    assert len(colours) == 2
    assert "Red" in colours
    assert "red" not in colours
    assert repr(colours) == "colours:['Red', 'blue']"
    assert colours.name == "colours"
    assert colours.components_dict == {"Red": Red, "blue": blue}


@pytest.mark.parametrize("wrong", [3, "Red", None, Red()])
def test_refuses_anything_else(colours, wrong):
    with pytest.raises((TypeError,)):
        colours.add_component([wrong] if isinstance(wrong, str) else wrong)


def test_unknown_name_lists_the_known_and_the_nearest(colours):
    colours.add_component([Red, blue])
    with pytest.raises(KeyError, match=r"'Rad' is not among the colours: \['Red', 'blue'\]; did you mean 'Red'\?"):
        colours["Rad"]


def test_a_taken_name_is_replaced_with_a_warning(colours, caplog):
    other = type("Red", (), {})
    colours.add_component(Red)
    with caplog.at_level(logging.WARNING, "medicalseg"):
        colours.add_component(Red)
        assert not caplog.records
        colours.add_component(other)
    assert colours["Red"] is other
    assert "registered before" in caplog.text


def test_a_failed_import_is_tried_again():
    registry = ComponentManager("things", "medicalseg.no_such_package")
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError):
            len(registry)


@pytest.mark.parametrize("name", ["MODELS", "BACKBONES", "DATASETS", "TRANSFORMS", "LOSSES", "OPTIMIZERS"])
def test_upstream_registries_load_their_components(name):
    assert isinstance(getattr(manager, name).components_dict, dict)


def test_upstream_names_are_there():
    for registry, names in (
        (manager.MODELS, ["VNet", "VNetDeepSup", "UNet3D"]),
        (manager.DATASETS, ["MedicalDataset", "MRISpineSeg", "LungCoronavirus", "DecathlonDataset"]),
        (manager.TRANSFORMS, ["Resize3D", "RandomRotation3D", "RandomFlip3D", "RandomResizedCrop3D"]),
        (manager.LOSSES, ["CrossEntropyLoss", "DiceLoss", "MixedLoss", "BCELoss"]),
    ):
        assert set(names) <= set(registry)


def test_a_function_is_registered_under_a_name_of_its_own() -> None:
    registry = ComponentManager("nets")

    def build() -> str:
        return "small"

    assert registry.add_function(build, "Net_S", "A small one.") is build
    assert registry["Net_S"]() == "small"
    assert (registry["Net_S"].__name__, registry["Net_S"].__doc__) == ("Net_S", "A small one.")
    assert "build" not in registry
