"""Levels of the spine in the names of labels."""

from __future__ import annotations

import re
from typing import NamedTuple

REGIONS = {"s": 0, "sacrum": 0, "l": 1, "t": 2, "th": 2, "d": 2, "c": 3}
LAST = ((5,), (4, 5, 6), (11, 12, 13), (6, 7))
WORDS = {"vertebra", "vertebrae", "body", "bodies", "disc", "disk", "discs", "disks", "ivd", "intervertebral", "level"}
_LEVEL = re.compile(r"(sacrum|s)(\d?)|(th|[ltcd])(\d{1,2})")
_WORD = re.compile(r"(?:sacrum|s\d?|(?:th|[ltcd])\d{1,2}){1,2}")


class Level(NamedTuple):
    """A vertebra; sorted from the sacrum upwards.

    Attributes:
        region: 0 sacral, 1 lumbar, 2 thoracic, 3 cervical.
        height: the vertebra's number times -1.
    """

    region: int
    height: int


def levels_of(name: str) -> tuple[Level, ...]:
    """The level of a vertebra, or the two of the disc between them, the lower first; none if a name says anything else.

    Example:
        >>> [(level.region, -level.height) for level in levels_of("disc L5-S1")]
        [(0, 1), (1, 5)]
        >>> levels_of("vertebrae_Th12") == levels_of("D12") == levels_of("T12"), levels_of("L5 nerve")
        (True, ())
    """
    words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word and word not in WORDS]
    if not all(_WORD.fullmatch(word) for word in words):
        return ()
    parts = [match for word in words for match in _LEVEL.findall(word)]
    found = sorted(
        Level(REGIONS[sacral or region], -int(number or other or 1)) for sacral, other, region, number in parts
    )
    if any(not 1 <= -level.height <= LAST[level.region][-1] for level in found):
        return ()
    return tuple(found) if len(found) == 1 or (len(found) == 2 and _neighbours(*found)) else ()


def _neighbours(lower: Level, upper: Level) -> bool:
    if lower.region == upper.region:
        return upper.height - lower.height == 1
    return upper.region - lower.region == 1 and lower.height == -1 and -upper.height in LAST[upper.region]
