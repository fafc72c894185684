"""Train a network: build, resume, step, save, evaluate."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import numpy as np

from medicalseg.core import best
from medicalseg.core.announcement import announce
from medicalseg.core.arithmetic import with_precision
from medicalseg.core.checkpoint_store import CheckpointStore
from medicalseg.core.early_stop import EarlyStop
from medicalseg.core.evaluation_options import evaluation_arguments, writes_every_time
from medicalseg.core.failures import STOPPED, StoppedError, as_run_error
from medicalseg.core.file_states import file_states
from medicalseg.core.fit import leaking_notes
from medicalseg.core.journal import Journal
from medicalseg.core.loader import BatchLoader, collate_samples, sample_name
from medicalseg.core.profiling import StepProfiler
from medicalseg.core.run_length import Occasions, RunLength
from medicalseg.core.run_saver import RunSaver
from medicalseg.core.sampler import IterationSampler
from medicalseg.core.step import StepResult, place_schedule
from medicalseg.core.time_budget import TimeBudget
from medicalseg.core.train_cases import names_of, seen_note
from medicalseg.core.train_options import TrainOptions
from medicalseg.core.trainer_state import TrainerState
from medicalseg.core.training_parts import build_parts, prepare_data
from medicalseg.core.validation import Evaluate, Validation
from medicalseg.errors import MedicalSegError, RunError
from medicalseg.metrics import Summary
from medicalseg.utils import distributed, environment
from medicalseg.utils import logger as log
from medicalseg.utils.logger import logger

_stopped = threading.Event()


def train(config: Any, options: TrainOptions, evaluate: Evaluate | None = None) -> TrainerState:
    """Train what the configuration describes until its iterations are done, or its time is used.

    Args:
        config: `medicalseg.cvlibs.Config`.
        options: how to run it.
        evaluate: replaces `medicalseg.core.val.evaluate`.

    Returns:
        The state at the end.

    Raises:
        UserError: configuration, data or flags are wrong.
        RunError: the run failed; checkpoints written before are kept.
    """
    with _stop_on_sigterm():
        try:
            return Trainer(config, options, evaluate).run()
        except MedicalSegError as error:
            log.to_file(f"stopped: {error}")
            raise
        except (OSError, RuntimeError, SystemError, MemoryError) as error:
            known = as_run_error(error)
            log.to_file(f"stopped: {known or error}")
            if known is None:
                raise
            raise known from error


class Trainer:
    """One training run in one process.

    Args:
        config: `medicalseg.cvlibs.Config`.
        options: how to run it.
        evaluate: replaces `medicalseg.core.val.evaluate`.
    """

    def __init__(self, config: Any, options: TrainOptions, evaluate: Evaluate | None = None) -> None:
        self.config = config
        self.store = CheckpointStore(options.save_dir)
        self.device = environment.choose_device(options.device)
        if options.precision is not None:
            with_precision(options, config, self.device)
        self._connect(options)
        self.options = options = with_precision(options, config, self.device)
        self.clock = TimeBudget(config.max_time)
        self.parts = build_parts(config, options, self.device, self._place if self.clock.limited else None)
        self.length = RunLength.of(config, options)
        self.saver = RunSaver(self.store, self.parts, config, options, self.length)
        self.early_stop = EarlyStop.of(config, options)
        self._evaluate = evaluate or _default_evaluate()
        self.validation: Validation | None = None
        self.state = TrainerState(
            started=datetime.now(timezone.utc).isoformat(timespec="microseconds"),
            files=file_states(self.parts.train_dataset) if distributed.is_main() else {},
            seed=options.seed,
            global_batch=config.batch_size * distributed.world_size(),
            best_by=config.test_config.get("best") or "dice",
        )
        self._last_summary: Summary | None = None

    def _connect(self, options: TrainOptions) -> None:
        if distributed.is_main():
            self.store.prepare()
            log.setup(self.store.folder / "train.log")
        distributed.init(options.backend, self.device)
        distributed.barrier()

    def _place(self) -> float:
        """Where the schedule stands with a wall-clock budget, in its iterations."""
        return self.clock.tick() * self.length.schedule

    def _make_validation(self) -> Validation | None:
        """What evaluates, with what a reader of its figures must know."""
        parts = self.parts
        if parts.val_dataset is None:
            return None
        notes = leaking_notes(parts.train_dataset, parts.val_dataset)
        for note in notes:
            logger.warning("train_dataset and val_dataset: %s.", note)
        notes += seen_note(names_of(parts.val_dataset) or (), frozenset(self.state.earlier_cases))
        arguments = evaluation_arguments(self.config, parts.val_dataset, parts.model, self.options)
        patches = self.config.test_config.get("pseudo_patches")
        return Validation(
            *(self._evaluate, parts.model, parts.val_dataset, {**arguments, "notes": notes}, patches, self.options.seed)
        )

    def run(self) -> TrainerState:
        """Train until `iters`, the end of `max_time` or the early stop."""
        self.state = self.saver.resume(self.state)
        self.validation = self._make_validation()
        self.clock = TimeBudget(self.config.max_time, self.state.elapsed)
        if self.clock.limited:
            place_schedule(self.parts.optimizer, self.clock.progress * self.length.schedule)
        if not self._over() or (self.validation is not None and not self.state.evaluated):
            prepare_data(self.parts, self.config, self.options.num_workers)
        self.occasions = Occasions.of(self.config, self.options, self.length, self.clock, self.parts.val_dataset)
        sampler = IterationSampler(
            *(len(self.parts.train_dataset), self.config.batch_size, self.length.iters),
            *(self.options.seed, self.state.iteration, distributed.rank(), distributed.world_size()),
        )
        announce(self.config, self.options, self.parts, self.length, self.state, sampler, self.device)
        journal = Journal(
            *(self.store.folder, self.length.iters, self.state, self.options.log_iters, self.state.global_batch),
            use_vdl=self.options.use_vdl,
            main=distributed.is_main(),
            clock=self.clock,
        )
        with journal:
            self.clock.start()
            self._catch_up(journal)
            if self._loop(sampler, journal):
                self._finish(journal)
            journal.publish(draw=True)
        logger.info("Training ended at iteration %d.%s", self.state.iteration, best.text(self.state))
        return self.state

    def _loop(self, sampler: IterationSampler, journal: Journal) -> bool:
        """Step until the end; false if a profiler ended the run."""
        loader = BatchLoader(
            *(self.parts.train_dataset, sampler, collate_samples, self.options.num_workers, self.options.seed)
        )
        profiler = StepProfiler(self.options.profiler)
        batches = iter(loader)
        try:
            started = time.perf_counter()
            while not self._over() and not self.early_stop.ends(self.state):
                if profiler.step():
                    return False
                if _stopped.is_set():
                    raise StoppedError(STOPPED)
                images, labels = next(batches)
                reader_cost = time.perf_counter() - started
                iteration = self.state.iteration
                result = self.parts.stepper(iteration, images, labels)
                self._check(result, sampler, iteration)
                self.state.iteration += 1
                self.state.evaluated = False
                journal.step(sampler.epoch(iteration), result, time.perf_counter() - started, reader_cost)
                if not self._over():
                    self._in_between(journal)
                self.clock.tick()
                started = time.perf_counter()
        finally:
            profiler.stop()
            close = getattr(batches, "close", None)
            if close is not None:
                close()
        return True

    def _over(self) -> bool:
        return self.state.iteration >= self.length.iters or self.clock.spent

    def _in_between(self, journal: Journal) -> None:
        """What is due after an iteration that is not the last."""
        iteration = self.state.iteration
        save, validate, pseudo = (
            due(iteration) for due in (self.occasions.save, self.occasions.validate, self.occasions.pseudo)
        )
        if save:
            self._save()
        if self.validation is None:
            return
        if validate and self.validation.affordable(self.state, self.clock):
            self._validate(journal, self.clock)
        elif pseudo and self.validation.affordable_patches(self.clock):
            with self.saver.averaged():
                journal.pseudo(self.validation.patches(self.state))

    def _finish(self, journal: Journal) -> None:
        """The last checkpoint, the last evaluation and `final_model`, as far as an earlier run has not made them."""
        state = self.state
        fresh = not self.saver.has_final(state) or state.ended != self._ending()
        if not self.saver.is_saved(state):
            self._save()
        if fresh:
            self.saver.final(state, self._last_summary if state.evaluated else None)
        if self.validation is not None and not state.evaluated:
            self._validate(journal)
            self.saver.final(state, self._last_summary)
        if fresh:
            state.ended = self._ending()
            self.saver.rewrite(state)

    def _ending(self) -> dict[str, Any]:
        plateau = self.parts.plateau
        metric = None if plateau is None else plateau.metric
        return {**self.length.to_dict(), "early": not self._over(), "plateau": metric}

    def _check(self, result: StepResult, sampler: IterationSampler, iteration: int) -> None:
        """Stop on a loss that is not a number, with the samples that gave it."""
        if np.isfinite(result.loss):
            return
        names = [sample_name(self.parts.train_dataset, index) for index in sampler.batch(iteration)]
        shares = distributed.gather_objects((result.finite, names))
        guilty = [name for finite, share in shares for name in share if not finite]
        guilty = guilty or [name for _, share in shares for name in share]
        kept = self.store.newest()
        raise RunError(
            f"the loss is {result.loss} at iteration {iteration + 1} (batch: {', '.join(dict.fromkeys(guilty))}; "
            f"lr {result.lr:g}); look at these cases, or lower the learning rate or clip gradients. "
            + (f"Last good checkpoint: {kept}" if kept else "There is no checkpoint yet")
        )

    def _save(self) -> None:
        self._note_time()
        self.saver.save(self.state)

    def _note_time(self) -> None:
        if not self._over():
            self.clock.tick()
        self.state.elapsed = self.clock.used

    def _catch_up(self, journal: Journal) -> None:
        """Evaluate the checkpoint that was resumed from, if the run was cut off before it could."""
        state = self.state
        if self.validation is None or not state.iteration or state.evaluated or self._over():
            return
        if self.occasions.validate.at(state.iteration) and self.validation.affordable(state, self.clock):
            self._validate(journal, self.clock)

    def _validate(self, journal: Journal, clock: TimeBudget | None = None) -> None:
        """Evaluate; with a clock only if its budget has the time."""
        if self.validation is None:
            return
        with self.saver.averaged():
            summary = self.validation.cases(self.state, clock, self._may_be_last(clock))
            if summary is None:
                return
            self.state.evaluated = True
            journal.evaluation(summary)
            self._keep_best(summary)
        self._last_summary = summary
        plateau = self.parts.plateau
        if plateau is not None and plateau.metric != "train_loss":
            plateau.observe(summary.loss if plateau.metric == "val_loss" else summary.foreground_mean)
        self._note_time()
        self.validation.tell_time(self.state, self.clock)
        self.saver.rewrite(self.state)

    def _may_be_last(self, clock: TimeBudget | None) -> bool:
        """Whether no evaluation may follow the one that comes, or every one is to be kept."""
        if clock is None or self.validation is None or writes_every_time(self.config):
            return True
        return self.early_stop.may_end_next(self.state) or self.validation.is_last_within(clock)

    def _keep_best(self, summary: Summary) -> None:
        state, score = self.state, best.score_of(summary, self.state.best_by)
        self.early_stop.look(state, score)
        if state.improves(score):
            state.best_score, state.best_iteration = score, state.iteration
            self.saver.best(state, summary)
        logger.info("[EVAL]%s", best.text(self.state, dice="mDice"))


def _default_evaluate() -> Evaluate:
    from medicalseg.core.val import evaluate

    return evaluate


@contextlib.contextmanager
def _stop_on_sigterm() -> Iterator[None]:
    """Turn SIGTERM into an error, so that workers are ended and the log says why.

    Python drops an error that is raised within a destructor; so the loop looks at `_stopped` as well.
    """

    def stop(number: int, frame: Any) -> None:
        _stopped.set()
        raise StoppedError(STOPPED)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _stopped.clear()
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
