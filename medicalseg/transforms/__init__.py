"""Augmentation and preparation of samples; image and label always move together.

One concept per file; every transform is registered in `medicalseg.cvlibs.manager.TRANSFORMS` under its class name.
Random numbers come from `medicalseg.utils.seeding.rng()` only.
"""

from medicalseg.transforms.affine import RandomAffine3D, RandomScale3D
from medicalseg.transforms.base import IntensityTransform, Transform
from medicalseg.transforms.blur import GaussianBlurTransform
from medicalseg.transforms.brightness import BrightnessMultiplicativeTransform, RandomBrightness
from medicalseg.transforms.components import BinaryMaskToConnectComponent, TopkLargestConnectComponent
from medicalseg.transforms.compose import Compose
from medicalseg.transforms.contrast import ContrastAugmentationTransform, GammaTransform
from medicalseg.transforms.crop import RandomCrop4D, RandomPaddingCrop, RandomResizedCrop3D
from medicalseg.transforms.cutout import RandomCutout
from medicalseg.transforms.elastic import RandomElastic3D
from medicalseg.transforms.flip import MirrorTransform, RandomFlip3D, RandomFlip4D
from medicalseg.transforms.labels import LabelRemap
from medicalseg.transforms.low_resolution import SimulateLowResolutionTransform
from medicalseg.transforms.nnunet import NnUNetAugmentation
from medicalseg.transforms.noise import GaussianNoiseTransform
from medicalseg.transforms.resize import Resize3D, ResizeRangeScaling
from medicalseg.transforms.rotation import RandomQuarterTurn3D, RandomRotation3D, RandomRotation4D
from medicalseg.transforms.spatial import SpatialTransform

__all__ = [
    "BinaryMaskToConnectComponent",
    "BrightnessMultiplicativeTransform",
    "Compose",
    "ContrastAugmentationTransform",
    "GammaTransform",
    "GaussianBlurTransform",
    "GaussianNoiseTransform",
    "IntensityTransform",
    "LabelRemap",
    "MirrorTransform",
    "NnUNetAugmentation",
    "RandomAffine3D",
    "RandomBrightness",
    "RandomCrop4D",
    "RandomCutout",
    "RandomElastic3D",
    "RandomFlip3D",
    "RandomFlip4D",
    "RandomPaddingCrop",
    "RandomQuarterTurn3D",
    "RandomResizedCrop3D",
    "RandomRotation3D",
    "RandomRotation4D",
    "RandomScale3D",
    "Resize3D",
    "ResizeRangeScaling",
    "SimulateLowResolutionTransform",
    "SpatialTransform",
    "TopkLargestConnectComponent",
    "Transform",
]
