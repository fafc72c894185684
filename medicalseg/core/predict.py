"""Prediction: images of any format to label maps on their own grid; with references, the same figures as evaluation.

Nothing here needs Paddle: the network is whatever computes labels, a checkpoint or a deployed model.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medicalseg.core.counting import count_voxels, voxel_volume
from medicalseg.core.extras import Extras, check_levels
from medicalseg.core.predictions import Predictions
from medicalseg.core.prefetch import Behind, prefetch
from medicalseg.core.train_cases import TrainCases
from medicalseg.errors import DataError, MedicalSegError, UserError
from medicalseg.inference import Inferer, Network, TaskSpec, Timings, inferer_for
from medicalseg.inference.alike import check_answers
from medicalseg.inference.file_size import numbers_in
from medicalseg.inference.grid import GridRecord
from medicalseg.inference.inputs import InputCase, Labels
from medicalseg.inference.memory import FLOAT, MemoryPlan, release_memory
from medicalseg.inference.mixture import Member
from medicalseg.inference.outputs import ON_TOP, read_labels, shown_image, topmost_ids, write_labels
from medicalseg.inference.pipeline import Result, prepare, restore, run_network
from medicalseg.inference.smaller import in_smaller_pieces, mix_within, segment_all_within
from medicalseg.io import Volume, case_name, is_picture, write_volume
from medicalseg.metrics import CaseResult, Summary
from medicalseg.reports import render_table, write_metrics, write_overlay
from medicalseg.reports.overlay import representative_cases
from medicalseg.reports.run_facts import run_facts
from medicalseg.utils.logger import logger
from medicalseg.utils.words import counted

LARGE_IMAGE, LARGE_ARRAY = 64 << 20, 128 << 20
FAILURES = (MedicalSegError, OSError, ValueError, RuntimeError, MemoryError)


def predict_cases(
    cases: Sequence[InputCase],
    task: TaskSpec,
    network: Network,
    save_dir: str | Path,
    *,
    labels: Labels | None = None,
    sliding: Inferer | None = None,
    batch_size: int = 1,
    ahead: int = 1,
    others: Sequence[Member] = (),
    previous: Sequence[Member] = (),
    uncertainty: bool = False,
    memory: int | None = None,
    extras: Extras | None = None,
    train_cases: TrainCases = None,
) -> Predictions:
    """Segment cases; one that fails is logged with its name and the rest goes on.

    While the network works on some cases, the next are read and prepared and the last are restored and written.

    Args:
        cases: from `medicalseg.inference.inputs.find_inputs`.
        task: classes and preprocessing of the network.
        network: computes labels.
        save_dir: gets each case's label map under `case.output`, see `medicalseg.inference.outputs.write_labels`.
        labels: references to score against.
        sliding: how a volume goes through the network; None = as the task says.
        batch_size: cases that go through the network together where their network grids are equal.
        ahead: batches that may wait on either side of the network; 0 does one thing after the other, as is always
            done with `memory`, `others` or `previous`, and where an image has more than 64 MiB as float32.
        others: networks of the same classes that see the image differently; probabilities are averaged.
        previous: of a cascade, the network whose labels the others take; of several the probabilities are averaged.
        uncertainty: also write `CASE_uncertainty.nii.gz`, see `ScoresToOriginal.uncertainty`.
        memory: bytes that may be used beside what the process holds now; None = what the machine has free.
        extras: what is measured beside Dice where there are references; None = nothing.
        train_cases: names of cases that any of the networks learned from; the report says which of them are scored.

    Raises:
        UserError: if networks cannot be averaged, or `previous` is given and none of them is of a cascade.
    """
    member = Member(task, network, inferer_for(task, sliding))
    check_answers([each.task for each in (member, *others)])
    if previous:
        check_answers([each.task for each in previous])
    if previous and not any(each.task.previous_classes for each in (member, *others)):
        raise UserError("--previous_config: the network takes no labels of an earlier one; leave it out")
    run = _Run(member, Path(save_dir), labels, alone=len(cases) == 1)
    run.others, run.previous, run.uncertainty = list(others), list(previous), uncertainty
    run.memory = MemoryPlan(memory)
    run.report.extras, run.report.train_cases = extras or Extras(), train_cases
    check_levels(run.report.extras.level_orders, task)
    batch_size = 1 if others or previous or memory else batch_size
    batches = [list(cases[start : start + batch_size]) for start in range(0, len(cases), batch_size)]
    alone = bool(others or previous) or memory is not None or any(_is_large(case) for case in cases)
    ahead = 0 if alone else min(ahead, len(batches) - 1)
    behind: Behind[Sequence[_Work]] = Behind(lambda works: run.finish(works, len(cases)), ahead)
    with behind:
        for _, works in prefetch(run.load, batches, ahead):
            run.compute(works)
            behind.put(works)
    run.report.estimated_memory = run.memory.largest
    return run.report


def write_report(
    report: Predictions,
    cases: Sequence[InputCase],
    task: TaskSpec,
    save_dir: str | Path,
    *,
    labels: Labels | None = None,
    overlays: int = 0,
    run: Mapping[str, Any] | None = None,
) -> Summary | None:
    """Log timings and the table; write metrics.json (which also says `run`), metrics.csv, overlays of scored cases."""
    if report.timings.seconds:
        logger.info("%s", report.timings.line())
    summary = report.summary(task)
    if summary is None:
        if labels is not None:
            logger.warning("No case was scored: no label with the name of an image was found.")
        return None
    logger.info("%s", render_table(summary))
    write_metrics(save_dir, summary, run_facts(task, known=run))
    by_name = {case.name: case for case in cases}
    for title, position in representative_cases(summary.case_scores(), overlays).items():
        case = by_name[summary.cases[position].case]
        score = summary.case_scores()[position]
        heading = (
            f"{title} case: {case.name}, foreground mean Dice {score:.4f} (original grid){ON_TOP[task.overlapping]}"
        )
        target = Path(save_dir) / "overlays" / f"{title}_{case.name.replace('/', '_')}.png"
        _write_overlay(case, labels, Path(save_dir) / case.output, target, task, heading, len(cases) == 1)
    return summary


def conclude(report: Predictions, cases: Sequence[InputCase], save_dir: str | Path) -> int:
    """Log how the run ended and return its exit code: 2 if a case failed."""
    if report.failed:
        logger.error("%d of %d cases failed: %s", len(report.failed), len(cases), ", ".join(report.failed))
        return 2
    logger.info("Label maps written to %s: %d", save_dir, len(report.written))
    return 0


@dataclass
class _Work:
    """A case on its way: what has been made of it so far, or why it failed."""

    case: InputCase
    timings: Timings = field(default_factory=Timings)
    image: Volume | None = None
    array: np.ndarray | None = None
    record: GridRecord | None = None
    result: Result | None = None
    failure: str | None = None
    files: int = 0


class _Run:
    """One prediction run: how a batch of cases becomes label maps and figures."""

    def __init__(self, member: Member, save_dir: Path, labels: Labels | None, alone: bool) -> None:
        self.task, self.network, self.sliding = member.task, member.network, member.inferer
        self.save_dir, self.labels, self.alone = save_dir, labels, alone
        self.others: list[Member] = []
        self.previous: list[Member] = []
        self.uncertainty = False
        self.memory = MemoryPlan()
        self.report = Predictions()

    def load(self, batch: Sequence[InputCase]) -> list[_Work]:
        """Read and prepare; of the images only their geometry is kept."""
        works = [_Work(case) for case in batch]
        for work in works:
            with _failing(work):
                with work.timings.measure("read"):
                    image = work.case.read(*self._tasks())
                earlier = self._earlier(image, work)
                if self.others:
                    work.result, work.record = self._mixed(image, work, earlier)
                else:
                    self.sliding = self.memory.fit(image, self._first(), self.uncertainty)
                    work.array, work.record = prepare(image, self.task, work.timings, earlier)
                work.image = image.with_array(np.broadcast_to(np.uint8(0), image.array.shape))
                large = image.array.nbytes > LARGE_ARRAY
                del image, earlier
                if large:
                    release_memory()
        return works

    def _first(self) -> Member:
        return Member(self.task, self.network, self.sliding)

    def _tasks(self) -> list[TaskSpec]:
        return [self.task, *(each.task for each in (*self.others, *self.previous))]

    def _mixed(self, image: Volume, work: _Work, earlier: Volume | None) -> tuple[Result, GridRecord]:
        """As `mix`; the networks keep the pieces that fitted."""
        members = [self._first(), *self.others]
        found, members = mix_within(
            image, members, self.memory, work.case.name, work.timings, earlier, self.uncertainty
        )
        self.sliding, self.others = members[0].inferer, members[1:]
        return found

    def _earlier(self, image: Volume, work: _Work) -> Volume | None:
        """Labels of the earlier network of a cascade."""
        if not self.previous:
            return None
        own = Timings()
        labels, self.previous = segment_all_within(
            image, self.previous, self.memory, work.case.name, own, of="the earlier network"
        )
        work.timings.seconds["earlier"] = [sum(own.mean().values())]
        return labels

    def compute(self, works: Sequence[_Work]) -> None:
        """Labels of every work; a batch that fails is taken apart to find the case."""
        works = [work for work in works if work.failure is None and work.result is None]
        if not works:
            return
        clock = time.perf_counter()
        results: list[Result] = []
        try:
            results = self._results(works)
        except FAILURES as error:
            if len(works) == 1:
                works[0].failure = _reason(error)
                return
        if not results:
            for work in works:
                self.compute([work])
            return
        seconds = (time.perf_counter() - clock) / len(works)
        for work, result in zip(works, results, strict=True):
            work.array, work.result = None, result
            work.timings.seconds["run"] = [seconds]

    def _results(self, works: Sequence[_Work]) -> list[Result]:
        """Of a case alone in smaller pieces, where memory runs out; these are then taken from now on."""
        arrays = [work.array for work in works if work.array is not None]
        records = [work.record for work in works if work.record is not None]

        def run(inferers: Sequence[Inferer]) -> list[Result]:
            with self.memory.lock:
                return run_network(arrays, records, self.task, self.network, inferers[0], self.uncertainty)

        if len(works) > 1:
            return run([self.sliding])
        shape = arrays[0].shape[-3:]
        results, (self.sliding,) = in_smaller_pieces(run, [self.sliding], [shape], works[0].case.name)
        return results

    def finish(self, works: Sequence[_Work], total: int) -> None:
        """Restore, write and score; say how each case went."""
        for work in works:
            with _failing(work):
                self._write(work)
            name, seconds = work.case.name, sum(work.timings.mean().values())
            if work.failure is not None:
                self.report.failed[name] = work.failure
            where = f"[{len(self.report.written) + len(self.report.failed)}/{total}] {name}"
            if work.failure is not None:
                logger.error("%s failed: %s", where, work.failure)
            else:
                more = f" and {counted(work.files - 1, 'more file')}" if work.files > 1 else ""
                logger.info("%s -> %s%s (%.1f s)", where, self.report.written[name], more, seconds)

    def _write(self, work: _Work) -> None:
        if work.failure is not None or work.image is None or work.result is None or work.record is None:
            return
        result = restore(work.result, work.record, self.task, work.timings)
        work.result.labels = work.result.restored = None
        result = work.image.with_array(result.array, labels=True)
        path = self.save_dir / work.case.output
        with work.timings.measure("write"):
            written = write_labels(result, self.task, path)
            if work.result.uncertainty is not None:
                written.append(_write_uncertainty(work.image, work.result.uncertainty, path))
                work.result.uncertainty = None
        work.files = len(written)
        scored = self._score(work, self.labels, work.image, result) if self.labels is not None else {}
        self.report.timings.add(work.timings)
        self.report.results.update(scored)
        self.report.written[work.case.name] = written[0]
        if self.labels is not None and not scored:
            self.report.unlabelled.append(work.case.name)

    def _score(self, work: _Work, labels: Labels, image: Volume, result: Volume) -> dict[str, CaseResult]:
        case = work.case
        path = labels.find(case, self.alone, self.task)
        if path is None:
            return {}
        found = labels.read(path, image, self.task)
        reference = found.volume
        if found.elsewhere is not None:
            logger.warning(
                "%s: its header puts it elsewhere than the image (%s); compared voxel by voxel", path, found.elsewhere
            )
        try:
            counts = count_voxels(result.array, reference.array, self.task)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        volume, seconds = voxel_volume(reference.spacing, case.files[0]), work.timings.total("pre", "run", "post")
        seen = None if self.task.slices is None or work.record is None else work.record.network_shape
        slices = None if seen is None or self.task.slices is None else int(seen[self.task.slices.axis])
        more = self.report.extras.of_case(result.array, reference.array, reference.spacing, self.task)
        self.report.turned += [case.name] if found.turned else []
        self.report.elsewhere += [case.name] if found.elsewhere is not None else []
        return {case.name: CaseResult(case.name, counts, volume, seconds=seconds, slices=slices, **more)}


def _write_uncertainty(image: Volume, uncertainty: np.ndarray, path: Path) -> Path:
    target = path.with_name(f"{case_name(path)}_uncertainty.nii.gz")
    return write_volume(image.with_array(uncertainty), target)


def _is_large(case: InputCase) -> bool:
    return FLOAT * sum(numbers_in(path) for path in case.files) > LARGE_IMAGE


@contextlib.contextmanager
def _failing(work: _Work) -> Iterator[None]:
    try:
        yield
    except FAILURES as error:
        work.failure = _reason(error)


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, MedicalSegError) else f"{type(error).__name__}: {error}"


def _write_overlay(
    case: InputCase, labels: Labels | None, written: Path, target: Path, task: TaskSpec, title: str, alone: bool
) -> None:
    reference = labels.find(case, alone, task) if labels is not None else None
    if labels is None or reference is None:
        return
    image = case.read(task)
    write_overlay(
        target,
        shown_image(image.array),
        topmost_ids(labels.read(reference, image, task).volume.array, task),
        topmost_ids(read_labels(written, task).array, task),
        spacing=image.spacing,
        axcodes=None if is_picture(case.files[0]) else image.axcodes,
        names=dict(enumerate(task.names)),
        title=title,
    )
