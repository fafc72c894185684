"""What is done to labels on the original grid after the network: small parts, holes, order along the spine."""

from medicalseg.postprocessing.apply import apply_steps, build_postprocessing, postprocess
from medicalseg.postprocessing.base import Postprocessing
from medicalseg.postprocessing.choose import ChoiceTable, choose_postprocessing
from medicalseg.postprocessing.holes import FillHoles
from medicalseg.postprocessing.largest import KeepLargestComponent
from medicalseg.postprocessing.levels import spine_levels
from medicalseg.postprocessing.small import RemoveSmallComponents
from medicalseg.postprocessing.spine import OrderAlongSpine
from medicalseg.postprocessing.store import set_postprocessing

__all__ = [
    "ChoiceTable",
    "FillHoles",
    "KeepLargestComponent",
    "OrderAlongSpine",
    "Postprocessing",
    "RemoveSmallComponents",
    "apply_steps",
    "build_postprocessing",
    "choose_postprocessing",
    "postprocess",
    "set_postprocessing",
    "spine_levels",
]
