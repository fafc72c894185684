"""Which spine is drawn: sizes, curve, pose and ageing of one imagined patient, all in millimetres and radians."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

UNITS = ("S", "L5", "L4", "L3", "L2", "L1", "T12", "T11", "T10", "T9", "T8", "T7", "T6")
"""Bodies from below; those above T9 are drawn and not labelled, as in the real set."""

LABELLED_UNITS = 10

_HEIGHT = (30.0, 27.0, 27.0, 27.5, 27.0, 26.0, 25.0, 23.0, 21.5, 21.0, 20.5, 20.0, 19.5)
_DISC = (10.0, 11.5, 11.0, 10.0, 8.5, 7.0, 6.0, 5.0, 4.5, 4.5, 4.5, 4.5, 4.5)
_DEPTH = (34.0, 35.5, 35.0, 34.5, 34.0, 32.5, 31.0, 30.0, 29.0, 28.0, 27.0, 26.0, 25.0)
_WIDTH = (52.0, 51.0, 48.5, 46.5, 44.5, 42.5, 40.5, 37.0, 34.0, 32.0, 31.0, 30.0, 29.0)
_TILT = (43.0, 24.0, 9.0, -1.0, -8.0, -13.0, -14.0, -13.0, -11.0, -7.0, -2.0, 4.0, 9.0)
_DEGENERATION = (0.5, 0.55, 0.4, 0.3, 0.2, 0.2, 0.2, 0.15, 0.15, 0.15, 0.15, 0.1, 0.1)


@dataclass(frozen=True)
class Anatomy:
    """One patient. Arrays run over `UNITS`; disc `i` lies on top of body `i`.

    Arc length `s` (mm) runs upward along the centre of the bodies, 0 at the upper end plate of S1.
    """

    scale: float
    body_bottom: np.ndarray
    body_top: np.ndarray
    depth: np.ndarray
    width: np.ndarray
    tilt: np.ndarray
    wedge: np.ndarray
    degeneration: np.ndarray
    bulge: np.ndarray
    concavity: np.ndarray
    waist: float
    canal_depth: float
    canal_half_width: float
    conus: float
    spinous_length: np.ndarray
    fat_thickness: float
    scoliosis: tuple[float, float, float]
    rotation: float
    sacral_kyphosis: float
    promontory: tuple[float, float]
    slice_shift: float
    lesions: tuple[tuple[int, float, float, float, float], ...]
    modic: np.ndarray
    field_of_view: float


def sample_anatomy(rng: np.random.Generator) -> Anatomy:
    """Draw one patient: every call uses the same count of random numbers whatever the image size is."""
    count = len(UNITS)
    scale = float(rng.uniform(0.9, 1.1))
    degeneration = np.clip(rng.beta(0.7, 1.6, count) + rng.uniform(-0.1, 0.7, count) * np.array(_DEGENERATION), 0, 1)
    height = np.array(_HEIGHT) * scale * rng.normal(1, 0.03, count).clip(0.9, 1.1)
    disc = np.array(_DISC) * scale * rng.normal(1, 0.07, count).clip(0.8, 1.25) * (1 - 0.45 * degeneration**2)
    body_top = np.cumsum(height + disc) - height[0] - disc
    lordosis = float(rng.uniform(0.6, 1.3))
    return Anatomy(
        scale=scale,
        body_bottom=body_top - height,
        body_top=body_top,
        depth=np.array(_DEPTH) * scale * rng.normal(1, 0.025, count),
        width=np.array(_WIDTH) * scale * rng.normal(1, 0.025, count),
        tilt=np.deg2rad(np.array(_TILT) * lordosis + rng.normal(0, 1.5, count)),
        wedge=np.abs(rng.normal(0, 0.03, count)) + 0.1 * (rng.random(count) < 0.03),
        degeneration=degeneration,
        bulge=degeneration * rng.uniform(0, 4.5, count) * (rng.random(count) < 0.7),
        concavity=scale * rng.uniform(0.8, 2.6, count),
        waist=float(rng.uniform(0.05, 0.12)),
        canal_depth=float(rng.uniform(14.5, 18.5)) * scale,
        canal_half_width=float(rng.uniform(9.5, 12.0)) * scale,
        conus=float(0.5 * (body_top[4] + body_top[5]) + rng.uniform(-22, 22)),
        spinous_length=scale * rng.uniform(26, 36, count),
        fat_thickness=float(rng.gamma(3.0, 6.0)) + 5.0,
        scoliosis=(float(rng.normal(0, 2.5)), float(rng.uniform(120, 260)), float(rng.uniform(0, 2 * np.pi))),
        rotation=float(np.deg2rad(rng.normal(0, 4.0))),
        sacral_kyphosis=float(np.deg2rad(rng.uniform(45, 85))),
        promontory=(float(rng.uniform(-18, 22)), float(rng.uniform(52, 112))),
        slice_shift=float(rng.normal(0, 2.0)),
        lesions=tuple(_lesion(rng) for _ in range(int(rng.integers(0, 3)))),
        modic=(rng.random((count, 2)) < 0.35 * degeneration[:, None] ** 2) * rng.choice([-1.0, 1.0], (count, 2)),
        field_of_view=float(rng.uniform(325, 355)),
    )


def _lesion(rng: np.random.Generator) -> tuple[int, float, float, float, float]:
    """A haemangioma: body, place along, front-back and across (fractions of the half size), radius (mm)."""
    place = rng.uniform(-0.6, 0.6, 3)
    return int(rng.integers(1, len(UNITS))), float(place[0]), float(place[1]), float(place[2]), float(rng.uniform(3, 8))
