"""What tests need beside the core, as marks that say why they skip."""

from __future__ import annotations

import importlib.util

import paddle
import pytest

needs_onnx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "paddle2onnx"))
    or paddle.__version__.startswith("2."),
    reason="needs the extra onnx (paddle2onnx, onnx) and Paddle 3",
)
