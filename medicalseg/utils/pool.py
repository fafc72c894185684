"""Work on many cases in several processes; one broken case does not stop the others."""

from __future__ import annotations

import errno
import logging
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol, TypeVar

from medicalseg.errors import DataError, MedicalSegError, RunError
from medicalseg.utils.progress import Progress

Item = TypeVar("Item")


class Named(Protocol):
    """What has a name of its own among the others."""

    @property
    def name(self) -> str:
        """For messages."""


NamedItem = TypeVar("NamedItem", bound=Named)


class DiskFullError(RunError):
    """Nothing more can be written; going on with other cases is no use."""


def run_all(
    function: Callable[[Item], Any], items: Sequence[Item], num_workers: int = 0, title: str = "cases"
) -> Iterator[tuple[Item, Any]]:
    """Call `function` on every item and yield (item, result) as they finish.

    An error raised for one item is yielded as its result, a `MedicalSegError`. Processes are spawned, so it works
    beside threads (Paddle's); `function` must be importable.

    Args:
        function: a module-level function (or a partial of one).
        items: what to work on.
        num_workers: processes; 0 or 1 works in this process.
        title: what the progress line calls the work.

    Raises:
        RunError: a worker process died.
    """
    progress = Progress(len(items), title)
    workers = min(num_workers, len(items))
    results = _in_processes(function, items, workers) if workers > 1 else _here(function, items)
    try:
        for item, result in results:
            progress.step()
            yield item, result
    finally:
        progress.close()


def results_of(
    function: Callable[[NamedItem], Any], items: Sequence[NamedItem], num_workers: int, title: str
) -> list[Any]:
    """What `function` gives for every item, in their order; see `run_all`.

    Raises:
        DataError: the first failure, with the item's name.
    """
    found = {}
    for item, result in run_all(function, items, num_workers, title):
        if isinstance(result, Exception):
            raise DataError(f"case {item.name}: {result}")
        found[item.name] = result
    return [found[item.name] for item in items]


def _here(function: Callable[[Item], Any], items: Sequence[Item]) -> Iterator[tuple[Item, Any]]:
    for item in items:
        yield item, _guarded(function, item)


def _guarded(function: Callable[[Item], Any], item: Item) -> Any:
    try:
        return function(item)
    except MedicalSegError as error:
        return error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return DiskFullError(f"no space left on the disk: {error.filename or error}")
        return DataError(f"{type(error).__name__}: {error}")
    except Exception as error:  # noqa: BLE001 - any reader's failure is that case's; the caller reports its name
        return DataError(f"{type(error).__name__}: {error}")


def _in_processes(function: Callable[[Item], Any], items: Sequence[Item], workers: int) -> Iterator[tuple[Item, Any]]:
    context = multiprocessing.get_context("spawn")
    waiting = list(reversed(items))
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_quiet) as pool:
        running: dict[Future[Any], Item] = {}
        try:
            while waiting or running:
                while waiting and len(running) < 2 * workers:
                    item = waiting.pop()
                    running[pool.submit(_guarded, function, item)] = item
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    item = running.pop(future)
                    yield item, future.result()
        except BrokenProcessPool as error:
            raise RunError(
                f"a worker process died ({len(waiting) + len(running) + 1} cases were left; out of memory?); "
                "run the same command again with a smaller --num_workers, finished cases are kept"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _quiet() -> None:
    """In a worker: Ctrl-C is the parent's business, and warnings are handed back instead of printed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.getLogger("medicalseg").addHandler(logging.NullHandler())
