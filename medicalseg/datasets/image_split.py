"""Which pictures train and which validate: list files, folders already divided, or folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from medicalseg.datasets.group_table import read_group_table
from medicalseg.datasets.image_folder import ImageFolder
from medicalseg.datasets.masks import MaskCase
from medicalseg.datasets.split_rule import SplitRule
from medicalseg.datasets.splits import LEAKING_NOTE, read_splits
from medicalseg.errors import ConfigError, DataError
from medicalseg.utils.files import file_hash


@dataclass(frozen=True)
class ImageSplit:
    """How the cases of a mode are chosen; the attributes are arguments of `ImageDataset`.

    Attributes:
        lists: list file per mode, or None.
        separator: between the two paths of a line.
        fold: number, "all", or None where the folder holds one mode only.
        splits: file of folds.
        num_folds: of nnU-Net's rule.
        split_seed: of nnU-Net's rule.
        group_pattern: patient in a case name.
        group_table: file with the patients.
        group_columns: its columns.
        val_on_train: allow evaluation with fold "all".
        record_in: folder for folds made by the rule.
    """

    lists: Mapping[str, str | None]
    separator: str | None
    fold: int | str | None
    splits: str | None
    num_folds: int
    split_seed: int
    group_pattern: str | None
    group_table: str | None
    group_columns: Sequence[str]
    val_on_train: bool
    record_in: Path

    def select(
        self, folder: ImageFolder, mode: str, *, label_required: bool | None = None
    ) -> tuple[list[MaskCase], tuple[str, ...]]:
        """The cases of a mode, and notes for reports.

        Args:
            folder: the pictures.
            mode: "train", "val" or "test".
            label_required: whether an image without a mask is an error; None: unless the mode is test.

        Raises:
            DataError: if there are none, or a list or the split is wrong.
            ConfigError: if the mode has no list, or a setting is wrong.
        """
        required = mode != "test" if label_required is None else label_required
        if any(self.lists.values()):
            return self._from_lists(folder, mode, required)
        cases = folder.cases(label_required=required)
        if self.fold is None:
            return cases, ()
        rule = self._rule(folder.root)
        chosen, notes = rule.select(cases, folder.root, mode)
        return cast("list[MaskCase]", chosen), notes

    def _from_lists(self, folder: ImageFolder, mode: str, required: bool) -> tuple[list[MaskCase], tuple[str, ...]]:
        if not self.lists[mode]:
            raise ConfigError(f"{mode}_path: mode '{mode}' needs its list, since others are given")
        found = {
            name: folder.listed(
                find_file(folder.root, path, f"{name}_path"), self.separator, label_required=name == mode
            )
            for name, path in self.lists.items()
            if path and (name == mode or name in ("train", "val"))
        }
        cases = found[mode]
        if mode == "train" and any(case.label is None for case in cases):
            raise DataError(f"train_path: {self.lists[mode]} lists images without a mask")
        held_out = "val" if mode == "train" else mode
        train, held = ({case.images[0].resolve() for case in found.get(name, [])} for name in ("train", held_out))
        both = len(train & held)
        if both:
            return cases, (f"{LEAKING_NOTE}: {both} of {len(held)}",)
        return cases, recorded_notes(folder.root, {case.name for case in found.get("train", [])})

    def _rule(self, root: Path) -> SplitRule:
        fold = cast("int | str", self.fold)
        group_of, pattern = None, self.group_pattern
        if self.group_table is not None:
            path = find_file(root, self.group_table, "group_table")
            group_of = read_group_table(path, self.group_columns)
            pattern = f"table {file_hash(path)} {self.group_columns}"
        return SplitRule(
            self.splits, fold, self.num_folds, self.split_seed, pattern, self.val_on_train, self.record_in, group_of
        )


def recorded_notes(root: Path, train: set[str]) -> tuple[str, ...]:
    """What `splits_final.json` notes about the split whose training cases these are, such as that it leaks."""
    path = root / "splits_final.json"
    if not train or not path.is_file():
        return ()
    return next((split.notes for split in read_splits(path) if set(split.train) == train), ())


def find_file(root: Path, text: str, key: str) -> Path:
    """A file named below the dataset's folder, or from the working directory.

    Raises:
        DataError: if it is in neither.
    """
    for path in (root / text, Path(text)):
        if path.is_file():
            return path
    raise DataError(f"{key}: {root / text} does not exist")
