"""Prediction: images of any format to label maps on their own grid; with references, the same figures as evaluation.

Nothing here needs Paddle: the network is whatever computes labels, a checkpoint or a deployed model.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from medicalseg.errors import DataError, MedicalSegError
from medicalseg.inference import Inferer, Network, TaskSpec, Timings, segment_batch
from medicalseg.inference.inputs import InputCase, Labels
from medicalseg.io import Volume, read_label, write_volume
from medicalseg.metrics import CaseResult, Summary, confusion_counts, summarize
from medicalseg.reports import render_table, write_metrics, write_overlay
from medicalseg.reports.overlay import representative_cases
from medicalseg.utils.logger import logger

FAILURES = (MedicalSegError, OSError, ValueError, RuntimeError, MemoryError)


@dataclass
class Predictions:
    """What a prediction run did.

    Attributes:
        written: label maps by case name.
        failed: reason by name of the cases that failed.
        timings: seconds per stage.
        results: counts of the cases that have a reference, by case name.
        unlabelled: cases without a reference, if references were given.
    """

    written: dict[str, Path] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    timings: Timings = field(default_factory=Timings)
    results: dict[str, CaseResult] = field(default_factory=dict)
    unlabelled: list[str] = field(default_factory=list)

    def summary(self, task: TaskSpec) -> Summary | None:
        """Figures on the original grid; None if no case was scored."""
        if not self.results:
            return None
        notes = []
        if self.unlabelled:
            notes.append(f"{len(self.unlabelled)} cases have no label and were not scored: {_few(self.unlabelled)}")
        if self.failed:
            notes.append(f"{len(self.failed)} cases failed and were not scored: {_few(list(self.failed))}")
        return summarize(list(self.results.values()), task, "original", notes=notes)


def predict_cases(
    cases: Sequence[InputCase],
    task: TaskSpec,
    network: Network,
    save_dir: str | Path,
    *,
    labels: Labels | None = None,
    sliding: Inferer | None = None,
    batch_size: int = 1,
) -> Predictions:
    """Segment cases; one that fails is logged with its name and the rest goes on.

    Args:
        cases: from `medicalseg.inference.inputs.find_inputs`.
        task: classes and preprocessing of the network.
        network: computes labels.
        save_dir: gets each case's label map under `case.output`.
        labels: references to score against.
        sliding: how a volume goes through the network; None = in one piece.
        batch_size: cases that go through the network together where their network grids are equal.
    """
    run = _Run(task, network, Path(save_dir), labels, sliding, alone=len(cases) == 1)
    done = 0
    for start in range(0, len(cases), batch_size):
        batch = list(cases[start : start + batch_size])
        for case, path, seconds in run.predict(batch):
            done += 1
            where = f"[{done}/{len(cases)}] {case.name}"
            if path is None:
                logger.error("%s failed: %s", where, run.report.failed[case.name])
            else:
                logger.info("%s -> %s (%.1f s)", where, path, seconds)
    return run.report


def write_report(
    report: Predictions,
    cases: Sequence[InputCase],
    task: TaskSpec,
    save_dir: str | Path,
    *,
    labels: Labels | None = None,
    overlays: int = 0,
) -> Summary | None:
    """Log timings and the table; write metrics.json, metrics.csv and overlays of scored cases."""
    if report.timings.seconds:
        logger.info("%s", report.timings.line())
    summary = report.summary(task)
    if summary is None:
        if labels is not None:
            logger.warning("No case was scored: no label with the name of an image was found.")
        return None
    logger.info("%s", render_table(summary))
    write_metrics(save_dir, summary)
    by_name = {case.name: case for case in cases}
    for title, position in representative_cases(summary.case_scores(), overlays).items():
        case = by_name[summary.cases[position].case]
        score = summary.case_scores()[position]
        heading = f"{title} case: {case.name}, foreground mean Dice {score:.4f} (original grid)"
        target = Path(save_dir) / "overlays" / f"{title}_{case.name.replace('/', '_')}.png"
        _write_overlay(case, labels, report.written[case.name], target, summary, heading, len(cases) == 1)
    return summary


def conclude(report: Predictions, cases: Sequence[InputCase], save_dir: str | Path) -> int:
    """Log how the run ended and return its exit code: 2 if a case failed."""
    if report.failed:
        logger.error("%d of %d cases failed: %s", len(report.failed), len(cases), ", ".join(report.failed))
        return 2
    logger.info("Label maps written to %s: %d", save_dir, len(report.written))
    return 0


class _Run:
    """One prediction run: how a batch of cases becomes label maps and figures."""

    def __init__(
        self,
        task: TaskSpec,
        network: Network,
        save_dir: Path,
        labels: Labels | None,
        sliding: Inferer | None,
        alone: bool,
    ) -> None:
        self.task, self.network, self.save_dir = task, network, save_dir
        self.labels, self.sliding, self.alone = labels, sliding, alone
        self.report = Predictions()

    def predict(self, batch: Sequence[InputCase]) -> list[tuple[InputCase, Path | None, float]]:
        """Path (None = failed) and seconds of every case; a batch that fails is taken apart to find the case."""
        clock = time.perf_counter()
        try:
            paths = self._together(batch)
        except FAILURES as error:
            if len(batch) > 1:
                return [item for case in batch for item in self.predict([case])]
            reason = str(error) if isinstance(error, MedicalSegError) else f"{type(error).__name__}: {error}"
            self.report.failed[batch[0].name] = reason
            return [(batch[0], None, 0.0)]
        seconds = (time.perf_counter() - clock) / len(batch)
        return [(case, path, seconds) for case, path in zip(batch, paths, strict=True)]

    def _together(self, batch: Sequence[InputCase]) -> list[Path]:
        timings = Timings()
        images = []
        for case in batch:
            with timings.measure("read"):
                images.append(case.read())
        results = segment_batch(images, self.task, self.network, self.sliding, timings)
        scored: dict[str, CaseResult] = {}
        paths = []
        for case, image, result in zip(batch, images, results, strict=True):
            paths.append(self.save_dir / case.output)
            with timings.measure("write"):
                paths[-1].parent.mkdir(parents=True, exist_ok=True)
                write_volume(result, paths[-1])
            if self.labels is not None:
                scored.update(self._score(case, self.labels, image, result))
        self.report.timings.add(timings)
        self.report.results.update(scored)
        self.report.written.update({case.name: path for case, path in zip(batch, paths, strict=True)})
        if self.labels is not None:
            self.report.unlabelled += [case.name for case in batch if case.name not in scored]
        return paths

    def _score(self, case: InputCase, labels: Labels, image: Volume, result: Volume) -> dict[str, CaseResult]:
        path = labels.find(case, self.alone)
        if path is None:
            return {}
        reference = labels.read(path, image)
        difference = image.grid_difference(reference)
        if difference is not None:
            logger.warning(
                "%s: its header puts it elsewhere than the image (%s); compared voxel by voxel", path, difference
            )
        try:
            counts = confusion_counts(result.array, reference.array, self.task.num_classes, self.task.ignore_index)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        return {case.name: CaseResult(case.name, counts, float(np.prod(reference.spacing)))}


def _write_overlay(
    case: InputCase, labels: Labels | None, written: Path, target: Path, summary: Summary, title: str, alone: bool
) -> None:
    reference = labels.find(case, alone) if labels is not None else None
    if reference is None:
        return
    image = case.read()
    write_overlay(
        target,
        image.array if image.array.ndim == 3 else image.array[0],
        read_label(reference).array,
        read_label(written).array,
        spacing=image.spacing,
        axcodes=image.axcodes,
        names=dict(enumerate(summary.class_names)),
        title=title,
    )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
