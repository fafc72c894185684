"""What the names of labels say about directions: levels in order along an axis."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence

import numpy as np

from medicalseg.planning.case_facts import CaseFacts

CRANIOCAUDAL = 2
LEAST_LEVELS = 3
REGIONS = {"c": 0, "t": 7, "th": 7, "d": 7, "l": 19, "s": 24}
MOST_IN_REGION = {"c": 7, "t": 13, "th": 13, "d": 13, "l": 6, "s": 5}
_LEVEL = re.compile(r"(?<![a-z0-9])(th|c|t|d|l|s)(\d{1,2})?(?![a-z0-9])", re.IGNORECASE)


def level_of(name: str) -> float | None:
    """Place of a vertebra or a disc along the spine, counted from C1 downwards; None for other names.

    Discs are named by the two vertebrae beside them and lie between them.

    Example:
        >>> level_of("L5"), level_of("L4/L5"), level_of("vertebrae_T12"), level_of("liver")
        (24.0, 23.5, 19.0, None)
    """
    words = [(region.lower(), number) for region, number in _LEVEL.findall(name.replace("_", " "))]
    if not words or all(not number for _, number in words):
        return 25.0 if name.strip().lower() in ("s", "sacrum") else None
    places = []
    for region, number in words:
        index = int(number) if number else 1
        if not 1 <= index <= MOST_IN_REGION[region]:
            return None
        places.append(REGIONS[region] + index)
    return float(np.mean(places[:2]))


def ordered_levels(names: Mapping[int, str]) -> list[int]:
    """Ids of the labels that are levels of the spine, from the lowest (caudal) to the highest; empty if there are few.

    At least three vertebrae or discs make an order.
    """
    places = {label: level_of(name) for label, name in names.items() if label != 0}
    known = {label: place for label, place in places.items() if place is not None}
    if len(known) < LEAST_LEVELS:
        return []
    return sorted(known, key=lambda label: (-known[label], label))


def agrees_with_data(order: Sequence[int], cases: Sequence[CaseFacts]) -> float | None:
    """Share of neighbours in `order` (caudal first) whose centres lie in that order along the cranio-caudal axis.

    None if no case holds two of the labels.
    """
    right = total = 0
    for case in cases:
        heights = [case.centres[label][CRANIOCAUDAL] for label in order if label in case.centres]
        right += sum(low < high for low, high in itertools.pairwise(heights))
        total += max(0, len(heights) - 1)
    return right / total if total else None
