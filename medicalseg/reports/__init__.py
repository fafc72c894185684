"""Reports: tables, files and pictures made from figures that were computed elsewhere."""

from medicalseg.reports.curves import write_progress_png
from medicalseg.reports.files import write_metrics
from medicalseg.reports.overlay import write_overlay
from medicalseg.reports.table import render_table
from medicalseg.reports.visual_log import write_visual_log

__all__ = ["render_table", "write_metrics", "write_overlay", "write_progress_png", "write_visual_log"]
