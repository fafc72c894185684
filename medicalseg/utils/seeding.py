"""One seed for everything that is random.

Every sample draws from a generator seeded by (seed, epoch, index), every training step seeds Paddle from
(seed, iteration, rank). So a run gives the same weights whatever the number of data workers is and however often it
was interrupted and resumed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import numpy as np

_current: ContextVar[np.random.Generator | None] = ContextVar("medicalseg_sample_rng", default=None)


def derive(*parts: int) -> int:
    """A 31-bit seed that depends on every part, in order."""
    state = np.random.SeedSequence([int(part) & 0xFFFFFFFF for part in parts])
    return int(state.generate_state(1, np.uint32)[0] & 0x7FFFFFFF)


@contextlib.contextmanager
def sample_seed(*parts: int) -> Iterator[np.random.Generator]:
    """Inside the block, `rng()` is a fresh generator seeded by `parts` (seed, epoch, index)."""
    token = _current.set(np.random.default_rng([int(part) & 0xFFFFFFFF for part in parts]))
    try:
        yield rng()
    finally:
        _current.reset(token)


def rng() -> np.random.Generator:
    """The generator of the sample being made; outside `sample_seed` an unseeded one, kept for the context."""
    generator = _current.get()
    if generator is None:
        generator = np.random.default_rng()
        _current.set(generator)
    return generator
