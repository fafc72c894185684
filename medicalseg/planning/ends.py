"""Labels that are the two ends of a structure along an axis, told by their names and by where they lie."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from medicalseg.datasets.sides import words_of
from medicalseg.planning.case_facts import CaseFacts

SAME_ORDER = 0.9
ALIKE = 4.0
FEWEST_CASES = 3
PAIRS: dict[int, tuple[tuple[tuple[str, str], tuple[str, str]], ...]] = {
    1: (
        (("ant|a", r"anter[io]\w*"), ("post|p", r"poster[io]\w*")),
        (("vent|v", "ventral"), ("dors|d", "dorsal")),
        (("fr|f", "front|vorne|vorderer?s?"), ("b", "back|rear|hinten|hinterer?s?")),
    ),
    2: (
        (("sup|s", r"superi\w*"), ("inf|i", r"inferi\w*")),
        (("upp|up|u", "upper|oben|oberer?s?"), ("low|l", "lower|unten|unterer?s?")),
        (("cran|kran|ceph", r"[ck]ranial|cephal\w*"), ("caud|kaud", "[ck]audal")),
        (("prox", r"proximal\w*"), ("dist", r"distal\w*")),
        (("t", "top"), ("bot", "bottom")),
        (("apic", "apical|apex"), ("bas", "basal|base")),
    ),
}


class Ends(NamedTuple):
    """Two labels at the ends of an axis.

    Attributes:
        axis: orientation RAS.
        names: of the labels.
        kept: cases in which they lie in the usual order.
        cases: cases that hold both.
    """

    axis: int
    names: tuple[str, str]
    kept: int
    cases: int


def named_ends(names: Mapping[int, str], cases: Sequence[CaseFacts]) -> list[Ends]:
    """Labels whose names are opposite ends of front-back or head-foot.

    Words such as "Anterior" and "lower" stand for themselves. Abbreviations ("ant", "inf", "a") count where the names
    are otherwise the same, the median volumes are within a factor of 4 and the centres of mass keep one order along an
    axis in 90 % of the cases that hold both. The axis is the one that the words mean, unless the order is kept along
    another one only.
    """
    found = []
    for first, second in itertools.combinations([label for label in names if label != 0], 2):
        for axis, spelt_out in _opposite(names[first], names[second]):
            kept = {item: _order(cases, first, second, item)[0] for item in range(3)}
            count = _order(cases, first, second, axis)[1]
            steady = [item for item in _by_distance(cases, first, second) if kept[item] >= SAME_ORDER * count]
            if spelt_out or not count or (steady and _alike(cases, first, second)):
                place = axis if axis in steady or not steady else steady[0]
                found.append(Ends(place, (names[first], names[second]), kept[place], count))
                break
    return found


def unnamed_ends(names: Mapping[int, str], cases: Sequence[CaseFacts]) -> list[Ends]:
    """Labels that may be two ends of something though no word says so: a hint, no decision.

    They differ in one word ("part 1", "part 2") or are the only two, lie in one order in all of at least three cases
    along the axis on which they are farthest apart, and have similar volumes.
    """
    foreground, found = [label for label in names if label != 0], []
    for first, second in itertools.combinations(foreground, 2):
        axis = next(iter(_by_distance(cases, first, second)), None)
        related = len(foreground) == 2 or _differ_in_one_word(names[first], names[second])
        if axis is None or not related or not _alike(cases, first, second):
            continue
        kept, count = _order(cases, first, second, axis)
        if kept == count >= FEWEST_CASES:
            found.append(Ends(axis, (names[first], names[second]), kept, count))
    return found


def _opposite(first: str, second: str) -> Iterator[tuple[int, bool]]:
    """Axes of which two names are opposite ends, and whether by words that are not abbreviated."""
    words, others = _words(first), _words(second)
    for axis, pairs in PAIRS.items():
        for (short, full), (far_short, far_full) in (*pairs, *((b, a) for a, b in pairs)):
            for here, there in itertools.product(range(len(words)), range(len(others))):
                pair = (words[here], others[there])
                spelt_out = _are(pair, full, far_full)
                if spelt_out or (
                    _are(pair, f"{short}|{full}", f"{far_short}|{far_full}")
                    and words[:here] + words[here + 1 :] == others[:there] + others[there + 1 :]
                    and (len(words) > 1 or min(map(len, pair)) > 1)
                ):
                    yield axis, spelt_out


def _are(pair: tuple[str, str], first: str, second: str) -> bool:
    return bool(re.fullmatch(first, pair[0]) and re.fullmatch(second, pair[1]))


def _words(name: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", name)
    return words_of("".join(sign for sign in plain if not unicodedata.combining(sign)))


def _differ_in_one_word(first: str, second: str) -> bool:
    words, others = _words(first), _words(second)
    different = sum(a != b for a, b in zip(words, others, strict=False))
    return len(words) == len(others) > 1 and different == 1


def _distances(cases: Sequence[CaseFacts], first: int, second: int) -> np.ndarray:
    """(cases that hold both, 3) mm from the first label's centre to the second's."""
    both = [case.centres for case in cases if first in case.centres and second in case.centres]
    return np.array([np.subtract(centres[second], centres[first]) for centres in both]).reshape(-1, 3)


def _order(cases: Sequence[CaseFacts], first: int, second: int, axis: int) -> tuple[int, int]:
    """Cases in which two labels lie in the more frequent order along an axis, and cases that hold both."""
    distances = _distances(cases, first, second)[:, axis]
    return max(int((distances > 0).sum()), int((distances < 0).sum())), len(distances)


def _by_distance(cases: Sequence[CaseFacts], first: int, second: int) -> list[int]:
    """Axes, the one on which two labels are farthest apart first; none if no case holds both."""
    distances = _distances(cases, first, second)
    if not len(distances):
        return []
    return [int(axis) for axis in np.argsort(-np.abs(np.median(distances, axis=0)), kind="stable")]


def _alike(cases: Sequence[CaseFacts], first: int, second: int) -> bool:
    """Whether the median volumes are within a factor of 4."""
    both = [case for case in cases if case.voxels.get(first) and case.voxels.get(second)]
    if not both:
        return False
    ratio = float(np.median([case.voxels[first] / case.voxels[second] for case in both]))
    return 1 / ALIKE <= ratio <= ALIKE
