"""Train a network: build, resume, step, save, evaluate."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from medicalseg import ops
from medicalseg.core import best, run_checkpoint
from medicalseg.core.checkpoint_store import BEST, CheckpointStore
from medicalseg.core.evaluation_options import evaluation_arguments
from medicalseg.core.failures import STOPPED, StoppedError, as_run_error
from medicalseg.core.fit import check_fit, leaking_notes
from medicalseg.core.journal import Journal
from medicalseg.core.loader import BatchLoader, collate_samples, sample_name
from medicalseg.core.manifest import dataset_entry, write_manifest
from medicalseg.core.profiling import StepProfiler
from medicalseg.core.sampler import IterationSampler
from medicalseg.core.step import Precision, Stepper, StepResult
from medicalseg.core.train_options import TrainOptions
from medicalseg.core.trainer_state import TrainerState
from medicalseg.errors import ConfigError, MedicalSegError, RunError, UserError
from medicalseg.metrics import Summary
from medicalseg.optimizers import ReduceOnPlateau
from medicalseg.utils import distributed, environment
from medicalseg.utils import logger as log
from medicalseg.utils.ema import ExponentialMovingAverage
from medicalseg.utils.logger import logger

_stopped = threading.Event()
NORMS = (paddle.nn.BatchNorm1D, paddle.nn.BatchNorm2D, paddle.nn.BatchNorm3D, paddle.nn.BatchNorm)
SAVE_INTERVAL = 1000
Evaluate = Callable[..., Summary]


def train(config: Any, options: TrainOptions, evaluate: Evaluate | None = None) -> TrainerState:
    """Train what the configuration describes until exactly `iters` iterations are done.

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
        self.config, self.options = config, options
        self.store = CheckpointStore(options.save_dir)
        self._evaluate = evaluate or _default_evaluate()
        self.device = environment.choose_device(options.device)
        environment.check_precision(options.precision, options.amp_level, self.device, options.cpu_accel)
        self._connect()
        self._build()

    def _connect(self) -> None:
        if distributed.is_main():
            self.store.prepare()
            log.setup(self.store.folder / "train.log")
        distributed.init(self.options.backend, self.device)
        distributed.barrier()

    def _build(self) -> None:
        config, options = self.config, self.options
        seed_everything(options.seed)
        self.train_dataset = config.train_dataset
        self.val_dataset = config.val_dataset if options.do_eval else None
        if options.do_eval and self.val_dataset is None:
            raise ConfigError(f"{config.path}: --do_eval needs a val_dataset")
        self.train_dataset.seed = options.seed
        seed_everything(options.seed)
        self.model = self._model()
        check_fit(self.model, self.train_dataset, self.val_dataset)
        self._evaluation = self._evaluation_arguments()
        self.optimizer = config.optimizer
        self._plateau = self._plateau_schedule()
        if self._casts and options.amp_level == "O2":
            self.model, self.optimizer = paddle.amp.decorate(
                models=self.model, optimizers=self.optimizer, level="O2", dtype=self._precision.dtype
            )
        distributed.synchronize(self.model)
        self.ema = self._average()
        self.stepper = Stepper(
            paddle.jit.to_static(self.model, full_graph=True) if config.to_static_training else self.model,
            *(config.loss, self.optimizer, self._precision, options.seed),
            ignore_index=self.train_dataset.ignore_index,
            ema=self.ema,
        )
        self._save_interval = options.save_interval or (config.iters_per_epoch if config.epochs else SAVE_INTERVAL)
        self.state = TrainerState(
            seed=options.seed,
            global_batch=config.batch_size * distributed.world_size(),
            best_by=config.test_config.get("best") or "dice",
        )

    def _plateau_schedule(self) -> ReduceOnPlateau | None:
        """The schedule, if it looks at a metric; says at which."""
        schedule = self.config.lr_scheduler
        if not isinstance(schedule, ReduceOnPlateau):
            return None
        if schedule.metric is None:
            schedule.metric = "val_loss" if self.options.do_eval else "train_loss"
        elif schedule.metric != "train_loss" and not self.options.do_eval:
            raise ConfigError(f"{self.config.path}: lr_scheduler.metric: {schedule.metric} needs --do_eval")
        when = "at every iteration" if schedule.metric == "train_loss" else "after every evaluation"
        logger.info("The learning rate follows %s, %s (ReduceOnPlateau).", schedule.metric, when)
        return schedule

    def _evaluation_arguments(self) -> dict[str, Any]:
        if self.val_dataset is None:
            return {}
        notes = leaking_notes(self.train_dataset, self.val_dataset)
        for note in notes:
            logger.warning("train_dataset and val_dataset: %s.", note)
        return {**evaluation_arguments(self.config, self.val_dataset, self.model, self.options), "notes": notes}

    def _model(self) -> paddle.nn.Layer:
        model = self.config.model
        if self.device == "cpu" and not self.config.to_static_training:
            ops.accelerate(model, self.options.cpu_accel, bf16=self.options.precision == "bf16")
        elif self.options.precision == "bf16" and self.device == "cpu":
            raise UserError("--precision bf16 on the CPU does not go with to_static_training; use --precision fp32")
        if distributed.world_size() > 1 and any(isinstance(layer, NORMS) for layer in model.sublayers()):
            model = self._synchronized_norms(model)
        return model

    def _synchronized_norms(self, model: paddle.nn.Layer) -> paddle.nn.Layer:
        if self.options.sync_bn and self.device != "cpu":
            return paddle.nn.SyncBatchNorm.convert_sync_batchnorm(model)
        reason = "Paddle has no SyncBatchNorm on the CPU" if self.device == "cpu" else "--sync_bn makes them global"
        logger.info("Batch-norm statistics are per rank (%s); checkpoints hold their mean over the ranks.", reason)
        return model

    @property
    def _casts(self) -> bool:
        return self.options.precision != "fp32" and self.device != "cpu"

    @property
    def _precision(self) -> Precision:
        return Precision(self.options.precision, self.options.amp_level, self._casts)

    def _average(self) -> ExponentialMovingAverage | None:
        wanted = self.config.ema
        if self.options.use_ema is False or (self.options.use_ema is None and wanted is None):
            return None
        return ExponentialMovingAverage(self.model, **(wanted or {}))

    def run(self) -> TrainerState:
        """Train until `iters`, or until the early stop."""
        self._resume()
        iters = self.config.iters
        if self.state.iteration > iters:
            raise UserError(f"the checkpoint is at iteration {self.state.iteration}, beyond iters {iters}")
        sampler = IterationSampler(
            *(len(self.train_dataset), self.config.batch_size, iters, self.options.seed, self.state.iteration),
            *(distributed.rank(), distributed.world_size()),
        )
        self._announce(sampler)
        journal = Journal(
            *(self.store.folder, iters, self.state, self.options.log_iters, self.state.global_batch),
            use_vdl=self.options.use_vdl,
            main=distributed.is_main(),
        )
        with journal:
            self._catch_up(journal)
            self._loop(sampler, journal)
            journal.publish(draw=True)
        logger.info("Training ended at iteration %d.%s", self.state.iteration, best.text(self.state))
        return self.state

    def _loop(self, sampler: IterationSampler, journal: Journal) -> None:
        loader = BatchLoader(
            *(self.train_dataset, sampler, collate_samples, self.options.num_workers, self.options.seed)
        )
        profiler = StepProfiler(self.options.profiler)
        batches = iter(loader)
        try:
            started = time.perf_counter()
            while self.state.iteration < sampler.iters and not self._should_stop() and not profiler.step():
                if _stopped.is_set():
                    raise StoppedError(STOPPED)
                images, labels = next(batches)
                reader_cost = time.perf_counter() - started
                iteration = self.state.iteration
                result = self.stepper(iteration, images, labels)
                self._check(result, sampler, iteration)
                self.state.iteration += 1
                self.state.evaluated = False
                journal.step(sampler.epoch(iteration), result, time.perf_counter() - started, reader_cost)
                if self._due(sampler.iters):
                    self._save()
                    self._validate(journal)
                started = time.perf_counter()
        finally:
            profiler.stop()
            close = getattr(batches, "close", None)
            if close is not None:
                close()

    def _due(self, iters: int) -> bool:
        return self.state.iteration % self._save_interval == 0 or self.state.iteration == iters

    def _check(self, result: StepResult, sampler: IterationSampler, iteration: int) -> None:
        """Stop on a loss that is not a number, with the samples that gave it."""
        if np.isfinite(result.loss):
            return
        names = [sample_name(self.train_dataset, index) for index in sampler.batch(iteration)]
        shares = distributed.gather_objects((result.finite, names))
        guilty = [name for finite, share in shares for name in share if not finite]
        guilty = guilty or [name for _, share in shares for name in share]
        kept = self.store.iterations()
        raise RunError(
            f"the loss is {result.loss} at iteration {iteration + 1} (batch: {', '.join(dict.fromkeys(guilty))}; "
            f"lr {result.lr:g}); look at these cases, or lower the learning rate or clip gradients. "
            + (f"Last good checkpoint: {self.store.path(kept[-1])}" if kept else "There is no checkpoint yet")
        )

    def _resume(self) -> None:
        folder = self.store.resolve(self.options.resume)
        places = distributed.gather_objects(None if folder is None else folder.name)
        if len(set(places)) > 1:
            raise RunError(f"the ranks see different checkpoints ({places}): save_dir must lie on a shared disk")
        if folder is None:
            if not self.options.resume and self.store.iterations():
                logger.warning(
                    "%s holds checkpoints of an earlier run: a new run starts and replaces those of the same "
                    "iterations; the others and best_model stay until it has its own (--resume auto: continue).",
                    self.store.folder,
                )
            return
        fresh = self.state
        self.state = run_checkpoint.load(folder, self.model, self.optimizer, self.stepper.scaler, self.ema)
        run_checkpoint.compare(self.state, fresh, folder, self.config.dic)
        self.state.seed, self.state.global_batch = fresh.seed, fresh.global_batch
        if self.state.best_by != fresh.best_by:
            logger.warning("The best weights were chosen by %s, now by %s: anew.", self.state.best_by, fresh.best_by)
            self.state.forget_best(fresh.best_by)
        if self._plateau is not None and self.state.schedule is not None:
            self._plateau.set_state_dict(self.state.schedule)
        logger.info("Resume model from %s, iteration %d.", folder, self.state.iteration)

    def _save(self) -> None:
        distributed.average_buffers(self.model)
        if distributed.is_main():
            state = self.state
            self._keep_schedule()
            state.saved = [k for k in state.saved if self.store.path(k).is_dir() and k != state.iteration]
            state.saved.append(state.iteration)
            with self.store.writing(f"iter_{state.iteration}") as folder:
                run_checkpoint.save(folder, self.model, self.optimizer, self.stepper.scaler, self.ema, state)
                run_checkpoint.write_meta(folder, self.train_dataset, self.config, state.iteration)
            state.saved = self.store.prune(state.saved, self.options.keep_checkpoint_max)
        distributed.barrier()

    def _catch_up(self, journal: Journal) -> None:
        """Evaluate the checkpoint that was resumed from, if the run was cut off before it could."""
        if self.state.iteration and not self.state.evaluated and self._due(self.config.iters):
            self._validate(journal)

    def _validate(self, journal: Journal) -> None:
        if not self.options.do_eval:
            return
        with self.ema.applied() if self.ema else contextlib.nullcontext():
            summary = self._scores()
            self.state.evaluated = True
            journal.evaluation(summary)
            self._keep_best(summary)
        if self._plateau is not None and self._plateau.metric != "train_loss":
            self._plateau.observe(summary.loss if self._plateau.metric == "val_loss" else summary.foreground_mean)
        self._keep_schedule()
        if distributed.is_main() and self.store.path(self.state.iteration).is_dir():
            run_checkpoint.write_state(self.store.path(self.state.iteration), self.state)
        distributed.barrier()

    def _keep_schedule(self) -> None:
        self.state.schedule = None if self._plateau is None else self._plateau.state_dict()

    def _scores(self) -> Summary:
        logger.info("Start evaluating at iteration %d...", self.state.iteration)
        self.model.eval()
        try:
            return self._evaluate(self.model, self.val_dataset, **self._evaluation)
        finally:
            self.model.train()

    def _keep_best(self, summary: Summary) -> None:
        state, score = self.state, best.score_of(summary, self.state.best_by)
        stop = self.config.early_stop or {}
        improved = state.improves(score, float(stop.get("min_delta", 0.0)))
        state.evaluations_since_best = 0 if improved else state.evaluations_since_best + 1
        if state.improves(score):
            state.best_score, state.best_iteration = score, state.iteration
            if distributed.is_main():
                with self.store.writing(BEST) as folder:
                    run_checkpoint.save_weights(folder, self.model)
                    run_checkpoint.write_meta(folder, self.train_dataset, self.config, state.iteration, summary)
        logger.info("[EVAL]%s", best.text(self.state))

    def _should_stop(self) -> bool:
        limit = self.options.early_stop_intervals or (self.config.early_stop or {}).get("intervals")
        if not limit or self.state.evaluations_since_best < limit:
            return False
        logger.info(
            "Early stopping: no better validation %s in the last %d evaluations.",
            "loss" if self.state.best_by == "loss" else "Dice",
            limit,
        )
        return True

    def _announce(self, sampler: IterationSampler) -> None:
        if not distributed.is_main():
            return
        parameters = sum(int(p.size) for p in self.model.parameters() if not p.stop_gradient)
        rows = "\n".join(f"{name}: {value}" for name, value in environment.describe(self.device).items())
        logger.info("\n%s\n%s\n%s", " Environment Information ".center(48, "-"), rows, "-" * 48)
        logger.info("\n%s\n%s\n%s", " Config Information ".center(48, "-"), self._config_text(), "-" * 48)
        logger.info(
            "%s: %d trainable parameters; %d samples, %d iterations per epoch, %d samples per iteration.",
            *(type(self.model).__name__, parameters, sampler.length, sampler.iters_per_epoch, self.state.global_batch),
        )
        if self.config.epochs:
            logger.info("%d epochs are %d iterations.", self.config.epochs, sampler.iters)
        content = {
            "config_file": str(self.config.path),
            "config": self.config.dic,
            "options": vars(self.options) | {"profiler": None},
            "seed": self.options.seed,
            "device": self.device,
            "ranks": distributed.world_size(),
            "resumed_at": self.state.iteration or None,
            "train_dataset": dataset_entry(self.train_dataset),
            "val_dataset": dataset_entry(self.val_dataset),
        }
        write_manifest(Path(self.store.folder) / "run.json", self.device, content)

    def _config_text(self) -> str:
        import yaml

        return yaml.safe_dump(self.config.dic, sort_keys=True, allow_unicode=True, default_flow_style=None).rstrip()


def _default_evaluate() -> Evaluate:
    from medicalseg.core.val import evaluate

    return evaluate


def seed_everything(seed: int) -> None:
    """Seed Paddle's, NumPy's and Python's global generators."""
    paddle.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    random.seed(seed)


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
