"""Metrics of segmentations: numpy in, numbers out. Nothing here knows about files, networks or Paddle."""

from medicalseg.metrics.auc import HistogramAuc
from medicalseg.metrics.bootstrap import Bootstrap, Interval
from medicalseg.metrics.calibration import Calibration, CalibrationResult, ReliabilityCurve
from medicalseg.metrics.case import MeasureOptions, case_metrics
from medicalseg.metrics.case_result import CaseResult, GroupMean
from medicalseg.metrics.counts import Counts, confusion_counts, confusion_matrix, structure_counts
from medicalseg.metrics.detection import Detection, DetectionRule, detect
from medicalseg.metrics.levels import LevelConfusion, LevelSummary, neighbour_confusion
from medicalseg.metrics.measures import MORE_MEASURES, WANTED, Measure
from medicalseg.metrics.more import MeasureSummary
from medicalseg.metrics.overlap import dice, iou, precision, recall
from medicalseg.metrics.rules import PerImage, Pooled
from medicalseg.metrics.soft_dice import SoftDiceSums, soft_dice
from medicalseg.metrics.summarize import summarize
from medicalseg.metrics.summary import Summary
from medicalseg.metrics.surface import (
    SurfaceDistances,
    average_surface_distance,
    hausdorff_distance,
    normalized_surface_dice,
    surface_distances,
)

__all__ = [
    "MORE_MEASURES",
    "WANTED",
    "Bootstrap",
    "Calibration",
    "CalibrationResult",
    "CaseResult",
    "Counts",
    "Detection",
    "DetectionRule",
    "GroupMean",
    "HistogramAuc",
    "Interval",
    "LevelConfusion",
    "LevelSummary",
    "Measure",
    "MeasureOptions",
    "MeasureSummary",
    "PerImage",
    "Pooled",
    "ReliabilityCurve",
    "SoftDiceSums",
    "Summary",
    "SurfaceDistances",
    "average_surface_distance",
    "case_metrics",
    "confusion_counts",
    "confusion_matrix",
    "detect",
    "dice",
    "hausdorff_distance",
    "iou",
    "neighbour_confusion",
    "normalized_surface_dice",
    "precision",
    "recall",
    "soft_dice",
    "structure_counts",
    "summarize",
    "surface_distances",
]
