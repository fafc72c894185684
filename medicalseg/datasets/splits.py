"""Which cases train and which are held out: by case or patient, sorted, seeded, recorded in a file."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from medicalseg.errors import ConfigError, DataError
from medicalseg.utils.files import read_json, write_json

NNUNET_SEED = 12345
LEAKING_NOTE = "validation cases are among the training cases (leaking split)"

GroupOf = Callable[[str], str]


@dataclass(frozen=True)
class Split:
    """One division of cases.

    Attributes:
        train: case names, sorted.
        val: case names, sorted.
        test: case names, sorted.
        rule: how the division was made, in words.
        seed: seed of the rule; None if nothing was drawn.
        leaking: whether held-out cases (or their patients) are among the training cases.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...] = ()
    rule: str = ""
    seed: int | None = None
    leaking: bool = field(default=False)

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines that every report made from this split repeats."""
        return (LEAKING_NOTE,) if self.leaking else ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Split:
        """Inverse of `to_dict`; the mark `leaking` is also set when the parts overlap.

        Raises:
            DataError: if a part is missing or not a list of names.
        """
        parts = {}
        for key in ("train", "val", "test"):
            names = content.get(key, [] if key == "test" else None)
            if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
                raise DataError(f"split: '{key}' must be a list of case names, got {names!r}")
            parts[key] = tuple(names)
        overlap = set(parts["train"]) & (set(parts["val"]) | set(parts["test"]))
        return cls(
            **parts,
            rule=str(content.get("rule", "")),
            seed=content.get("seed"),
            leaking=bool(content.get("leaking", False) or overlap),
        )

    def write(self, path: str | os.PathLike[str]) -> None:
        """Record the split as JSON, atomically."""
        write_json(path, self.to_dict())


def holdout(
    cases: Iterable[str],
    val_fraction: float = 0.2,
    test_fraction: float = 0.0,
    seed: int = 0,
    group_of: GroupOf | None = None,
) -> Split:
    """Hold a seeded part of the cases out; all cases of a group stay together.

    Args:
        cases: unique case names in any order.
        val_fraction: part of the groups for validation, rounded, at least one if > 0.
        test_fraction: part of the groups for test, likewise.
        seed: seed of the draw; the same for the same names, whatever order they came in.
        group_of: patient (or other group) of a case; default: every case is its own.

    Raises:
        ConfigError: if the fractions leave nothing to train on.
        DataError: if a name occurs twice.
    """
    groups = _grouped(cases, group_of)
    names = sorted(groups)
    counts = [_part(len(names), fraction, key) for fraction, key in ((val_fraction, "val"), (test_fraction, "test"))]
    if not names or sum(counts) >= len(names):
        raise ConfigError(
            f"split: val {val_fraction} and test {test_fraction} of {len(names)} leave nothing to train on"
        )
    order = [names[index] for index in np.random.RandomState(seed).permutation(len(names))]
    val, test, train = order[: counts[0]], order[counts[0] : sum(counts)], order[sum(counts) :]
    rule = f"sorted {'cases' if group_of is None else 'groups'}, seeded draw, val {val_fraction}, test {test_fraction}"
    return Split(_members(train, groups), _members(val, groups), _members(test, groups), rule, seed)


def kfold(
    cases: Iterable[str], folds: int = 5, seed: int = NNUNET_SEED, group_of: GroupOf | None = None
) -> list[Split]:
    """Cross-validation folds by nnU-Net's rule, `KFold(folds, shuffle=True, random_state=seed)` over sorted names.

    Raises:
        ConfigError: if there are fewer groups than folds, or fewer than two folds.
        DataError: if a name occurs twice.
    """
    groups = _grouped(cases, group_of)
    names = sorted(groups)
    if not 2 <= folds <= len(names):
        raise ConfigError(f"split: {folds} folds need at least two folds and as many cases, there are {len(names)}")
    order = np.arange(len(names))
    np.random.RandomState(seed).shuffle(order)
    rule = f"KFold({folds}, shuffle=True, random_state={seed}) over sorted {'cases' if group_of is None else 'groups'}"
    splits = []
    for held_out in np.array_split(order, folds):
        val = [names[index] for index in held_out]
        train = sorted(set(names) - set(val))
        splits.append(Split(_members(train, groups), _members(val, groups), (), rule, seed))
    return splits


def leaking_tail(cases: Iterable[str], fraction: float = 0.2) -> Split:
    """PaddleSeg3D's rule for its spine set: train on all, validate on the last part of the same sorted list.

    Scores on such a split say little about new patients; the split is marked and every report repeats the mark.
    """
    names = sorted(_grouped(cases, None))
    if not names or not 0 < fraction < 1:
        raise ConfigError(f"split: expected cases and a fraction between 0 and 1, got {len(names)} and {fraction}")
    count = len(names) - int(len(names) * (1 - fraction))
    rule = f"all cases train, the last {fraction} of them validate (PaddleSeg3D)"
    return Split(tuple(names), tuple(names[len(names) - count :]), rule=rule, leaking=True)


def read_splits(path: str | os.PathLike[str]) -> list[Split]:
    """Read nnU-Net's `splits_final.json` (a list of folds) or a recorded `split.json` (one division).

    Raises:
        DataError: if the file is not that.
    """
    content = read_json(path)
    folds = [content] if isinstance(content, dict) else content
    if not isinstance(folds, list) or not folds or not all(isinstance(fold, dict) for fold in folds):
        raise DataError(f'{path}: expected a list of {{"train": [...], "val": [...]}}')
    try:
        return [Split.from_dict(fold) for fold in folds]
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def write_splits(path: str | os.PathLike[str], splits: Sequence[Split]) -> None:
    """Write folds as nnU-Net reads them, with rule and seed beside the names."""
    write_json(path, [split.to_dict() for split in splits])


def group_by_pattern(pattern: str) -> GroupOf:
    """Group of a case name by a regular expression: its first group, or the whole match.

    Example:
        >>> group_by_pattern(r"(patient\\d+)_frame\\d+")("patient007_frame01")
        'patient007'

    Raises:
        ConfigError: if the pattern is wrong.
        DataError: when called, if a name does not match.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"split: {pattern!r} is not a regular expression: {error}") from error

    def group_of(case: str) -> str:
        found = compiled.search(case)
        if found is None:
            raise DataError(f"case {case}: its name does not match the group pattern {pattern!r}")
        return found.group(1) if compiled.groups else found.group(0)

    return group_of


def _grouped(cases: Iterable[str], group_of: GroupOf | None) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    seen: set[str] = set()
    for case in cases:
        if case in seen:
            raise DataError(f"case {case}: occurs twice; case names must be unique")
        seen.add(case)
        groups.setdefault(case if group_of is None else group_of(case), []).append(case)
    return groups


def _members(names: Iterable[str], groups: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    return tuple(sorted(case for name in names for case in groups[name]))


def _part(total: int, fraction: float, key: str) -> int:
    if isinstance(fraction, bool) or not 0 <= fraction < 1:
        raise ConfigError(f"split: the {key} fraction must be at least 0 and below 1, got {fraction!r}")
    return max(1, round(total * fraction)) if fraction > 0 else 0
