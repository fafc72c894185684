"""What a network costs: parameters, multiply-accumulates, activations; found on its graph, without computing it."""

from __future__ import annotations

from medicalseg.complexity.info import ModelInfo, inspect_model
from medicalseg.complexity.rules import MODES

__all__ = ["MODES", "ModelInfo", "inspect_model"]
