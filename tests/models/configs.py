"""Networks of the files below configs/, and what PaddleSeg3D's networks of the same files have."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import paddle

from medicalseg.cvlibs import Config, effective
from medicalseg.cvlibs.components import build

ROOT = Path(__file__).resolve().parents[2]


def lazily_built(config: str) -> Any:
    """The network of a file below configs/, without weights: nothing is loaded, and large ones take no memory."""
    block, _ = effective.model(Config(ROOT / "configs" / config).dic)
    with paddle.LazyGuard():
        return build(_without_weights(block), "model")


def _without_weights(block: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_weights(value) if isinstance(value, Mapping) else value
        for key, value in block.items()
        if not key.startswith("pretrained")
    }


def trainable_elements(model: Any) -> int:
    """Numbers that training changes."""
    return sum(int(parameter.size) for parameter in model.parameters() if not parameter.stop_gradient)


def check_keys(model: Any, compat: Path, name: str) -> None:
    """Keys, their order, shapes and the counts of `compat/state_dicts`."""
    keys = json.loads((compat / "state_dicts" / f"{name}.json").read_text())
    assert [(key, list(value.shape)) for key, value in model.state_dict().items()] == list(keys.items())
    counts = json.loads((compat / "state_dicts" / "summary.json").read_text())[name]
    assert len(model.state_dict()) == counts["keys"]
    assert sum(int(parameter.size) for parameter in model.parameters()) == counts["parameters"]
    assert trainable_elements(model) == counts["trainable"]
