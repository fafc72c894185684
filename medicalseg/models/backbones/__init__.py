"""Encoders of the networks for images, registered in `manager.BACKBONES`."""

from medicalseg.models.backbones.mix_transformer import (
    MixVisionTransformer,
    MixVisionTransformer_B0,
    MixVisionTransformer_B1,
    MixVisionTransformer_B2,
    MixVisionTransformer_B3,
    MixVisionTransformer_B4,
    MixVisionTransformer_B5,
)

__all__ = [
    "MixVisionTransformer",
    "MixVisionTransformer_B0",
    "MixVisionTransformer_B1",
    "MixVisionTransformer_B2",
    "MixVisionTransformer_B3",
    "MixVisionTransformer_B4",
    "MixVisionTransformer_B5",
]
