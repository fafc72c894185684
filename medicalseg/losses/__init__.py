"""Losses: one class per file; importing this package registers them in `manager.LOSSES`."""

from medicalseg.losses.base import SegmentationLoss
from medicalseg.losses.binary_cross_entropy import BCELoss
from medicalseg.losses.cross_entropy import CrossEntropyLoss
from medicalseg.losses.dc_and_ce import DC_and_CE_loss
from medicalseg.losses.dice import DiceLoss
from medicalseg.losses.dice_ce import DiceCELoss
from medicalseg.losses.focal import FocalLoss
from medicalseg.losses.frequency import frequency_weights, resolve_class_weights, wants_class_frequencies
from medicalseg.losses.heads import compute
from medicalseg.losses.mixed import MixedLoss
from medicalseg.losses.multiple import MultipleLoss
from medicalseg.losses.tversky import TverskyLoss

__all__ = [
    "BCELoss",
    "CrossEntropyLoss",
    "DC_and_CE_loss",
    "DiceCELoss",
    "DiceLoss",
    "FocalLoss",
    "MixedLoss",
    "MultipleLoss",
    "SegmentationLoss",
    "TverskyLoss",
    "compute",
    "frequency_weights",
    "resolve_class_weights",
    "wants_class_frequencies",
]
