"""Which cases of a folder train and which validate: a file of folds, or nnU-Net's rule, recorded."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from medicalseg.datasets.case import Case
from medicalseg.datasets.splits import LEAKING_NOTE, GroupOf, Split, group_by_pattern, kfold, read_splits, write_splits
from medicalseg.errors import ConfigError, DataError
from medicalseg.utils.logger import logger
from medicalseg.utils.words import few

_TEST_CASES = "name the test cases with test_path, or set fold: null where the folder holds nothing else"


class SplitRule:
    """How training and validation cases are told apart.

    Args:
        file: file of folds; None = `splits_final.json` of the dataset's folder, else nnU-Net's rule.
        fold: number of the fold, or "all".
        num_folds: folds of the rule.
        seed: seed of the rule.
        group_pattern: regular expression whose first group is the patient in a case name; the rule is used then.
        val_on_train: allow evaluation with fold "all".
        folder: where the rule's folds are recorded.
        group_of: patient of a case name, instead of `group_pattern`.

    Raises:
        ConfigError: if the fold is wrong.
    """

    def __init__(
        self,
        file: str | None,
        fold: int | str,
        num_folds: int,
        seed: int,
        group_pattern: str | None,
        val_on_train: bool,
        folder: Path,
        group_of: GroupOf | None = None,
    ) -> None:
        if fold != "all" and (isinstance(fold, bool) or not isinstance(fold, int) or fold < 0):
            raise ConfigError(f"fold: expected a number from 0 on or 'all', got {fold!r}")
        self.file = file
        self.fold = fold
        self.num_folds = num_folds
        self.seed = seed
        self.group_pattern = group_pattern
        self.group_of = group_by_pattern(group_pattern) if group_pattern and group_of is None else group_of
        self.val_on_train = val_on_train
        self.folder = folder

    def select(self, cases: Sequence[Case], root: Path, mode: str) -> tuple[list[Case], tuple[str, ...]]:
        """The cases of a mode, and notes for reports.

        Raises:
            DataError: if the fold has no such cases, or names others than the dataset's.
            ConfigError: if the fold does not exist, or "all" leaves none.
        """
        if self.fold == "all":
            return self._all(cases, mode)
        if mode == "test" and self._file(root) is None:
            raise DataError(f"{root}: no file of folds tells which cases are for mode 'test'; {_TEST_CASES}")
        by_name = {case.name: case for case in cases}
        split, source = self._split(sorted(by_name), root)
        names: tuple[str, ...] = getattr(split, mode)
        unknown = [name for name in dict.fromkeys((*split.train, *split.val, *names)) if name not in by_name]
        if unknown:
            raise DataError(f"{source}: names {len(unknown)} cases that the dataset does not have: {few(unknown, 3)}")
        if not names:
            hint = f"; {_TEST_CASES}" if mode == "test" else ""
            raise DataError(f"{source}: fold {self.fold} has no case for mode '{mode}'{hint}")
        return [by_name[name] for name in names], split.notes

    def _all(self, cases: Sequence[Case], mode: str) -> tuple[list[Case], tuple[str, ...]]:
        if mode == "train":
            return list(cases), ()
        if not self.val_on_train:
            raise ConfigError(
                f"fold: 'all' trains on every case and leaves none for mode '{mode}'; "
                "choose a fold number, or set val_on_train: True to score on training cases"
            )
        return list(cases), (f"{LEAKING_NOTE}: fold 'all'",)

    def _split(self, names: Sequence[str], root: Path) -> tuple[Split, str]:
        path = self._file(root)
        if path is None:
            folds, source = kfold(names, self.num_folds, self.seed, self.group_of), f"{self.num_folds} folds"
        else:
            folds, source = read_splits(path), str(path)
        if int(self.fold) >= len(folds):
            raise ConfigError(f"fold: {self.fold} does not exist; there are folds 0 to {len(folds) - 1} ({source})")
        if path is None:
            self._write(names, folds)
        return folds[int(self.fold)], source

    def _file(self, root: Path) -> Path | None:
        return file_of_folds(root, self.file, grouped=self.group_of is not None)

    def _write(self, names: Sequence[str], folds: Sequence[Split]) -> None:
        text = "\0".join([*names, str(self.num_folds), str(self.seed), str(self.group_pattern)])
        path = self.folder / f"splits-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"
        if path.is_file():
            return
        try:
            write_splits(path, folds)
        except OSError as error:
            logger.warning("%s: the split cannot be recorded (%s)", path, error)
        else:
            logger.info("The dataset has no splits_final.json; %s: recorded in %s", folds[0].rule, path)


def file_of_folds(root: Path, given: str | None, grouped: bool) -> Path | None:
    """The file that says which cases are of which fold; None where a rule does.

    Args:
        root: the dataset's folder.
        given: its name or path; None = `splits_final.json`, if there is one and no patients are to be kept together.
        grouped: whether they are.

    Raises:
        DataError: if `given` does not exist.
    """
    if given is None:
        standard = root / "splits_final.json"
        return standard if standard.is_file() and not grouped else None
    for path in (root / given, Path(given)):
        if path.is_file():
            return path
    raise DataError(f"splits: {root / given} does not exist")
