"""What a prediction run did, and its figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from medicalseg.core.extras import Extras
from medicalseg.core.train_cases import TrainCases, seen_note
from medicalseg.inference import TaskSpec, Timings
from medicalseg.metrics import CaseResult, Summary, summarize
from medicalseg.utils.words import few


@dataclass
class Predictions:
    """What a prediction run did.

    Attributes:
        written: label maps by case name; the first file, where structures that overlap have one each.
        failed: reason by name of the cases that failed.
        timings: seconds per stage.
        results: counts of the cases that have a reference, by case name.
        unlabelled: cases without a reference, if references were given.
        extras: what is reported beside Dice.
        estimated_memory: bytes that the neediest case was estimated to take above the loaded network.
        train_cases: names of cases that a network learned from.
        turned: scored cases whose reference was turned to the axes of the image.
        elsewhere: scored cases whose reference lies on another grid than the image by its header.
    """

    written: dict[str, Path] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    timings: Timings = field(default_factory=Timings)
    results: dict[str, CaseResult] = field(default_factory=dict)
    unlabelled: list[str] = field(default_factory=list)
    extras: Extras = field(default_factory=Extras)
    estimated_memory: int = 0
    train_cases: TrainCases = None
    turned: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def summary(self, task: TaskSpec) -> Summary | None:
        """Figures on the original grid; None if no case was scored."""
        if not self.results:
            return None
        notes = []
        if self.unlabelled:
            notes.append(f"{len(self.unlabelled)} cases have no label and were not scored: {few(self.unlabelled)}")
        if self.failed:
            notes.append(f"{len(self.failed)} cases failed and were not scored: {few(list(self.failed))}")
        notes += [*self._grid_notes(), *seen_note(list(self.results), self.train_cases)]
        results = list(self.results.values())
        return summarize(results, task, "original", notes=notes, **self.extras.of_summary(len(results)))

    def _grid_notes(self) -> Iterator[str]:
        of = f"of {len(self.results)} references"
        if self.elsewhere:
            yield (
                f"{len(self.elsewhere)} {of} lie on another grid than their image by their headers, and were compared "
                f"voxel by voxel with the reference's voxel size: {few(self.elsewhere)}"
            )
        if self.turned:
            yield f"{len(self.turned)} {of} were turned to the axes of their image: {few(self.turned)}"
