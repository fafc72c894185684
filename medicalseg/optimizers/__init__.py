"""Optimizers and learning-rate schedules by their names in a configuration."""

from medicalseg.optimizers.optimizers import PaddleOptimizer, optimizer_name
from medicalseg.optimizers.plateau import ReduceOnPlateau
from medicalseg.optimizers.schedulers import Constant, build_scheduler, check_scheduler

__all__ = ["Constant", "PaddleOptimizer", "ReduceOnPlateau", "build_scheduler", "check_scheduler", "optimizer_name"]
