"""One sagittal section through the imagined spine: what each pixel consists of and which structure it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from medicalseg.datasets.phantom.anatomy import LABELLED_UNITS, Anatomy
from medicalseg.datasets.phantom.geometry import SACRUM_LENGTH


@dataclass(frozen=True)
class Distances:
    """Signed distances (mm, positive inside) of one section's pixels, all of the same shape (pixels,)."""

    body: np.ndarray
    end_plate: np.ndarray
    disc: np.ndarray
    radius: np.ndarray
    across: np.ndarray


class SpineSection:
    """The parts of the geometry that do not depend on the place across the body, for the pixels near the spine.

    Args:
        anatomy: the patient.
        s: arc length of each pixel, (pixels,) mm.
        u: distance in front of the centre line, (pixels,) mm.
    """

    def __init__(self, anatomy: Anatomy, s: np.ndarray, u: np.ndarray) -> None:
        self.anatomy, self.s, self.u = anatomy, s, u
        gaps = 0.5 * (anatomy.body_top[:-1] + anatomy.body_bottom[1:])
        self._gaps = gaps.astype(np.float32)
        self.unit = self.unit_at(s)
        self.bottom = _pick(anatomy.body_bottom, self.unit)
        self.top = _pick(anatomy.body_top, self.unit)
        self.sacral = self.unit == 0
        self.bottom[self.sacral] = -SACRUM_LENGTH * anatomy.scale
        self.middle = 0.5 * (self.bottom + self.top)
        self.half = 0.5 * (self.top - self.bottom)
        self.level = np.clip((s - self.middle) / self.half, -1.5, 1.5)
        self.disc_index = np.where(s > self.middle, self.unit, np.maximum(self.unit - 1, 0))

    def unit_at(self, s: np.ndarray) -> np.ndarray:
        """Index of the body that is nearest to each arc length."""
        return np.searchsorted(self._gaps, s)

    @cached_property
    def depth(self) -> np.ndarray:
        """Half the front-to-back size of body or disc."""
        anatomy, scale = self.anatomy, self.anatomy.scale
        sacrum = np.array([-COCCYX_TIP, -SACRUM_LENGTH, -74.0, -54.0, -30.0]) * scale
        places = np.concatenate([sacrum, [0.0], 0.5 * (anatomy.body_bottom + anatomy.body_top)[1:]])
        half = np.concatenate([np.array([2.0, 3.5, 7.0, 9.5, 13.0]) * scale, 0.5 * anatomy.depth])
        depth = np.interp(self.s, places, half).astype(np.float32)
        waist = np.where(self.sacral, 0.0, anatomy.waist * np.maximum(1 - self.level**2, 0))
        return (depth * (1 - waist)).astype(np.float32)

    @cached_property
    def width(self) -> np.ndarray:
        """Half the width of body or disc; the sacrum's wings are wider than the slice stack."""
        anatomy, scale = self.anatomy, self.anatomy.scale
        sacrum = np.array([-COCCYX_TIP, -SACRUM_LENGTH, -74.0, -50.0, -8.0]) * scale
        places = np.concatenate([sacrum, [-2.0 * scale], 0.5 * (anatomy.body_bottom + anatomy.body_top)[1:]])
        half = np.concatenate([np.array([5.0, 14.0, 32.0, 46.0, 46.0]) * scale, 0.5 * anatomy.width])
        width = np.interp(self.s, places, half).astype(np.float32)
        return (width * (1 - 0.5 * anatomy.waist * np.maximum(1 - self.level**2, 0))).astype(np.float32)

    @cached_property
    def lateral(self) -> np.ndarray:
        """How far the centre line lies to one side (scoliosis)."""
        amplitude, period, phase = self.anatomy.scoliosis
        return (amplitude * np.sin(2 * np.pi * self.s / period + phase)).astype(np.float32)

    @cached_property
    def degeneration(self) -> np.ndarray:
        """Ageing (0..1) of the disc that is nearest."""
        return _pick(self.anatomy.degeneration, self.disc_index)

    @cached_property
    def canal_depth(self) -> np.ndarray:
        """Front-to-back size of the canal, narrowing in the sacrum."""
        taper = np.interp(self.s, np.array([-75.0, -45.0, 5.0]) * self.anatomy.scale, [0.25, 0.55, 1.0])
        return (self.anatomy.canal_depth * taper).astype(np.float32)

    @cached_property
    def behind(self) -> np.ndarray:
        """Distance behind the back wall of the bodies."""
        return -self.u - self.depth

    def distances(self, place: float) -> Distances:
        """Bodies and discs at `place` mm from the middle plane."""
        across = np.float32(place) - self.lateral
        bulge = _pick(self.anatomy.bulge, self.disc_index)
        radius = self._radius(across, self.depth)
        concave = _pick(self.anatomy.concavity, self.unit) * np.maximum(1 - radius * radius, 0)
        wing = 0.45 * np.maximum(np.abs(across) - 21, 0) * self.sacral.astype(np.float32)
        low = self.s - self.bottom - np.where(self.sacral, 0, concave)
        end_plate = np.minimum(self.top - concave - wing - self.s, low)
        inside = (1 - radius) * np.minimum(self.depth, self.width)
        disc_radius = self._radius(across, self.depth * 1.02 + np.where(self.u < 0, bulge, 0.3 * bulge))
        disc_inside = (1 - disc_radius) * self.depth
        disc_inside = np.where(np.abs(across) > 0.56 * float(self.anatomy.width.max()), -5.0, disc_inside)
        return Distances(
            body=smooth_minimum(inside, end_plate, 4.0),
            end_plate=end_plate,
            disc=smooth_minimum(disc_inside, -end_plate, 1.5),
            radius=radius,
            across=across,
        )

    def _radius(self, across: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """1 on the wall: round in front, flat behind."""
        front, side = (self.u / depth) ** 2, (across / self.width) ** 2
        return np.where(self.u > 0, np.sqrt(front + side), np.sqrt(np.sqrt(front * front + side * side)))

    def labels(self, distances: Distances) -> np.ndarray:
        """Class ids (pixels,) int16: bodies 1..10, discs 11..19."""
        unit, disc = self.unit, self.disc_index
        body = (distances.body > 0) & (unit < LABELLED_UNITS)
        gap = (distances.disc > 0) & (distances.body <= 0) & (disc < LABELLED_UNITS - 1)
        gap &= ~(self.sacral & (self.s < self.middle))
        return np.where(body, unit + 1, np.where(gap, disc + 11, 0)).astype(np.int16)


COCCYX_TIP = 136.0


def _pick(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    return values.astype(np.float32)[index]


def smooth_minimum(a: np.ndarray, b: np.ndarray, size: float) -> np.ndarray:
    """Minimum with the corner rounded over `size` mm."""
    part = np.maximum(size - np.abs(a - b), 0) / size
    return np.minimum(a, b) - part * part * (size * 0.25)
