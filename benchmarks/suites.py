"""Which suites there are, and which of their works a call asks for."""

from __future__ import annotations

import fnmatch
import importlib
import importlib.util
from collections.abc import Iterable, Sequence
from dataclasses import replace

from benchmarks.frame import PEERS, Contender, Pair, Work

SUITES = ("train", "infer", "transforms", "loader", "prepare", "predict")


class SelectionError(Exception):
    """The call asks for something that is not there; the message says what is."""


def existing() -> list[str]:
    """Suites whose module is there."""
    return [name for name in SUITES if importlib.util.find_spec(f"benchmarks.{name}") is not None]


def chosen(names: Iterable[str]) -> list[str]:
    """The suites asked for; "all" stands for every one that exists.

    Raises:
        SelectionError: a name is no suite.
    """
    found = existing()
    result: list[str] = []
    for name in names:
        if name != "all" and name not in found:
            raise SelectionError(f"no suite '{name}'; there are: {', '.join(found)}, all")
        result += [suite for suite in (found if name == "all" else [name]) if suite not in result]
    return result


def works(suite: str, quick: bool, against: Sequence[str] | None, only: str | None) -> list[Work]:
    """Works of a suite.

    Args:
        suite: its name.
        quick: leave out what takes long.
        against: peers to compare with; None: all.
        only: part of, or pattern for, a work's name or "work/contender".

    Raises:
        SelectionError: a peer is unknown.
    """
    unknown = sorted(set(against or ()) - set(PEERS))
    if unknown:
        raise SelectionError(f"--against: no peer '{unknown[0]}'; there are: {', '.join(PEERS)}")
    module = importlib.import_module(f"benchmarks.{suite}")
    found = [_limited(work, against, only) for work in module.works(quick)]
    return [work for work in found if work.contenders]


def _limited(work: Work, against: Sequence[str] | None, only: str | None) -> Work:
    kept = [c for c in work.contenders if _wanted(c, against) and _matches(work, c, only)]
    names = {contender.name for contender in kept}
    pairs = [_narrowed(pair, names) for pair in work.pairs]
    return replace(work, contenders=kept, pairs=[pair for pair in pairs if pair.our_names and pair.their_names])


def _narrowed(pair: Pair, names: set[str]) -> Pair:
    ours = tuple(name for name in pair.our_names if name in names)
    return replace(pair, ours=ours, theirs=tuple(name for name in pair.their_names if name in names))


def _wanted(contender: Contender, against: Sequence[str] | None) -> bool:
    return against is None or not contender.peers or any(peer in against for peer in contender.peers)


def _matches(work: Work, contender: Contender, only: str | None) -> bool:
    if only is None:
        return True
    names = (work.name.lower(), f"{work.name}/{contender.name}".lower())
    pattern = only.lower()
    return any(pattern in name or fnmatch.fnmatchcase(name, pattern) for name in names)
