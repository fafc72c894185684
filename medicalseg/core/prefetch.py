"""Samples read ahead by threads, in order, a bounded number at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

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
