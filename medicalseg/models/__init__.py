"""Networks: one file per architecture; importing this package registers them in `manager.MODELS`."""

from medicalseg.models.base import SegmentationModel
from medicalseg.models.base_2d import SegmentationModel2D
from medicalseg.models.segformer import (
    SegFormer,
    SegFormer_B0,
    SegFormer_B1,
    SegFormer_B2,
    SegFormer_B3,
    SegFormer_B4,
    SegFormer_B5,
)
from medicalseg.models.unet3d import UNet3D
from medicalseg.models.vnet import VNet
from medicalseg.models.vnet_deepsup import VNetDeepSup

__all__ = [
    "SegFormer",
    "SegFormer_B0",
    "SegFormer_B1",
    "SegFormer_B2",
    "SegFormer_B3",
    "SegFormer_B4",
    "SegFormer_B5",
    "SegmentationModel",
    "SegmentationModel2D",
    "UNet3D",
    "VNet",
    "VNetDeepSup",
]
