"""Which cases a network learned from: recorded beside its weights, so that no score on them passes for a test."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medicalseg.inference.inputs import CHANNEL
from medicalseg.io import case_name
from medicalseg.io.bids_name import BidsName
from medicalseg.utils.checkpoint import read_meta
from medicalseg.utils.logger import logger
from medicalseg.utils.pretrained import split_checksum
from medicalseg.utils.words import few

if TYPE_CHECKING:
    from medicalseg.inference.static_network import StaticNetwork

KEY = "train_cases"
TrainCases = frozenset[str] | None
"""Names; None where nothing is recorded, as with weights of other programs."""


def names_of(dataset: Any) -> list[str] | None:
    """Names of a dataset's cases, sorted; None if it does not tell them."""
    cases = getattr(dataset, "cases", None)
    return None if cases is None else sorted(str(getattr(case, "name", case)) for case in cases)


def recorded(content: Mapping[str, Any] | None) -> TrainCases:
    """What a `meta.json`, or the description in a deploy.yaml, says."""
    names = None if content is None else content.get(KEY)
    return frozenset(str(name) for name in names) if isinstance(names, list) else None


def train_cases_of(model_path: str | os.PathLike[str]) -> TrainCases:
    """What is recorded beside weights.

    Raises:
        CheckpointError: if `meta.json` is damaged.
    """
    return recorded(read_meta(model_path))


def train_cases_of_export(network: StaticNetwork) -> TrainCases:
    """What is recorded in the deploy.yaml of an exported network, of its members and of an earlier one."""
    inside = [*network.members, *([] if network.previous is None else [network.previous])]
    return together([recorded(network.description), *map(train_cases_of_export, inside)])


def pretrained_cases(model: Any) -> TrainCases:
    """What is recorded beside the weights that a configuration's `model` block starts from; None if nothing is.

    Raises:
        CheckpointError: if a `meta.json` is damaged.
    """
    paths = (Path(split_checksum(str(source))[0]).expanduser() for source in _pretrained(model))
    return together(train_cases_of(path) for path in paths if path.exists())


def _pretrained(block: Any) -> Iterator[Any]:
    for key, value in block.items() if isinstance(block, Mapping) else ():
        if isinstance(value, Mapping):
            yield from _pretrained(value)
        elif "pretrained" in str(key) and value:
            yield value


def together(members: Iterable[TrainCases]) -> TrainCases:
    """Cases that any of several networks learned from; None if none of them tells."""
    known = [names for names in members if names is not None]
    return frozenset().union(*known) if known else None


def seen_note(names: Sequence[str], trained: TrainCases) -> tuple[str, ...]:
    """A note for a report, also logged, if scored cases have names of training cases.

    Args:
        names: of the scored cases, as a dataset or `find_inputs` calls them.
        trained: of `train_cases_of` or `together`.
    """
    seen = _among(names, trained) if trained else []
    if not seen:
        return ()
    note = (
        f"{len(seen)} of {len(names)} scored cases have the names of cases that the network was trained on: "
        f"{few(seen)}; their figures say nothing of new cases"
    )
    logger.warning("NOTE: %s.", note)
    return (note,)


def _among(names: Sequence[str], trained: frozenset[str]) -> list[str]:
    subjects = {name.case for name in (BidsName.of(Path(f"{each}_image")) for each in trained) if name.is_bids}
    return [name for name in names if not trained.isdisjoint(_spellings(name)) or _subject(name) in subjects]


def _spellings(name: str) -> set[str]:
    """A name, without folders, suffix and channel number."""
    last = Path(name).name
    plain = {name, last, case_name(last)}
    return plain | {match["case"] for match in map(CHANNEL.match, plain) if match}


def _subject(name: str) -> str:
    """BIDS' subject, session and run; none of other names."""
    found = BidsName.of(Path(f"{Path(name).name}_image"))
    return found.case if found.is_bids else "-"
