"""The curved frame of one spine: for every pixel of the sagittal plane, how far up the spine and how far in front."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree

from medicalseg.datasets.phantom.anatomy import Anatomy

STEP = 0.5
SACRUM_LENGTH = 108.0
COCCYX_END = 140.0


@dataclass(frozen=True)
class Curve:
    """Centre line of the bodies, sampled every `STEP` mm of arc length.

    `points` and `tangent` are (n, 2): anterior and superior coordinate in mm, the origin at the image centre.
    """

    s: np.ndarray
    points: np.ndarray
    tangent: np.ndarray


@dataclass(frozen=True)
class PixelGrid:
    """Pixel centres in the image plane, mm: `anterior` (nx, 1) falls along axis 0, `superior` (1, ny) along axis 1."""

    anterior: np.ndarray
    superior: np.ndarray

    @classmethod
    def create(cls, shape: tuple[int, int], field_of_view: float) -> PixelGrid:
        """Grid of `shape` pixels that covers a square of `field_of_view` mm."""
        steps = [(0.5 - (np.arange(n) + 0.5) / n) * field_of_view for n in shape]
        return cls(steps[0][:, None].astype(np.float32), steps[1][None, :].astype(np.float32))


def spine_curve(anatomy: Anatomy) -> Curve:
    """Integrate the tilt of bodies and discs to a plane curve and place it in the image."""
    tail, head = -COCCYX_END * anatomy.scale - 60, anatomy.body_top[-1] + 120
    s = np.arange(tail, head, STEP)
    angle = gaussian_filter1d(np.interp(s, *_tilt_knots(anatomy)), 2.0 / STEP) + anatomy.rotation
    tangent = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    points = np.cumsum(tangent, axis=0) * STEP
    start = points[np.argmin(np.abs(s))]
    ahead, above_edge = anatomy.promontory
    target = np.array([ahead - 22.0, -anatomy.field_of_view / 2 + above_edge])
    return Curve(s, points - start + target, tangent)


def _tilt_knots(anatomy: Anatomy) -> tuple[np.ndarray, np.ndarray]:
    """Tilt changes a little within a body (its wedge) and mostly within discs; the sacrum bends forward going down."""
    scale, sacral = anatomy.scale, anatomy.tilt[0]
    down = np.array([-COCCYX_END - 40, -SACRUM_LENGTH, -75.0, -30.0, 0.0]) * scale
    bend = sacral - anatomy.sacral_kyphosis * np.array([1.25, 0.95, 0.5, 0.08, 0.0])
    places, angles = [*down], [*bend]
    for low, high, tilt, wedge in zip(
        anatomy.body_bottom[1:], anatomy.body_top[1:], anatomy.tilt[1:], anatomy.wedge[1:], strict=True
    ):
        places += [low + 1, high - 1]
        angles += [tilt + wedge / 2, tilt - wedge / 2]
    return np.array(places), np.array(angles)


def frame_coordinates(curve: Curve, grid: PixelGrid) -> tuple[np.ndarray, np.ndarray]:
    """Arc length and distance in front of the curve (mm, negative behind) for every pixel, both (nx, ny) float32."""
    anterior, superior = np.broadcast_arrays(grid.anterior, grid.superior)
    pixels = np.stack([anterior.ravel(), superior.ravel()], axis=1)
    coarse = slice(None, None, 4)
    nearest = cKDTree(curve.points[coarse]).query(pixels)[1] * 4
    offset = pixels - curve.points[nearest]
    tangent = curve.tangent[nearest]
    along = np.clip((offset * tangent).sum(1), -3 * STEP, 3 * STEP)
    nearest = np.clip(nearest + np.rint(along / STEP).astype(int), 0, len(curve.s) - 1)
    offset = pixels - curve.points[nearest]
    tangent = curve.tangent[nearest]
    s = curve.s[nearest] + np.clip((offset * tangent).sum(1), -STEP, STEP)
    u = offset[:, 0] * tangent[:, 1] - offset[:, 1] * tangent[:, 0]
    return s.reshape(anterior.shape).astype(np.float32), u.reshape(anterior.shape).astype(np.float32)


def back_surface(anatomy: Anatomy, curve: Curve, superior: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Anterior coordinate (mm) of the fascia and of the skin behind the spine, at each height in `superior`."""
    order = np.argsort(curve.points[:, 1])
    line = np.interp(superior, curve.points[order, 1], curve.points[order, 0])
    step = abs(float(superior[1] - superior[0])) if superior.size > 1 else 1.0
    behind = 0.5 * anatomy.depth.mean() + anatomy.canal_depth + 36.0 * anatomy.scale
    line = np.minimum(line, np.median(line) + 25)
    fascia = gaussian_filter1d(line, 28.0 / step, mode="nearest") - behind
    smooth = gaussian_filter1d(np.minimum(fascia, np.median(fascia) + 18), 70.0 / step, mode="nearest")
    skin = np.minimum(smooth, fascia) - anatomy.fat_thickness
    return fascia, gaussian_filter1d(skin, 6.0 / step, mode="nearest")
