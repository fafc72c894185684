"""What the names of labels say about directions: levels in order along an axis."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from medicalseg.planning.case_facts import CaseFacts
from medicalseg.postprocessing.level_names import levels_of

CRANIOCAUDAL = 2
LEAST_LEVELS = 3
FEWEST_STARTS = 10


def ordered_levels(names: Mapping[int, str]) -> list[int]:
    """Ids of the labels that are levels of the spine, from the lowest (caudal) to the highest; empty if there are few.

    At least three vertebrae or discs make an order.
    """
    known = {label: levels_of(name) for label, name in names.items() if label != 0 and levels_of(name)}
    if len(known) < LEAST_LEVELS:
        return []
    return sorted(known, key=lambda label: (known[label][0], len(known[label]), label))


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


def start_lowest(levels: Sequence[Sequence[int]], cases: Sequence[CaseFacts]) -> bool:
    """Whether every case that holds a level holds the lowest one of its kind, in enough cases to rely on it.

    Args:
        levels: ids of each kind (vertebrae, discs) from the lowest to the highest.
        cases: the measured cases.
    """
    starts = [[kind[0] in case.centres for case in cases if set(kind) & set(case.centres)] for kind in levels if kind]
    return all(len(kind) >= FEWEST_STARTS and all(kind) for kind in starts)
