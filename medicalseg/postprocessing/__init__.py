"""What is done to labels on the original grid after the network: small parts, holes, order along the spine."""

from medicalseg.postprocessing.apply import apply_steps, build_postprocessing, postprocess
from medicalseg.postprocessing.base import Postprocessing
from medicalseg.postprocessing.holes import FillHoles
from medicalseg.postprocessing.largest import KeepLargestComponent
from medicalseg.postprocessing.small import RemoveSmallComponents
from medicalseg.postprocessing.spine import OrderAlongSpine

__all__ = [
    "FillHoles",
    "KeepLargestComponent",
    "OrderAlongSpine",
    "Postprocessing",
    "RemoveSmallComponents",
    "apply_steps",
    "build_postprocessing",
    "postprocess",
]
