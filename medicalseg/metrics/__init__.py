"""Metrics of segmentations: numpy in, numbers out. Nothing here knows about files, networks or Paddle."""

from medicalseg.metrics.auc import HistogramAuc
from medicalseg.metrics.counts import Counts, confusion_counts, confusion_matrix, structure_counts
from medicalseg.metrics.overlap import dice, iou, precision, recall
from medicalseg.metrics.rules import PerImage, Pooled
from medicalseg.metrics.soft_dice import SoftDiceSums, soft_dice
from medicalseg.metrics.summary import CaseResult, GroupMean, Summary, summarize

__all__ = [
    "CaseResult",
    "Counts",
    "GroupMean",
    "HistogramAuc",
    "PerImage",
    "Pooled",
    "SoftDiceSums",
    "Summary",
    "confusion_counts",
    "confusion_matrix",
    "dice",
    "iou",
    "precision",
    "recall",
    "soft_dice",
    "structure_counts",
    "summarize",
]
