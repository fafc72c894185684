"""What labels say about directions, as decisions: axes that may be mirrored, and an axis that must be seen whole."""

from __future__ import annotations

from dataclasses import dataclass

from medicalseg.datasets.sides import sided_names
from medicalseg.planning.ends import Ends, named_ends, unnamed_ends
from medicalseg.planning.fingerprint import Fingerprint
from medicalseg.planning.levels import CRANIOCAUDAL, agrees_with_data, ordered_levels
from medicalseg.postprocessing.level_names import levels_of
from medicalseg.utils.words import few

AXIS_NAMES = ("left-right", "front-back", "head-foot")
LEAST_AGREEMENT = 0.9
SHOWN = 3


@dataclass(frozen=True)
class Anatomy:
    """What the names of the labels imply, orientation RAS.

    Attributes:
        mirror_axes: axes that may be mirrored.
        mirror_reason: why not the others.
        levels: ids of ordered levels, the lowest first; empty if there are none.
        vertebrae: those of them that are no discs.
        agreement: share of neighbouring levels that lie in that order in the data; None without levels.
        hints: labels that may be ends of an axis that is mirrored.
    """

    mirror_axes: tuple[int, ...]
    mirror_reason: str
    levels: tuple[int, ...] = ()
    vertebrae: tuple[int, ...] = ()
    agreement: float | None = None
    hints: tuple[Ends, ...] = ()


def read_anatomy(fingerprint: Fingerprint) -> Anatomy:
    """Directions that the labels of a dataset know."""
    names = fingerprint.names
    off: dict[int, str] = {}
    sided = sided_names(name for label, name in names.items() if label != 0)
    if sided:
        off[0] = f"labels have sides ({few(sided, SHOWN)})"
    ends = named_ends(names, fingerprint.cases)
    for axis in sorted({found.axis for found in ends}):
        here = [found for found in ends if found.axis == axis]
        off[axis] = _said(here) if axis not in off else f"{off[axis]}; {_said(here)}"
    levels = ordered_levels(names)
    agreement = agrees_with_data(levels, fingerprint.cases) if levels else None
    if agreement is not None and agreement < LEAST_AGREEMENT:
        levels, agreement = [], None
    if levels:
        off[CRANIOCAUDAL] = f"labels are levels along it ({few([names[label] for label in levels], SHOWN)})"
    kept = tuple(axis for axis in range(3) if axis not in off)
    reasons = "; ".join(f"not {AXIS_NAMES[axis]}: {off[axis]}" for axis in sorted(off))
    vertebrae = tuple(label for label in levels if len(levels_of(names[label])) == 1)
    reason = reasons or "no label name has a side, an end or a level, so all axes"
    hints = [found for found in unnamed_ends(names, fingerprint.cases) if found.axis in kept]
    return Anatomy(kept, reason, tuple(levels), vertebrae, agreement, tuple(hints))


def _said(ends: list[Ends]) -> str:
    said = f"labels name its ends ({few(dict.fromkeys(name for found in ends for name in found.names), SHOWN)})"
    cases, kept = sum(found.cases for found in ends), sum(found.kept for found in ends)
    if not cases:
        return said
    what = "in one order" if kept == cases else f"{100 * kept / cases:.0f} % in one order"
    most = max(found.cases for found in ends)
    return f"{said}, {what} in {most} case{'s' if most > 1 else ''}"
