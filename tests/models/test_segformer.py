"""SegFormer and its Mix Transformer."""

from __future__ import annotations

from typing import ClassVar

from tests.models.base import ModelTests


class TestSegFormer(ModelTests):
    name = "SegFormer_B0"
    arguments: ClassVar = {"in_channels": 2, "num_classes": 3, "embedding_dim": 32}
    shape = (2, 2, 32, 64)
    wrong_arguments = (({"embedding_dim": 0}, "SegFormer.embedding_dim"),)
