"""Elementwise products of the reference implementation behind published figures, where ours are written otherwise.

A count by torchprofile's rule depends on how a formula is written: the study that printed figures for SegFormer and
SegNeXt spells GELU out as its tanh formula (four products per element), scales the scores of attention instead of the
queries, and drops paths by a product. Our layers compute the same with other operations, so what the reference
multiplies is stated here, for each such layer, and takes the place of the products that ours has.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from paddle import nn

from medicalseg.models.layers.drop_path import DropPath
from medicalseg.models.layers.matrix_decomposition import NMF2D
from medicalseg.models.layers.mix_attention import Attention, Mlp

Shape = tuple[int, ...]
Rule = Callable[[Any, Shape, bool], int]
PRODUCTS_OF_TANH_GELU = 4
SHAPE_PRODUCTS = 2


def reference_products(layer: nn.Layer) -> Rule | None:
    """What tells the products of one call, of layer, shape of its input and whether it trains; None = as we do."""
    return next((rule for kind, rule in RULES.items() if isinstance(layer, kind)), None)


def _attention(layer: Attention, shape: Shape, training: bool) -> int:
    """One product for each score; `shape` is (N, H, W, C)."""
    batch, height, width, _ = shape
    keys = (height // layer.sr_ratio) * (width // layer.sr_ratio)
    return batch * layer.num_heads * height * width * keys


def _mix_ffn(layer: Mlp, shape: Shape, training: bool) -> int:
    hidden = int(layer.fc1.weight.shape[1])
    return PRODUCTS_OF_TANH_GELU * math.prod(shape[:-1]) * hidden


def _drop_path(layer: DropPath, shape: Shape, training: bool) -> int:
    return math.prod(shape) if training and layer.rate else 0


def _decomposition(layer: NMF2D, shape: Shape, training: bool) -> int:
    """Temperature, updates, last update; in evaluation the reference also averages its bases; two sizes are products.

    `shape` is (N, C, H, W).
    """
    batch, channels, *size = shape
    codes, bases = math.prod(size) * layer.rank, channels * layer.rank
    steps = layer.train_steps if training else layer.eval_steps
    products = codes + steps * (codes + bases) + codes + (0 if training else 2 * bases)
    return batch * products + SHAPE_PRODUCTS


def _none(layer: nn.Layer, shape: Shape, training: bool) -> int:
    return 0


RULES: dict[type[nn.Layer], Rule] = {
    Attention: _attention,
    Mlp: _mix_ffn,
    DropPath: _drop_path,
    NMF2D: _decomposition,
    **dict.fromkeys((nn.Dropout, nn.Dropout2D, nn.Dropout3D, nn.AlphaDropout), _none),
}
