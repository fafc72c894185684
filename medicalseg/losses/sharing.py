"""What several losses and the report of a step need of the same tensors is computed once."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Hashable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


class _Memory(threading.local):
    entries: dict[Hashable, tuple[tuple[Any, ...], Any]] | None = None
    rows: frozenset[Any] = frozenset()


_memory = _Memory()


@contextlib.contextmanager
def sharing(rows: frozenset[Any] = frozenset()) -> Iterator[None]:
    """Inside the block results are remembered; a block within it remembers in the same place.

    Args:
        rows: sums that will be asked for inside the block; they are then computed, and differentiated, in one go.
    """
    entries, before = _memory.entries, _memory.rows
    _memory.entries = {} if entries is None else entries
    _memory.rows = before | rows
    try:
        yield
    finally:
        _memory.entries, _memory.rows = entries, before


def expected_rows() -> frozenset[Any]:
    """The sums that the blocks around have announced."""
    return _memory.rows


def remembered(objects: tuple[Any, ...], options: tuple[Hashable, ...], make: Callable[[], T]) -> T:
    """What `make` gives for these objects (told apart by identity) and options; inside `sharing` it is called once."""
    entries = _memory.entries
    if entries is None:
        return make()
    key = (*map(id, objects), *options)
    if key not in entries:
        entries[key] = (objects, make())
    result: T = entries[key][1]
    return result
