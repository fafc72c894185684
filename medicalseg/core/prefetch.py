"""Work done by threads before it is needed and after it is handed over, in order, a bounded number at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Key = TypeVar("Key")
Item = TypeVar("Item")


def prefetch(read: Callable[[Key], Item], keys: Iterable[Key], num_workers: int = 0) -> Iterator[tuple[Key, Item]]:
    """Yield `(key, read(key))` in the order of `keys`; with workers, at most `num_workers` items wait.

    An error of `read` is raised where its item is due.
    """
    if num_workers < 1:
        yield from ((key, read(key)) for key in keys)
        return
    waiting: deque[tuple[Key, Future[Item]]] = deque()
    pool = ThreadPoolExecutor(num_workers, thread_name_prefix="medicalseg-reader")
    try:
        for key in keys:
            waiting.append((key, pool.submit(read, key)))
            if len(waiting) > num_workers:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class Behind(Generic[Item]):
    """Calls a function on items in a thread of its own, in their order; leaving the block waits for the last.

    Args:
        function: what to do with an item.
        waiting: items that may wait; 0 calls the function at once, without a thread.
    """

    def __init__(self, function: Callable[[Item], object], waiting: int = 1) -> None:
        self._function = function
        self._waiting = waiting
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="medicalseg-writer") if waiting > 0 else None
        self._futures: deque[Future[object]] = deque()

    def put(self, item: Item) -> None:
        """Hand an item over; an error of an earlier call is raised here."""
        if self._pool is None:
            self._function(item)
            return
        self._futures.append(self._pool.submit(self._function, item))
        while len(self._futures) > self._waiting:
            self._futures.popleft().result()

    def __enter__(self) -> Behind[Item]:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self._pool is None:
            return
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)
        if kind is None:
            for future in self._futures:
                future.result()
