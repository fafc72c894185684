"""Batches from a dataset, made by worker processes, in a fixed order.

Unlike Paddle's loader it hands an error in a sample on with its message, notices a worker that was killed, and does
not wait for either. Each worker makes whole batches; batch k always comes k-th.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

import numpy as np

from medicalseg import errors
from medicalseg.core.exchange import Exchange
from medicalseg.errors import MedicalSegError, RunError
from medicalseg.utils import seeding
from medicalseg.utils.logger import logger

AHEAD = 2
LOOK_FOR_PARENT = 5.0
Collate = Callable[[list[Any]], Any]


class BatchLoader:
    """Iterate over batches; each is `collate` of the dataset's items.

    Args:
        dataset: `dataset[index]` gives an item.
        batches: the indices of each batch; an index is what the dataset takes: a number, or (epoch, number).
        collate: makes a batch of a list of items.
        num_workers: processes that make batches ahead of time; 0 makes each batch when it is asked for.
        seed: seeds NumPy's and Python's global generators for each sample, for transforms that use them.

    Raises:
        MedicalSegError: from the iteration, when an item cannot be made (the same error, or RunError naming the
            sample) or when a worker dies.
    """

    def __init__(
        self, dataset: Any, batches: Iterable[Sequence[Any]], collate: Collate, num_workers: int = 0, seed: int = 0
    ) -> None:
        self._make = _Maker(dataset, collate, seed)
        self._batches = batches
        self._num_workers = num_workers

    def __iter__(self) -> Iterator[Any]:
        if self._num_workers <= 0:
            return map(self._make, self._batches)
        return self._from_workers()

    def _from_workers(self) -> Iterator[Any]:
        crew = _Crew(self._make, self._num_workers)
        try:
            yield from crew.run(iter(self._batches))
        finally:
            crew.close()


class _Maker:
    """Makes one batch; runs in the worker, or here when there is none."""

    def __init__(self, dataset: Any, collate: Collate, seed: int) -> None:
        self._dataset, self._collate, self._seed = dataset, collate, seed

    def __call__(self, indices: Sequence[Any]) -> Any:
        return self._collate([self._item(index) for index in indices])

    def _item(self, index: Any) -> Any:
        parts = index if isinstance(index, tuple) else (0, index)
        value = seeding.derive(self._seed, *parts)
        np.random.seed(value)
        random.seed(value)
        try:
            return self._dataset[index]
        except MedicalSegError:
            raise
        except Exception as error:
            raise RunError(f"cannot load {sample_name(self._dataset, index)}: {describe(error)}") from error


def describe(error: BaseException) -> str:
    """One line for an error that was not raised on purpose."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else 'no message'}"


def sample_name(dataset: Any, index: Any) -> str:
    """Case name of a sample, or its number where the dataset has no names."""
    number = index[1] if isinstance(index, tuple) else index
    cases = getattr(dataset, "cases", None)
    if not cases:
        return f"sample {number}"
    case = cases[number % len(cases)]
    return f"case '{getattr(case, 'name', case)}'"


class _Worker:
    def __init__(self, make: _Maker, inherited: list[Connection]) -> None:
        context: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        self.connection, theirs = context.Pipe()
        forked = context.get_start_method() == "fork"
        close = [*inherited, self.connection] if forked else []
        self.exchange = Exchange(AHEAD) if forked else None
        arguments = (make, theirs, close, os.getpid(), self.exchange)
        self.process = context.Process(target=_work, args=arguments, daemon=True)
        self.process.start()
        theirs.close()
        self.tasks: deque[Sequence[Any]] = deque()

    def receive(self, make: _Maker) -> Any:
        wait([self.connection, self.process.sentinel])
        try:
            kind, content = self.connection.recv()
        except (EOFError, OSError):
            raise RunError(self._death(make)) from None
        self.tasks.popleft()
        if kind == "batch":
            return content if self.exchange is None else self.exchange.take(content)
        name, message, trace = content
        logger.debug("In the data worker:\n%s", trace)
        known = getattr(errors, name, RunError)
        raise known(message)

    def _death(self, make: _Maker) -> str:
        self.process.join(1)
        code = self.process.exitcode
        cause = f"exit code {code}"
        if code is not None and code < 0:
            cause = f"killed by {signal.Signals(-code).name}"
            cause += " (out of memory? use fewer --num_workers)" if code == -signal.SIGKILL else ""
        names = ", ".join(sample_name(make._dataset, index) for index in self.tasks[0])
        return f"a data worker died: {cause}, while making a batch of {names}"


class _Crew:
    """Some workers that take turns."""

    def __init__(self, make: _Maker, number: int) -> None:
        self._make = make
        self._workers: list[_Worker] = []
        for _ in range(number):
            self._workers.append(_Worker(make, [worker.connection for worker in self._workers]))

    def run(self, batches: Iterator[Sequence[Any]]) -> Iterator[Any]:
        turns: deque[_Worker] = deque()
        for turn in range(AHEAD * len(self._workers)):
            self._assign(batches, self._workers[turn % len(self._workers)], turns)
        while turns:
            worker = turns.popleft()
            batch = worker.receive(self._make)
            self._assign(batches, worker, turns)
            yield batch

    def _assign(self, batches: Iterator[Sequence[Any]], worker: _Worker, turns: deque[_Worker]) -> None:
        indices = next(batches, None)
        if indices is None:
            return
        worker.tasks.append(indices)
        turns.append(worker)
        with contextlib.suppress(BrokenPipeError, ConnectionError):
            worker.connection.send(list(indices))

    def close(self) -> None:
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(2)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.connection.close()
            if worker.exchange is not None:
                worker.exchange.close()


def _work(
    make: _Maker, connection: Connection, inherited: list[Connection], parent: int, exchange: Exchange | None
) -> None:
    """Life of a worker: batches until the pipe closes or the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for other in inherited:
        other.close()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionError):
        while True:
            while not connection.poll(LOOK_FOR_PARENT):
                if os.getppid() != parent:
                    return
            connection.send(_attempt(make, connection.recv(), exchange))


def _attempt(make: _Maker, indices: Sequence[Any], exchange: Exchange | None) -> tuple[str, Any]:
    import traceback

    try:
        batch = make(indices)
        return "batch", batch if exchange is None else exchange.put(batch)
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
        known = isinstance(error, MedicalSegError)
        message = str(error) if known else f"cannot make a batch: {describe(error)}"
        return "error", (type(error).__name__ if known else "RunError", message, traceback.format_exc())


def collate_samples(items: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, C, ...) float32 and labels (N, ...) int64, or masks (N, K, ...) uint8, of (image, label, name) items.

    Raises:
        RunError: the items differ in shape.
    """
    images, labels = [item[0] for item in items], [item[1] for item in items]
    if len({np.shape(image) for image in images}) > 1:
        listed = ", ".join(f"{item[2] if len(item) > 2 else k}: {np.shape(item[0])}" for k, item in enumerate(items))
        raise RunError(
            f"the images of a batch differ in shape ({listed}); add a transform that gives all one size, "
            "such as Resize3D, or use batch_size 1"
        )
    image, label = np.stack(images).astype(np.float32, copy=False), np.stack(labels)
    masks = label.ndim == image.ndim and label.dtype == np.uint8
    return image, label if masks else label.astype(np.int64, copy=False)
