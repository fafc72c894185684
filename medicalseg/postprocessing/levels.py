"""Which classes of a task are levels of a spine, told from their names."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from medicalseg.postprocessing.level_names import Level, levels_of

FEWEST = 3
SETTLES = 100.0
"""Votes for an anchor that no column outvotes."""


def spine_levels(names: Mapping[int, str], present: Collection[int]) -> tuple[list[int], list[int]] | None:
    """Ids of vertebrae and of discs, each from the lowest level to the highest.

    A vertebra is named by one level ("L5", "vertebra_Th12", "sacrum"), a disc by two ("L4/L5", "disc L5-S1").

    Args:
        names: by id.
        present: ids that references hold. Levels below the lowest of them are left out, because no network learns
            them; those above its highest stay, because a wrong number may be one of them.

    Returns:
        None with fewer than three vertebrae, or if vertebrae and discs do not alternate.
    """
    bones: dict[Level, int] = {}
    between: dict[Level, int] = {}
    for label, name in names.items():
        levels = levels_of(name)
        if len(levels) == 1:
            bones[levels[0]] = label
        elif len(levels) == 2:
            between[levels[0]] = label
    if len(bones) < FEWEST:
        return None
    vertebrae, discs = sorted(bones), sorted(between)
    if discs and not _alternate(vertebrae, discs):
        return None
    both = {
        **{(level, 0): label for level, label in bones.items()},
        **{(level, 1): label for level, label in between.items()},
    }
    known = [place for place in sorted(both) if both[place] in present]
    kept = [place for place in sorted(both) if known and place >= known[0]]
    found = [both[place] for place in kept if not place[1]]
    return (found, [both[place] for place in kept if place[1]]) if len(found) >= FEWEST else None


def _alternate(vertebrae: list[Level], discs: list[Level]) -> bool:
    """Whether there is one disc below each vertebra, or one above each but the last (by its lower level)."""
    if len(discs) == len(vertebrae):
        return discs[1:] == vertebrae[:-1] and discs[0] < vertebrae[0]
    return discs == vertebrae[:-1]
