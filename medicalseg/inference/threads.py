"""Work on parts of one array by several threads; NumPy leaves Python's lock while it computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from medicalseg.ops.process import default_threads

Item = TypeVar("Item")
SMALL = 1 << 21


def for_each(function: Callable[[Item], object], items: Sequence[Item], voxels: int) -> None:
    """Call `function` on every item, by `default_threads()` threads where there are at least `SMALL` voxels of work.

    An error of `function` is raised; the items must not depend on one another.
    """
    threads = min(default_threads(), len(items)) if voxels >= SMALL else 1
    if threads < 2:
        for item in items:
            function(item)
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="medicalseg-parts") as pool:
        for future in [pool.submit(function, item) for item in items]:
            future.result()
