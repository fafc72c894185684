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
from medicalseg.inference import Inferer, Network, TaskSpec, Timings, segment
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
) -> Predictions:
    """Segment cases one after the other; a case that fails is logged with its name and the rest goes on.

    Args:
        cases: from `medicalseg.inference.inputs.find_inputs`.
        task: classes and preprocessing of the network.
        network: computes labels.
        save_dir: gets each case's label map under `case.output`.
        labels: references to score against.
        sliding: how a volume goes through the network; None = in one piece.
    """
    report = Predictions()
    for number, case in enumerate(cases, 1):
        start = time.perf_counter()
        try:
            path = _predict_case(case, task, network, Path(save_dir), labels, sliding, report, len(cases) == 1)
        except FAILURES as error:
            reason = str(error) if isinstance(error, MedicalSegError) else f"{type(error).__name__}: {error}"
            report.failed[case.name] = reason
            logger.error("[%d/%d] %s failed: %s", number, len(cases), case.name, reason)
        else:
            seconds = time.perf_counter() - start
            logger.info("[%d/%d] %s -> %s (%.1f s)", number, len(cases), case.name, path, seconds)
    return report


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


def _predict_case(
    case: InputCase,
    task: TaskSpec,
    network: Network,
    save_dir: Path,
    labels: Labels | None,
    sliding: Inferer | None,
    report: Predictions,
    alone: bool,
) -> Path:
    timings = Timings()
    with timings.measure("read"):
        image = case.read()
    result = segment(image, task, network, sliding, timings)
    target = save_dir / case.output
    with timings.measure("write"):
        target.parent.mkdir(parents=True, exist_ok=True)
        write_volume(result, target)
    report.timings.add(timings)
    report.written[case.name] = target
    if labels is not None:
        _score(case, task, labels, image, result, report, alone)
    return target


def _score(
    case: InputCase, task: TaskSpec, labels: Labels, image: Volume, result: Volume, report: Predictions, alone: bool
) -> None:
    path = labels.find(case, alone)
    if path is None:
        report.unlabelled.append(case.name)
        return
    reference = labels.read(path, image)
    difference = image.grid_difference(reference)
    if difference is not None:
        logger.warning(
            "%s: its header puts it elsewhere than the image (%s); compared voxel by voxel", path, difference
        )
    try:
        counts = confusion_counts(result.array, reference.array, task.num_classes, task.ignore_index)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    report.results[case.name] = CaseResult(case.name, counts, float(np.prod(reference.spacing)))


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
