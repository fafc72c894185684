"""What a training run puts into its `save_dir`, and takes from there when it is resumed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from medicalseg.core import run_checkpoint
from medicalseg.core.checkpoint_store import BEST, FINAL, CheckpointStore
from medicalseg.core.file_states import changed_files
from medicalseg.core.run_length import RunLength
from medicalseg.core.train_cases import names_of, pretrained_cases, train_cases_of
from medicalseg.core.train_options import TrainOptions
from medicalseg.core.trainer_state import TrainerState
from medicalseg.core.training_parts import Parts
from medicalseg.errors import RunError, UserError
from medicalseg.metrics import Summary
from medicalseg.utils import distributed
from medicalseg.utils.logger import logger
from medicalseg.utils.words import counted, few


class RunSaver:
    """Checkpoints, best and final weights of one run; rank 0 writes.

    Args:
        store: the run's folder.
        parts: what is saved.
        config: `medicalseg.cvlibs.Config`.
        options: how the run goes.
        length: how long it goes.
    """

    def __init__(
        self, store: CheckpointStore, parts: Parts, config: Any, options: TrainOptions, length: RunLength
    ) -> None:
        self._store, self._parts, self._config, self._options, self._length = store, parts, config, options, length

    def resume(self, fresh: TrainerState) -> TrainerState:
        """The state of the checkpoint to go on from, with weights and optimizer in place; else `fresh`.

        Raises:
            UserError: it does not fit, or lies beyond the end of the run.
            RunError: the ranks see different checkpoints.
        """
        folder = self._store.resolve(self._options.resume)
        places = distributed.gather_objects(None if folder is None else folder.name)
        if len(set(places)) > 1:
            raise RunError(f"the ranks see different checkpoints ({places}): save_dir must lie on a shared disk")
        if folder is None:
            self._warn_of_earlier()
            fresh.earlier_cases = self._earlier(pretrained_cases(self._config.dic.get("model")) or ())
            return fresh
        parts = self._parts
        state = run_checkpoint.load(folder, parts.model, parts.optimizer, parts.stepper.scaler, parts.ema)
        run_checkpoint.compare(state, fresh, folder, self._config.dic)
        self._warn_of_changed(state, fresh, folder)
        if self._options.resume != "auto":
            state.started = fresh.started
        state.seed, state.global_batch = fresh.seed, fresh.global_batch
        state.earlier_cases = self._earlier({*state.earlier_cases, *(train_cases_of(folder) or ())})
        if state.best_by != fresh.best_by:
            logger.warning("The best weights were chosen by %s, now by %s: anew.", state.best_by, fresh.best_by)
            state.forget_best(fresh.best_by)
        if parts.plateau is not None and state.schedule is not None:
            parts.plateau.set_state_dict(state.schedule)
        logger.info("Resume model from %s, iteration %d.", folder, state.iteration)
        if state.iteration > self._length.iters:
            raise UserError(f"the checkpoint is at iteration {state.iteration}, beyond iters {self._length.iters}")
        return state

    def _earlier(self, learned: Iterable[str]) -> list[str]:
        """Of cases that weights have seen, those that this run does not train on."""
        return sorted(set(learned) - set(names_of(self._parts.train_dataset) or ()))

    def _warn_of_changed(self, state: TrainerState, fresh: TrainerState, folder: Path) -> None:
        changed = changed_files(state.files, fresh.files)
        if changed:
            logger.warning(
                "The files of %s changed since the run was started: %s. It goes on with the new ones; to start anew, "
                "remove %s.",
                *(counted(len(changed), "training case"), few(changed), folder.parent),
            )
        state.files = {**fresh.files, **state.files}

    def _warn_of_earlier(self) -> None:
        if not self._options.resume and self._store.iterations():
            logger.warning(
                "%s holds checkpoints of an earlier run: a new run starts and replaces those of the same "
                "iterations; the others and best_model stay until it has its own (--resume auto: continue).",
                self._store.folder,
            )

    def save(self, state: TrainerState) -> None:
        """Write `iter_N` and remove the oldest beyond `keep_checkpoint_max`."""
        distributed.average_buffers(self._parts.model)
        if distributed.is_main():
            store, parts = self._store, self._parts
            self._keep_schedule(state)
            state.saved = [k for k in state.saved if store.path(k).is_dir() and k != state.iteration]
            state.saved.append(state.iteration)
            with store.writing(f"iter_{state.iteration}") as folder:
                run_checkpoint.save(folder, parts.model, parts.optimizer, parts.stepper.scaler, parts.ema, state)
                run_checkpoint.write_meta(
                    folder, parts.train_dataset, self._config, state.iteration, earlier=state.earlier_cases
                )
            state.saved = store.prune(state.saved, self._options.keep_checkpoint_max)
        distributed.barrier()

    def is_saved(self, state: TrainerState) -> bool:
        """Whether this iteration has its checkpoint; what rank 0 sees, on every rank."""
        there = state.iteration in state.saved and self._store.path(state.iteration).is_dir()
        return bool(distributed.from_main(float(there)))

    def rewrite(self, state: TrainerState) -> None:
        """Put what is new in the state into the checkpoint of this iteration, if there is one."""
        self._keep_schedule(state)
        folder = self._store.path(state.iteration)
        if distributed.is_main() and folder.is_dir():
            run_checkpoint.write_state(folder, state)
        distributed.barrier()

    def _keep_schedule(self, state: TrainerState) -> None:
        plateau = self._parts.plateau
        state.schedule = None if plateau is None else plateau.state_dict()

    def has_final(self, state: TrainerState) -> bool:
        """Whether `final_model` is of this iteration; what rank 0 sees, on every rank."""
        return bool(distributed.from_main(float(self._store.has_final(state.iteration, state.started))))

    def final(self, state: TrainerState, summary: Summary | None) -> None:
        """Write `final_model`: the network's weights as they are, averaged if the run keeps an average."""
        with self.averaged():
            self._weights(FINAL, state, summary)
        distributed.barrier()

    def best(self, state: TrainerState, summary: Summary) -> None:
        """Write `best_model` with the weights that the network has now."""
        self._weights(BEST, state, summary)

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        """Inside, the network has its averaged weights, if the run keeps any."""
        return self._parts.ema.applied() if self._parts.ema else contextlib.nullcontext()

    def _weights(self, name: str, state: TrainerState, summary: Summary | None) -> None:
        if not distributed.is_main():
            return
        made = {
            "started": state.started,
            "averaged": self._parts.ema is not None,
            "elapsed": state.elapsed,
            "length": self._length.to_dict(),
        }
        with self._store.writing(name) as folder:
            run_checkpoint.save_weights(folder, self._parts.model)
            run_checkpoint.write_meta(
                *(folder, self._parts.train_dataset, self._config, state.iteration, summary, made),
                earlier=state.earlier_cases,
            )
