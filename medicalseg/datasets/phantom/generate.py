"""One phantom case from its number."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from medicalseg.datasets.phantom.acquisition import (
    FIELD_ACROSS,
    Scan,
    finish,
    sagittal_affine,
    sample_scan,
    sensitivity,
)
from medicalseg.datasets.phantom.anatomy import Anatomy, sample_anatomy
from medicalseg.datasets.phantom.geometry import PixelGrid, back_surface, frame_coordinates, spine_curve
from medicalseg.datasets.phantom.painting import Painter, paint_spine
from medicalseg.datasets.phantom.section import SpineSection
from medicalseg.datasets.phantom.tissue import Mottle, Signals, sample_signals
from medicalseg.errors import UserError

_SUBSLICES = (-1.1, 1.1)
_NEAR = (-92.0, 62.0)


class Phantom(NamedTuple):
    """A generated case: `image` (X, Y, Z) int16, `label` (X, Y, Z) uint8 with ids 0..19, `affine` RAS in mm."""

    image: np.ndarray
    label: np.ndarray
    affine: np.ndarray


def spine_phantom(case: int, *, seed: int = 0, size: tuple[int, int, int] = (512, 512, 12)) -> Phantom:
    """Generate one case.

    Args:
        case: case number, 0 or more; another number is another patient.
        seed: selects another family of patients.
        size: voxels (X, Y, Z); X runs to the back, Y down, Z from left to right. The field of view, about
            340 x 340 x 53 mm, does not depend on it.

    Returns:
        Image, label and affine.

    Raises:
        UserError: a size below 16 x 16 x 1 or a negative case or seed.
    """
    if len(size) != 3 or min(size[:2]) < 16 or size[2] < 1:
        raise UserError(f"phantom size {list(size)}: needs three numbers, at least 16 16 1")
    if case < 0 or seed < 0:
        raise UserError(f"phantom case {case}, seed {seed}: both must be 0 or more")
    streams = [np.random.default_rng([seed, case, part]) for part in range(4)]
    anatomy, signals, scan = sample_anatomy(streams[0]), sample_signals(streams[1]), sample_scan(streams[2])
    stage = _Stage(anatomy, signals, scan, size, streams[3])
    image, label = stage.render(np.random.default_rng([seed, case, 9]))
    return Phantom(image, label, sagittal_affine(scan, size, anatomy.field_of_view))


class _Stage:
    """Everything about one case that all its slices share."""

    def __init__(
        self, anatomy: Anatomy, signals: Signals, scan: Scan, size: tuple[int, int, int], rng: np.random.Generator
    ) -> None:
        self.anatomy, self.signals, self.scan, self.size = anatomy, signals, scan, size
        self.factor = 3 if max(size[:2]) <= 160 else 1
        self.fine = (size[0] * self.factor, size[1] * self.factor)
        self.pixel = anatomy.field_of_view / max(self.fine)
        self.softness = max(0.9 * self.pixel, 0.8)
        self.mottle = {
            "marrow": Mottle.draw(rng, (70, 70, 9)),
            "muscle": Mottle.draw(rng, (85, 36, 9)),
            "fine": Mottle.draw(rng, (190, 190, 14)),
            "organ": Mottle.draw(rng, (16, 14, 6)),
        }
        grid = PixelGrid.create(self.fine, anatomy.field_of_view)
        curve = spine_curve(anatomy)
        s, u = frame_coordinates(curve, grid)
        self.near = np.flatnonzero((u > _NEAR[0]) & (u < _NEAR[1]) & (s > -150 * anatomy.scale))
        self.section = SpineSection(anatomy, s.ravel()[self.near], u.ravel()[self.near])
        fascia, skin = back_surface(anatomy, curve, grid.superior[0])
        self.from_fascia = (grid.anterior - fascia).astype(np.float32)
        self.from_skin = (grid.anterior - skin).astype(np.float32)
        self.gain = self._gain(grid, u)

    def _gain(self, grid: PixelGrid, u: np.ndarray) -> np.ndarray:
        gain = sensitivity(self.scan, self.from_skin, grid.superior)
        if self.scan.saturation is not None:
            gain = gain * (0.12 + 0.88 / (1 + np.exp((u - self.scan.saturation) / 4)))
        return gain.astype(np.float32)

    def render(self, noise: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Paint all slices; image (X, Y, Z) int16 and label uint8."""
        planes = np.empty((*self.fine, self.size[2]), np.float32)
        label = np.empty(self.size, np.uint8)
        centre = self.factor // 2
        for index in range(self.size[2]):
            middle = ((index + 0.5) / self.size[2] - 0.5) * FIELD_ACROSS + self.anatomy.slice_shift
            part = (index + 0.5) / self.size[2]
            planes[:, :, index] = self._plane(middle, part)
            ids = np.zeros(self.fine, np.uint8)
            ids.ravel()[self.near] = self.section.labels(self.section.distances(middle))
            label[:, :, index] = ids[centre :: self.factor, centre :: self.factor]
        return finish(self.scan, planes, self.factor, self.pixel, noise), label

    def _plane(self, middle: float, part: float) -> np.ndarray:
        mottle = {name: field.plane(self.fine, part) for name, field in self.mottle.items()}
        background = self._background(mottle)
        near = {name: field.ravel()[self.near] for name, field in mottle.items()}
        total = np.zeros(len(self.near), np.float32)
        for shift in _SUBSLICES:
            painter = Painter(background.ravel()[self.near].copy(), self.softness)
            distances = self.section.distances(middle + shift)
            paint_spine(painter, self.section, distances, self.signals, near)
            total += painter.pixels
        background.ravel()[self.near] = total / len(_SUBSLICES)
        self._back(background, mottle)
        bias = Mottle(self.scan.bias).plane(self.fine, part)
        return background * self.gain * (1 + bias)

    def _background(self, mottle: dict[str, np.ndarray]) -> np.ndarray:
        """Belly and chest in front of the spine: organs and bowel in fat."""
        signals = self.signals
        organ = np.clip(0.5 + 1.6 * mottle["organ"], 0, 1)
        plane = signals.fat * 0.75 + (signals.organ - 0.75 * signals.fat) * organ
        dark = np.clip(1.6 * (mottle["organ"] - 1.1), 0, 1)
        return ((plane * (1 - 0.85 * dark)) * (1 + 0.1 * mottle["fine"])).astype(np.float32)

    def _back(self, plane: np.ndarray, mottle: dict[str, np.ndarray]) -> None:
        """Fat under the skin, skin, and the air behind."""
        signals, soft = self.signals, self.softness
        painter = Painter(plane, soft)
        septa = np.clip(1.2 - 1.5 * np.abs(mottle["muscle"]), 0, 1)
        painter.fill(-self.from_fascia, signals.fat * (1.02 - 0.14 * septa + 0.03 * mottle["fine"]))
        painter.line(self.from_fascia, 0.8, signals.ligament * 2)
        painter.fill(2.0 - self.from_skin, signals.muscle * 1.6)
        painter.fill(-self.from_skin, 0.0)
