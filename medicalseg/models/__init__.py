"""Networks: one file per architecture; importing this package registers them in `manager.MODELS`."""

from medicalseg.models.base import SegmentationModel
from medicalseg.models.base_2d import SegmentationModel2D
from medicalseg.models.unet3d import UNet3D
from medicalseg.models.vnet import VNet
from medicalseg.models.vnet_deepsup import VNetDeepSup

__all__ = ["SegmentationModel", "SegmentationModel2D", "UNet3D", "VNet", "VNetDeepSup"]
