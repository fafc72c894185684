"""What a suite describes: pieces of work, who does them, and which of them are compared with which target."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TIME, MEMORY = "time", "memory"
THREADS_VARIABLE = "MEDICALSEG_NUM_THREADS"
PEERS = {
    "torch": ("torch",),
    "monai": ("monai",),
    "nnunet": ("nnunetv2", "batchgeneratorsv2"),
    "torchio": ("torchio",),
    "batchgeneratorsv2": ("batchgeneratorsv2",),
}


@dataclass(frozen=True)
class Contender:
    """One implementation of a piece of work; it runs in a process of its own.

    Attributes:
        name: unique within the work.
        factory: "module:function". Called in the child with `arguments`; sets everything up and returns the function
            of one round. What that returns may have an `extra` mapping, which goes into the JSON.
        arguments: keyword arguments of the factory, as JSON can hold them.
        requires: packages it imports; where one is missing the table says "not installed".
        environment: environment variables of the child, over the ones that set the threads; None removes one.
        rounds: at most so many rounds, for what is slow; None does as many as `--repeats` says.
        timeout: seconds that setting up, or one round, may take.
    """

    name: str
    factory: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    environment: Mapping[str, str | None] = field(default_factory=dict)
    rounds: int | None = None
    timeout: float = 900.0

    @property
    def peers(self) -> tuple[str, ...]:
        """Names for `--against`; the last peer package of `requires` decides, and none makes it one of ours."""
        for package in reversed(self.requires):
            names = tuple(name for name, packages in PEERS.items() if package in packages)
            if names:
                return names
        return ()


@dataclass(frozen=True)
class Pair:
    """A comparison within a work: ours divided by theirs, lower is better.

    Attributes:
        ours: name of a contender; of several, the best one that was measured counts.
        theirs: the same for the other side.
        target: the ratio to reach; None compares without a target.
        measure: "time", or "memory": what a round needs at its peak beyond what was there after setting up.
    """

    ours: str | tuple[str, ...]
    theirs: str | tuple[str, ...]
    target: float | None = None
    measure: str = TIME

    @property
    def our_names(self) -> tuple[str, ...]:
        """Names of `ours`."""
        return (self.ours,) if isinstance(self.ours, str) else tuple(self.ours)

    @property
    def their_names(self) -> tuple[str, ...]:
        """Names of `theirs`."""
        return (self.theirs,) if isinstance(self.theirs, str) else tuple(self.theirs)


@dataclass(frozen=True)
class Outcome:
    """What a contender's round may return to have something written into the JSON.

    Attributes:
        extra: as JSON can hold it; later rounds overwrite earlier ones key by key.
    """

    extra: Mapping[str, Any]


@dataclass(frozen=True)
class Work:
    """A piece of work and its contenders, timed in turn: A B C A B C ...

    Attributes:
        name: unique within the suite.
        contenders: who does it.
        pairs: what is compared.
        threads: number of threads; None takes `--threads`.
        units: what one round handles, for cost per unit (for example voxels); None where that means nothing.
        series: works of one series are the same thing at growing size; a table shows their cost per unit side by side.
    """

    name: str
    contenders: tuple[Contender, ...] | list[Contender]
    pairs: tuple[Pair, ...] | list[Pair] = ()
    threads: int | None = None
    units: float | None = None
    series: str | None = None

    def __post_init__(self) -> None:
        names = [contender.name for contender in self.contenders]
        doubled = {name for name in names if names.count(name) > 1}
        if doubled:
            raise ValueError(f"work {self.name!r}: contenders share the name {sorted(doubled)[0]!r}")
        for pair in self.pairs:
            if pair.measure not in (TIME, MEMORY):
                raise ValueError(f"work {self.name!r}: measure {pair.measure!r} is neither {TIME!r} nor {MEMORY!r}")
            for name in (*pair.our_names, *pair.their_names):
                if name not in names:
                    raise ValueError(f"work {self.name!r}: a pair names {name!r}, which is not among {names}")


def threads() -> int:
    """Threads that a contender may use; for factories, in the child."""
    return int(os.environ[THREADS_VARIABLE])
