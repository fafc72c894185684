"""The checkpoint folders of a run: written whole or not at all, found again, thinned out."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from medicalseg.core.failures import StoppedError
from medicalseg.errors import CheckpointError, RunError
from medicalseg.utils.checkpoint import MODEL_FILE, OPTIMIZER_FILE, read_meta
from medicalseg.utils.files import output_folder, read_json_object
from medicalseg.utils.logger import logger

TRAINER_FILE = "trainer.json"
BEST = "best_model"
FINAL = "final_model"
_TEMPORARY = ".tmp-"
_REPLACED = ".old-"
_ITERATION = re.compile(r"iter_(\d+)")


class CheckpointStore:
    """Checkpoints in one `save_dir`: `iter_N/`, `best_model/` and `final_model/`.

    Args:
        save_dir: folder of the run; made when first needed.

    Raises:
        UserError: `save_dir` is a file.
    """

    def __init__(self, save_dir: str | os.PathLike[str]) -> None:
        self.folder = output_folder(save_dir)

    def prepare(self) -> None:
        """Make the folder and put away what an interrupted run left half done.

        Raises:
            RunError: the folder cannot be made or written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for path in self.folder.glob(f"{_REPLACED}*"):
                target = self.folder / path.name[len(_REPLACED) :]
                if target.exists():
                    shutil.rmtree(path)
                else:
                    path.rename(target)
            for path in self.folder.glob(f"{_TEMPORARY}*"):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
        except OSError as error:
            raise RunError(f"cannot write to --save_dir {self.folder}: {error.strerror or error}") from error

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Yield an empty folder; on leaving it becomes `save_dir/name`, replacing an older one.

        Raises:
            RunError: it cannot be written (full disk); what was there before is kept.
        """
        temporary = self.folder / f"{_TEMPORARY}{name}-{os.getpid()}-{secrets.token_hex(4)}"
        try:
            temporary.mkdir(parents=True)
            yield temporary
            _flush(temporary)
            self._publish(temporary, self.folder / name)
        except StoppedError:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise RunError(self._failure(name, error.strerror or str(error))) from error
        except RunError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise RunError(self._failure(name, str(error))) from error
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise

    def _failure(self, name: str, cause: str) -> str:
        kept = self.newest()
        last = f"the last good checkpoint is {kept}" if kept else "there is no earlier checkpoint"
        return f"cannot save {self.folder / name}: {cause}; {last}"

    def _publish(self, temporary: Path, target: Path) -> None:
        replaced = target.with_name(_REPLACED + target.name)
        if target.exists():
            if replaced.exists():
                shutil.rmtree(replaced)
            target.rename(replaced)
        temporary.rename(target)
        _flush(self.folder)
        if replaced.exists():
            shutil.rmtree(replaced)

    def path(self, iteration: int) -> Path:
        """Folder of an iteration's checkpoint."""
        return self.folder / f"iter_{iteration}"

    def has_final(self, iteration: int, started: str) -> bool:
        """Whether `final_model` is of this iteration of the run that started then."""
        folder = self.folder / FINAL
        meta = read_meta(folder) if (folder / MODEL_FILE).is_file() else None
        return meta is not None and (meta.get("iteration"), meta.get("started", "")) == (iteration, started)

    def iterations(self) -> list[int]:
        """Iterations with a complete checkpoint, ascending."""
        if not self.folder.is_dir():
            return []
        found = []
        for path in self.folder.iterdir():
            match = _ITERATION.fullmatch(path.name)
            if match and all((path / name).is_file() for name in (MODEL_FILE, OPTIMIZER_FILE)):
                found.append(int(match.group(1)))
        return sorted(found)

    def newest(self) -> Path | None:
        """The last complete checkpoint of the run that started last; runs before it may have come further."""
        known = [(_started(self.path(iteration)), iteration) for iteration in self.iterations()]
        return self.path(max(known)[1]) if known else None

    def newest_state(self) -> dict[str, object]:
        """Content of the `newest` checkpoint's `trainer.json`; empty without one.

        Raises:
            CheckpointError: it is damaged.
        """
        last = self.newest()
        return (read_trainer(last) if last else None) or {}

    def prune(self, saved: list[int], keep: int) -> list[int]:
        """Remove the oldest of this run's checkpoints beyond `keep` (all are kept if it is not positive).

        Returns:
            The iterations that are left, ascending.
        """
        present = [iteration for iteration in sorted(set(saved)) if self.path(iteration).is_dir()]
        surplus = present[:-keep] if keep > 0 else []
        for iteration in surplus:
            doomed = self.folder / f"{_TEMPORARY}remove-{iteration}-{secrets.token_hex(4)}"
            with contextlib.suppress(OSError):
                self.path(iteration).rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)
        return present[len(surplus) :]

    def resolve(self, resume: str | None) -> Path | None:
        """The folder to resume from.

        Args:
            resume: an `iter_N` folder; "auto" for the `newest` in this store; None to start anew.

        Returns:
            The folder, or None where there is nothing to resume.

        Raises:
            CheckpointError: the folder is missing, incomplete, or cannot be resumed from.
        """
        if not resume:
            return None
        if resume == "auto":
            last = self.newest()
            if last is None:
                logger.info("--resume auto: no checkpoint in %s, starting a new run.", self.folder)
            return last
        folder = Path(resume)
        if folder.name in (BEST, FINAL):
            raise CheckpointError(f"{folder} holds weights only; resume from an iter_N folder beside it")
        if not folder.is_dir():
            raise CheckpointError(f"--resume_model {folder}: no such folder; give an iter_N folder, or --resume auto")
        missing = [name for name in (MODEL_FILE, OPTIMIZER_FILE) if not (folder / name).is_file()]
        if missing:
            raise CheckpointError(f"--resume_model {folder}: {' and '.join(missing)} is missing there")
        return folder


def iteration_of(folder: Path) -> int:
    """N of an `iter_N` folder.

    Raises:
        CheckpointError: it has another name.
    """
    match = _ITERATION.fullmatch(folder.resolve().name)
    if not match:
        raise CheckpointError(f"{folder} has no {TRAINER_FILE} and its name is not iter_N: the iteration is unknown")
    return int(match.group(1))


def read_trainer(folder: Path) -> dict[str, object] | None:
    """Content of `trainer.json`, or None for a checkpoint of PaddleSeg3D, which has none.

    Raises:
        CheckpointError: it is damaged.
    """
    path = folder / TRAINER_FILE
    if not path.is_file():
        return None
    return read_json_object(path, CheckpointError)


def _started(folder: Path) -> str:
    """When its run was started; nothing of older versions."""
    try:
        return str((read_trainer(folder) or {}).get("started", ""))
    except CheckpointError as error:
        logger.warning("%s is not the newest checkpoint: %s", folder, error)
        return ""


def _flush(folder: Path) -> None:
    """Put a folder's entries on disk; systems that cannot open folders do it by themselves."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
