"""Every registered network is tried by `ModelTests`, and every one of configs/ is built from there."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from medicalseg.cvlibs import manager
from medicalseg.models import SegmentationModel
from tests.models.base import ModelTests
from tests.models.configs import ROOT, lazily_built

VARIANTS: dict[str, str | None] = {
    "SegFormer": None,
    **{f"SegFormer_B{size}": f"ich/segformer_b{size}.yml" for size in range(1, 6)},
    "SegNeXt_T": "spider_spine/segnext_t_levels.yml",
    **{f"SegNeXt_{size}": None for size in "SBL"},
    **{f"SimpleSegNeXt_{size}": f"ich/segnext_{size.lower()}.yml" for size in "TSBL"},
}
"""Sizes of a network that is tried under another name, and the file below configs/ that has them."""

REGISTERED = {
    name for name, network in manager.MODELS.components_dict.items() if network.__module__.startswith("medicalseg.")
}


def classes(parent: type[ModelTests] = ModelTests) -> Iterator[type[ModelTests]]:
    """All that inherit from it and can be collected."""
    for child in parent.__subclasses__():
        yield from classes(child)
        if child.__name__.startswith("Test") and child.__module__.startswith("tests.models."):
            yield child


@pytest.fixture(scope="module")
def tried() -> list[type[ModelTests]]:
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        importlib.import_module(f"tests.models.{file.stem}")
    return [child for child in classes() if child.name in REGISTERED]


def test_every_network_has_its_tests(tried: list[type[ModelTests]]) -> None:
    names = {child.name for child in tried}
    assert names | set(VARIANTS) == REGISTERED
    assert not names & set(VARIANTS)


def test_every_network_of_the_configs_is_built_from_one(tried: list[type[ModelTests]]) -> None:
    written = "\n".join(file.read_text() for file in (ROOT / "configs").rglob("*.yml"))
    named = {name for name in REGISTERED if re.search(rf"\btype: {name}$", written, re.MULTILINE)}
    built = {child.name for child in tried if child.config} | {name for name, config in VARIANTS.items() if config}
    assert named <= built


@pytest.mark.parametrize(("name", "config"), [item for item in VARIANTS.items() if item[1]])
def test_variants_are_built_from_their_configs(name: str, config: str) -> None:
    model = lazily_built(config)
    assert type(model).__name__ == name.split("_")[0]
    assert isinstance(model, SegmentationModel)
