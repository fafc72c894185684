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
from medicalseg.models.backbones.resnet import ResNet
from medicalseg.models.backbones.swin_transformer import (
    SwinTransformer,
    SwinTransformer_base_patch4_window7_224,
    SwinTransformer_base_patch4_window12_384,
    SwinTransformer_large_patch4_window7_224,
    SwinTransformer_large_patch4_window12_384,
    SwinTransformer_small_patch4_window7_224,
    SwinTransformer_tinier_patch4_window7_224,
    SwinTransformer_tiny_patch4_window7_224,
)

__all__ = [
    "MixVisionTransformer",
    "MixVisionTransformer_B0",
    "MixVisionTransformer_B1",
    "MixVisionTransformer_B2",
    "MixVisionTransformer_B3",
    "MixVisionTransformer_B4",
    "MixVisionTransformer_B5",
    "ResNet",
    "SwinTransformer",
    "SwinTransformer_base_patch4_window7_224",
    "SwinTransformer_base_patch4_window12_384",
    "SwinTransformer_large_patch4_window7_224",
    "SwinTransformer_large_patch4_window12_384",
    "SwinTransformer_small_patch4_window7_224",
    "SwinTransformer_tinier_patch4_window7_224",
    "SwinTransformer_tiny_patch4_window7_224",
]
