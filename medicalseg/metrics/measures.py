"""The measures beside Dice: their names in reports, units, and what an absent class makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medicalseg.errors import UserError

NOT_APPLICABLE = "n/a"


@dataclass(frozen=True)
class Measure:
    """A figure per case and class.

    Attributes:
        name: key in reports.
        title: for people.
        group: word by which it is asked for, see `WANTED`.
        unit: "mm", "mm³", "%"; "" for a share.
        one_sided: its value for a class in only one of the two masks; n/a means left out of the mean.
        larger_is_better: None where neither is.
        count: a number of parts, which is added up over cases rather than averaged.
        listed: has a column of its own in tables.
    """

    name: str
    title: str
    group: str
    unit: str = ""
    one_sided: str = NOT_APPLICABLE
    larger_is_better: bool | None = True
    count: bool = False
    listed: bool = True

    @property
    def heading(self) -> str:
        """Title and unit."""
        return f"{self.title} {self.unit}".strip()


MORE_MEASURES = {
    measure.name: measure
    for measure in (
        Measure("nsd", "NSD", "nsd", one_sided="0"),
        Measure("hd", "HD", "hd", "mm", larger_is_better=False),
        Measure("hd95", "HD95", "hd95", "mm", larger_is_better=False),
        Measure("assd", "ASSD", "assd", "mm", larger_is_better=False),
        Measure("volume_difference", "volume diff.", "volume", "mm³", "± its volume", larger_is_better=None),
        Measure("volume_error", "|volume diff.|", "volume", "mm³", "its volume", larger_is_better=False),
        Measure(
            "volume_relative", "volume diff.", "volume", "%", "-100 if missed, n/a if invented", larger_is_better=None
        ),
        Measure("detection_precision", "det. precision", "detection", one_sided="0"),
        Measure("detection_recall", "det. recall", "detection", one_sided="0"),
        Measure("detection_f1", "det. F1", "detection", one_sided="0"),
        Measure("parts_found", "parts found", "detection", one_sided="0", count=True),
        Measure("parts_right", "parts right", "detection", one_sided="0", count=True, listed=False),
        Measure("parts_missed", "missed", "detection", one_sided="all of them", larger_is_better=False, count=True),
        Measure("parts_invented", "invented", "detection", one_sided="all of them", larger_is_better=False, count=True),
    )
}
WANTED = ("dice", *dict.fromkeys(measure.group for measure in MORE_MEASURES.values()))
DEFAULT = ("dice", "nsd", "hd95")


def check_wanted(wanted: Sequence[str]) -> tuple[str, ...]:
    """The words in `WANTED`'s order, each once.

    Raises:
        UserError: one is unknown.
    """
    for word in wanted:
        if word not in WANTED:
            raise UserError(f"metrics: '{word}' is unknown; known are {', '.join(WANTED)}")
    return tuple(word for word in WANTED if word in wanted)


def measures_of(wanted: Sequence[str]) -> list[Measure]:
    """The measures beside Dice that the words ask for."""
    return [measure for measure in MORE_MEASURES.values() if measure.group in wanted]
