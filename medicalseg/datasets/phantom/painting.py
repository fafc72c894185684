"""From structures to signal: the tissues of one section are painted one over the other with soft edges."""

from __future__ import annotations

import numpy as np

from medicalseg.datasets.phantom.anatomy import Anatomy
from medicalseg.datasets.phantom.section import Distances, SpineSection, smooth_minimum
from medicalseg.datasets.phantom.tissue import Signals


class Painter:
    """Paints a flat array of pixels; an edge is a ramp of `softness` mm, which stands for partial volume."""

    def __init__(self, pixels: np.ndarray, softness: float) -> None:
        self.pixels, self._softness = pixels, softness

    def fill(self, inside: np.ndarray, value: np.ndarray | float, strength: float = 1.0) -> None:
        """Lay `value` where the signed distance `inside` (mm) is positive."""
        share = np.clip(0.5 + inside / self._softness, 0, strength)
        self.pixels += share * (value - self.pixels)

    def line(self, distance: np.ndarray, half_width: float, value: np.ndarray | float) -> None:
        """Draw the zero level of `distance` as a line; lines thinner than a pixel fade instead of growing."""
        share = min(1.0, 2 * half_width / self._softness)
        self.fill(half_width + 0.25 * self._softness - np.abs(distance), value, share)


def paint_spine(
    painter: Painter,
    section: SpineSection,
    distances: Distances,
    signals: Signals,
    mottle: dict[str, np.ndarray],
) -> None:
    """Paint everything near the spine; `mottle` holds the random fields at the section's pixels."""
    _soft_tissue(painter, section, distances, signals, mottle)
    _posterior_elements(painter, section, distances, signals, mottle)
    _canal(painter, section, distances, signals, mottle)
    _bodies_and_discs(painter, section, distances, signals, mottle)


def _box(*sides: np.ndarray) -> np.ndarray:
    """Where all `sides` are positive, the corners a little rounded."""
    result = sides[0]
    for side in sides[1:]:
        result = smooth_minimum(result, side, 2.5)
    return result


def _soft_tissue(
    painter: Painter, section: SpineSection, distances: Distances, signals: Signals, mottle: dict[str, np.ndarray]
) -> None:
    anatomy, across = section.anatomy, distances.across
    side = np.abs(across)
    lumbar = np.clip(1 - section.s / float(anatomy.body_top[5]), 0, 1)
    streaks = np.clip((mottle["muscle"] - 1.1 + 1.2 * lumbar) * 1.3, 0, 1)
    muscle = signals.muscle * (1 + 0.12 * mottle["fine"]) + (0.75 * signals.fat - signals.muscle) * streaks * 0.8
    painter.fill(section.behind - 0.6 * section.canal_depth, muscle)
    middle = _box(3.5 - side, section.behind - section.canal_depth)
    painter.fill(middle, 0.42 * signals.fat + 0.2 * signals.fat * np.clip(mottle["muscle"], -1, 1.5))
    psoas = 17.0 - np.hypot(0.8 * (section.u + 4 - 0.04 * section.s), side - 0.55 * float(anatomy.width[2]) - 9)
    painter.fill(
        np.minimum(psoas, float(anatomy.body_top[5]) - section.s), signals.muscle * (1 + 0.15 * mottle["fine"])
    )
    ahead = section.u - section.depth
    painter.fill(_box(ahead, 9 - ahead), 0.6 * signals.fat * (1 + 0.2 * mottle["fine"]))
    above_fork = section.s - float(anatomy.body_bottom[2])
    for place, distance, radius in ((-7.0, 13.0, 9.0), (11.0, 10.0, 8.0)):
        tube = radius - np.hypot(ahead - distance, across - place)
        painter.fill(np.minimum(tube, 0.3 * above_fork), signals.vessel)


def _posterior_elements(
    painter: Painter, section: SpineSection, distances: Distances, signals: Signals, mottle: dict[str, np.ndarray]
) -> None:
    anatomy, scale = section.anatomy, section.anatomy.scale
    side, behind, s = np.abs(distances.across), section.behind, section.s
    marrow = 0.95 * signals.marrow * (1 + 0.1 * mottle["marrow"] + 0.05 * mottle["fine"])
    canal = anatomy.canal_half_width
    oval = np.hypot((section.s - section.bottom + 3 * scale) / 1.7, behind - 6 * scale)
    foramen = np.minimum(8 * scale - oval, side - 0.75 * canal)
    painter.fill(foramen, signals.fat * (0.85 + 0.1 * mottle["fine"]))
    root = 2.6 * scale - np.hypot(s - (section.middle - 0.35 * section.half), behind - 5 * scale)
    painter.fill(_box(root, side - 0.8 * canal), signals.roots * 0.6)

    thoracic = np.clip((s - float(anatomy.body_bottom[5])) / 80, 0, 1)
    pedicle = _box(
        5.0 * scale - np.abs(side - canal - 4.0 * scale),
        (7.5 - 1.5 * thoracic) * scale - np.abs(s - section.middle - 0.22 * section.half),
        behind + 4 * scale,
        17 * scale - behind,
    )
    pillar = _box(
        7.0 * scale - np.abs(side - canal - 6 * scale),
        (8.0 - 2 * thoracic) * scale - np.abs(behind - 20 * scale),
    )
    joint = s - (section.bottom - 3 * scale - 0.9 * (behind - 20 * scale))
    lamina_place = s - (section.middle - 5 * scale) + 0.25 * (behind - section.canal_depth)
    lamina = _box(
        3.4 * scale - np.abs(behind - section.canal_depth - 4.5 * scale),
        8.5 * scale - np.abs(lamina_place),
        canal + 4 * scale - side,
    )
    for bone in (pillar, pedicle, lamina, _spinous(section, side, thoracic)):
        painter.fill(bone, marrow)
        painter.line(bone, 0.7 * scale, signals.cortex)
    painter.line(np.where(pillar > 0, joint, 9.0), 0.7 * scale, signals.cortex * 1.5)
    flavum = _box(
        2.0 * scale - np.abs(behind - section.canal_depth - 2.5 * scale), np.abs(lamina_place) - 8.5 * scale,
        canal - side, s + 5,
    )  # fmt: skip
    painter.fill(flavum, signals.ligament * 1.4)


def _spinous(section: SpineSection, side: np.ndarray, thoracic: np.ndarray) -> np.ndarray:
    """Plates behind the arch: broad and level in the lumbar, slender and steep in the thoracic spine."""
    anatomy, scale = section.anatomy, section.anatomy.scale
    out = section.behind - section.canal_depth - 5 * scale
    lowered = section.s + out * (0.22 + 0.75 * thoracic) + 7 * scale
    unit = section.unit_at(lowered)
    middle = 0.5 * (anatomy.body_bottom + anatomy.body_top).astype(np.float32)[unit]
    middle = np.where(unit == 0, -12 * scale, middle)
    length = anatomy.spinous_length.astype(np.float32)[unit] * np.where(unit == 0, 0.35, 1.0)
    height = (9.5 - 4.5 * thoracic) * scale * np.clip(0.75 + 0.012 * out, 0.7, 1.15) * np.where(unit == 0, 0.8, 1.0)
    tip = _box(height - np.abs(lowered - middle), length - out, out + 2)
    return np.minimum(tip, (3.6 * scale - side))


def _canal(
    painter: Painter, section: SpineSection, distances: Distances, signals: Signals, mottle: dict[str, np.ndarray]
) -> None:
    anatomy, scale, across, s = section.anatomy, section.anatomy.scale, distances.across, section.s
    half = 0.5 * section.canal_depth
    centre = section.behind - 1.2 * scale - half
    width = anatomy.canal_half_width * np.clip(0.4 + half / (0.5 * anatomy.canal_depth) * 0.6, 0.4, 1)
    canal = (1 - np.sqrt((centre / half) ** 2 + (across / width) ** 2)) * half
    inside = np.minimum(canal, s + 78 * scale)
    painter.fill(inside, signals.fat * (0.8 + 0.05 * mottle["fine"]))
    pad = scale * (0.4 + 2.6 * np.clip(np.abs(section.level) - 0.55, 0, 0.5) * 2) * np.clip(1.3 - s / 150, 0, 1)
    pad = np.where(s < 0, 2.5 * scale, pad)
    sac_half = np.maximum(half - 0.5 * pad - 0.4, 1.0)
    from_sac = centre + 0.5 * pad
    sac = (1 - np.sqrt((from_sac / sac_half) ** 2 + (across / (width - 1)) ** 2)) * sac_half
    sac = np.minimum(sac, s + 46 * scale)
    painter.line(sac, 0.4 * scale, signals.ligament * 2)
    pulsation = 1 - 0.12 * np.clip(mottle["muscle"], 0, 2) * np.clip(s / 150, 0, 1)
    painter.fill(sac - 0.3, signals.fluid * pulsation)
    roots = (1 - np.sqrt(((from_sac - 0.45 * sac_half) / (0.55 * sac_half)) ** 2 + (across / (0.75 * width)) ** 2)) * 3
    below = np.clip((anatomy.conus - s) / 20, 0, 1) * np.clip((s + 40 * scale) / 60, 0, 1)
    painter.fill(np.where(below > 0, roots, -9.0), signals.roots + 250 * mottle["fine"] * 0.6, 0.6)
    taper = np.clip((s - anatomy.conus) / (26 * scale), 0, 1) ** 0.6
    swelling = 1 + 0.18 * np.exp(-(((s - anatomy.conus - 38 * scale) / 22) ** 2))
    cord_half = np.maximum(3.3 * scale * taper * swelling, 0.05)
    cord = (
        1 - np.sqrt(((from_sac - 0.1 * sac_half) / cord_half) ** 2 + (across / (1.35 * cord_half)) ** 2)
    ) * cord_half
    painter.fill(np.where(taper > 0.02, cord, -9.0), signals.cord * (1 + 0.04 * mottle["fine"]))


def _bodies_and_discs(
    painter: Painter, section: SpineSection, distances: Distances, signals: Signals, mottle: dict[str, np.ndarray]
) -> None:
    anatomy, scale, s = section.anatomy, section.anatomy.scale, section.s
    _paint_discs(painter, section, distances, signals, mottle)
    coccyx = _box(section.depth - np.abs(section.u), 5 * scale - np.abs(distances.across), -100 * scale - s)
    painter.fill(_box(coccyx, s + 134 * scale), 0.8 * signals.marrow)
    marrow = signals.marrow * (1 + 0.13 * mottle["marrow"] + 0.06 * mottle["fine"])
    marrow = _with_modic(marrow, anatomy, section, distances, signals)
    painter.fill(distances.body, marrow)
    vein = _box(1.6 * scale - np.abs(s - section.middle), -section.u - 0.3 * section.depth,
                4 * scale - np.abs(distances.across))  # fmt: skip
    painter.fill(np.where(section.sacral, -9.0, np.minimum(vein, distances.body - 0.5)), 0.5 * signals.fluid)
    _paint_lesions(painter, section, distances, signals)
    _paint_remnants(painter, section, distances, signals)
    painter.line(distances.body, 0.75 * scale, signals.cortex)


def _paint_discs(
    painter: Painter, section: SpineSection, distances: Distances, signals: Signals, mottle: dict[str, np.ndarray]
) -> None:
    painter.line(distances.disc, 0.9, signals.ligament)
    painter.fill(distances.disc, signals.annulus)
    ageing = section.degeneration
    core = signals.disc_healthy + (signals.disc_dry - signals.disc_healthy) * np.clip(1.25 * ageing, 0, 1)
    core = core * (1 + 0.06 * mottle["fine"])
    cleft = np.clip(1 - np.abs(distances.end_plate) / 9, 0.55, 1)
    reach = (0.78 - distances.radius) * section.depth
    painter.fill(np.minimum(reach, distances.disc - 0.6), core * (0.75 + 0.25 * cleft))


def _with_modic(
    marrow: np.ndarray, anatomy: Anatomy, section: SpineSection, distances: Distances, signals: Signals
) -> np.ndarray:
    """Bands of fat (bright) or sclerosis (dark) along the end plates of worn discs."""
    upper = section.s > section.middle
    kind = anatomy.modic.astype(np.float32)[section.disc_index, np.where(upper, 0, 1)]
    kind = np.where(section.sacral & ~upper, 0, kind)
    band = np.clip(1 - distances.end_plate / 8, 0, 1)
    return marrow + kind * band * 0.45 * signals.marrow


def _paint_lesions(painter: Painter, section: SpineSection, distances: Distances, signals: Signals) -> None:
    for unit, along, ahead, aside, radius in section.anatomy.lesions:
        centre = 0.5 * (section.anatomy.body_bottom[unit] + section.anatomy.body_top[unit])
        half = 0.5 * (section.anatomy.body_top[unit] - section.anatomy.body_bottom[unit])
        gap = np.sqrt(
            (section.s - centre - along * half) ** 2
            + (section.u - ahead * section.depth) ** 2
            + (distances.across - aside * section.width) ** 2
        )
        painter.fill(np.minimum(radius - gap, distances.body), 1.8 * signals.marrow, 0.8)


def _paint_remnants(painter: Painter, section: SpineSection, distances: Distances, signals: Signals) -> None:
    """Thin disc remnants inside the sacrum."""
    scale = section.anatomy.scale
    reach = np.minimum(16 * scale - np.abs(distances.across), distances.body + 1)
    for place, half in ((-30.0, 1.7), (-54.0, 1.1), (-74.0, 0.9), (-92.0, 0.8)):
        gap = half * scale - np.abs(section.s - place * scale)
        painter.fill(np.minimum(gap, reach), signals.cortex * 1.4)
        if place == -30.0:
            core = np.minimum(gap - 0.6, reach - 6)
            painter.fill(core, 0.5 * signals.disc_healthy)
