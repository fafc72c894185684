"""Colours of classes, the same in overlays and in label images."""

from __future__ import annotations

import colorsys


def class_colour(index: int) -> tuple[float, float, float]:
    """A colour per class id, red, green and blue from 0 to 1; neighbouring ids are far apart in hue."""
    hue = (0.02 + index * 0.618034) % 1.0
    return colorsys.hsv_to_rgb(hue, (0.85, 0.6)[index // 7 % 2], (1.0, 0.85)[index // 3 % 2])
