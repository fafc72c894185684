"""What a training run tells: log lines and VisualDL tags as PaddleSeg has them, curves, the live line."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from medicalseg.core.pseudo_dice import PseudoDice
from medicalseg.core.step import StepResult
from medicalseg.core.time_budget import TimeBudget
from medicalseg.core.trainer_state import EVAL_COLUMNS, PSEUDO_COLUMNS, TRAIN_COLUMNS, TrainerState
from medicalseg.errors import MissingDependencyError
from medicalseg.utils import files
from medicalseg.utils.logger import logger
from medicalseg.utils.progress import ProgressLine, clock

if TYPE_CHECKING:
    from medicalseg.metrics.summary import Summary

DRAWING_SHARE = 0.02
LOG_ITERS = 100
TIMED_LINES = 20


class Journal:
    """Reports of one run; on ranks other than 0 it does nothing.

    Args:
        save_dir: where `history.json`, `history.csv`, `progress.png` and VisualDL's records go.
        iters: iterations of the run; with a budget only the most there may be.
        state: the run's state, whose history is extended.
        log_iters: period of the log lines; None: 100, and with a budget at least 20 lines in it.
        samples: samples per iteration over all ranks.
        use_vdl: also write VisualDL records.
        main: whether this process reports.
        clock: the run's time; with a budget lines tell time in place of the number of iterations.
    """

    def __init__(
        self,
        save_dir: Path,
        iters: int,
        state: TrainerState,
        log_iters: int | None,
        samples: int,
        use_vdl: bool = False,
        main: bool = True,
        clock: TimeBudget | None = None,
    ) -> None:
        self._clock = clock or TimeBudget()
        self._folder, self._iters, self._state = save_dir, iters, state
        self._log_iters, self._samples, self._main = max(1, log_iters or LOG_ITERS), samples, main
        timed = log_iters is None and self._clock.seconds is not None
        self._log_seconds = (self._clock.seconds or 0.0) / TIMED_LINES if timed else float("inf")
        self._logged_at = self._clock.used
        self._writer = _visualdl(save_dir) if use_vdl and main else None
        total = iters if self._clock.seconds is None else round(self._clock.seconds)
        self._line = ProgressLine(total, "training", enabled=None if main else False)
        self._drawn_at = self._drawing_took = 0.0
        self._clear_window()

    def __enter__(self) -> Journal:
        self._line.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._line.__exit__(kind, error, trace)
        if self._writer is not None:
            self._writer.close()

    def _clear_window(self) -> None:
        self._results: list[StepResult] = []
        self._batch_cost: list[float] = []
        self._reader_cost: list[float] = []

    def step(self, epoch: int, result: StepResult, batch_cost: float, reader_cost: float) -> None:
        """Take in a step; log when it is time. `state.iteration` counts it already; costs are seconds."""
        if not self._main:
            return
        self._results.append(result)
        self._batch_cost.append(batch_cost)
        self._reader_cost.append(reader_cost)
        iteration = self._state.iteration
        by_steps = (self._iters - iteration) * float(np.mean(self._batch_cost))
        left = clock(min(by_steps, self._clock.left))
        done = round(self._clock.used) if self._clock.limited else iteration
        self._line.update(done, f"loss {result.loss:.4f} DSC {result.dsc:.2f} ETA {left}")
        late = self._clock.used - self._logged_at >= self._log_seconds
        if iteration % self._log_iters == 0 or iteration == self._iters or self._clock.spent or late:
            self._log(epoch, result.lr, left)
            self._logged_at = self._clock.used
            self._clear_window()

    def _log(self, epoch: int, lr: float, left: str) -> None:
        iteration = self._state.iteration
        loss = float(np.mean([result.loss for result in self._results]))
        dsc = float(np.mean([result.dsc for result in self._results]))
        batch_cost, reader_cost = float(np.mean(self._batch_cost)), float(np.mean(self._reader_cost))
        logger.info(
            "[TRAIN] epoch: %d, iter: %s, loss: %.4f, DSC: %.4f, lr: %.6f, batch_cost: %.4f, reader_cost: %.5f, "
            "ips: %.4f samples/sec | ETA %s",
            *(epoch, self._place(), loss, dsc, lr, batch_cost, reader_cost),
            *(self._samples / batch_cost if batch_cost > 0 else 0.0, left),
        )
        row = (iteration, loss, dsc, lr, batch_cost, reader_cost)
        self._state.record(dict(zip(TRAIN_COLUMNS, row, strict=True)))
        self._add("Train/loss", loss)
        self._add("Train/mdice", dsc)
        self._add("Train/lr", lr)
        self._add("Train/batch_cost", batch_cost)
        self._add("Train/reader_cost", reader_cost)
        parts = np.mean([result.losses for result in self._results], axis=0)
        if len(parts) > 1:
            for index, part in enumerate(parts):
                self._add(f"Train/loss_{index}", float(part))
        self.publish()

    def _place(self) -> str:
        """How far the run is: iterations of all of them, or with the time used of the budget."""
        if self._clock.seconds is None:
            return f"{self._state.iteration}/{self._iters}"
        return f"{self._state.iteration}, time: {clock(self._clock.used)}/{clock(self._clock.seconds)}"

    def pseudo(self, result: PseudoDice) -> None:
        """Take in a pseudo-Dice of the current iteration."""
        if not self._main:
            return
        row = (self._state.iteration, result.mean)
        self._state.record(dict(zip(PSEUDO_COLUMNS, row, strict=True)))
        self._add("Evaluate/pseudo_dice", result.mean)

    def evaluation(self, summary: Summary) -> None:
        """Take in an evaluation of the current iteration; `evaluate` has logged it."""
        if not self._main:
            return
        score, loss, area = summary.foreground_mean, summary.loss, summary.auc_roc
        row = (self._state.iteration, score, float("nan") if loss is None else loss)
        self._state.record(dict(zip(EVAL_COLUMNS, row, strict=True)))
        self._add("Evaluate/Dice", score)
        if area is not None:
            self._add("Evaluate/auc_roc", area)
        self.publish()

    def _add(self, tag: str, value: float) -> None:
        if self._writer is not None:
            self._writer.add_scalar(tag, value, self._state.iteration)

    def publish(self, draw: bool = False) -> None:
        """Write the curves; the picture only where drawing takes a small share of the time, or when asked to."""
        if not self._main:
            return
        history = self._state.history
        files.write_json(self._folder / "history.json", history)
        files.write_text(self._folder / "history.csv", history_table(history))
        now = time.monotonic()
        if draw or now - self._drawn_at > self._drawing_took / DRAWING_SHARE:
            from medicalseg.reports import write_progress_png

            write_progress_png(self._folder / "progress.png", history)
            self._drawn_at = time.monotonic()
            self._drawing_took = self._drawn_at - now


def history_table(history: dict[str, list[float]]) -> str:
    """The curves as CSV: one row per iteration that was logged or evaluated."""
    rows: dict[int, dict[str, float]] = {}
    for key, *columns in (TRAIN_COLUMNS, EVAL_COLUMNS, PSEUDO_COLUMNS):
        for position, iteration in enumerate(history.get(key, ())):
            row = rows.setdefault(int(iteration), {"iter": int(iteration)})
            row.update({name: history[name][position] for name in columns})
    text = io.StringIO()
    table = csv.DictWriter(text, [*TRAIN_COLUMNS, *EVAL_COLUMNS[1:], *PSEUDO_COLUMNS[1:]], lineterminator="\n")
    table.writeheader()
    table.writerows(rows[iteration] for iteration in sorted(rows))
    return text.getvalue()


def _visualdl(folder: Path) -> Any:
    try:
        from visualdl import LogWriter
    except ImportError as error:
        raise MissingDependencyError(f"--use_vdl needs VisualDL: pip install visualdl ({error})") from error
    return LogWriter(str(folder))
