"""Networks: one file per architecture; importing this package registers them in `manager.MODELS`."""

from medicalseg.models.base import SegmentationModel
from medicalseg.models.base_2d import SegmentationModel2D
from medicalseg.models.nnformer import nnFormer
from medicalseg.models.nnunet import NNUNet
from medicalseg.models.plain_conv_unet import PlainConvUNet, PlainConvUNet2D
from medicalseg.models.residual_encoder_unet import ResidualEncoderUNet, ResidualEncoderUNet2D
from medicalseg.models.segformer import (
    SegFormer,
    SegFormer_B0,
    SegFormer_B1,
    SegFormer_B2,
    SegFormer_B3,
    SegFormer_B4,
    SegFormer_B5,
)
from medicalseg.models.segnext import SegNeXt, SegNeXt_B, SegNeXt_L, SegNeXt_S, SegNeXt_T
from medicalseg.models.simple_segnext import (
    SimpleSegNeXt,
    SimpleSegNeXt_B,
    SimpleSegNeXt_L,
    SimpleSegNeXt_S,
    SimpleSegNeXt_T,
)
from medicalseg.models.swin_unet import SwinUNet
from medicalseg.models.trans_unet import TransUNet
from medicalseg.models.unet3d import UNet3D
from medicalseg.models.unetr import UNETR
from medicalseg.models.vnet import VNet
from medicalseg.models.vnet_deepsup import VNetDeepSup

__all__ = [
    "UNETR",
    "NNUNet",
    "PlainConvUNet",
    "PlainConvUNet2D",
    "ResidualEncoderUNet",
    "ResidualEncoderUNet2D",
    "SegFormer",
    "SegFormer_B0",
    "SegFormer_B1",
    "SegFormer_B2",
    "SegFormer_B3",
    "SegFormer_B4",
    "SegFormer_B5",
    "SegNeXt",
    "SegNeXt_B",
    "SegNeXt_L",
    "SegNeXt_S",
    "SegNeXt_T",
    "SegmentationModel",
    "SegmentationModel2D",
    "SimpleSegNeXt",
    "SimpleSegNeXt_B",
    "SimpleSegNeXt_L",
    "SimpleSegNeXt_S",
    "SimpleSegNeXt_T",
    "SwinUNet",
    "TransUNet",
    "UNet3D",
    "VNet",
    "VNetDeepSup",
    "nnFormer",
]
