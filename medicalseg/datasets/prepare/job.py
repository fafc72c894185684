"""What there is to prepare: the cases, what is done to them, and where the result goes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medicalseg.datasets.prepare.voxel_files import with_voxels
from medicalseg.datasets.splits import Split
from medicalseg.inference.preprocess import Preprocessing

ENGINE_VERSION = 1

SplitRule = Callable[[list[str]], Split]


@dataclass(frozen=True)
class CaseSource:
    """One raw case.

    Attributes:
        name: case name; names `images/NAME.npy`.
        images: one file, or one per channel.
        label: label file; None for a test case.
        label_name: names `labels/LABEL_NAME.npy`; default: the case name.
    """

    name: str
    images: tuple[Path, ...]
    label: Path | None = None
    label_name: str = ""

    @property
    def files(self) -> tuple[Path, ...]:
        """Images and label."""
        return self.images if self.label is None else (*self.images, self.label)

    @property
    def stored_files(self) -> tuple[Path, ...]:
        """Images and label with the voxel files that headers among them name."""
        return tuple(part for path in self.files for part in with_voxels(path))

    @property
    def label_stem(self) -> str:
        """File name of the label array without its suffix."""
        return self.label_name or self.name


@dataclass(frozen=True)
class Recipe:
    """What is done to each case, and where it goes.

    Attributes:
        output: folder that gets `images`, `labels`, `originals`, `cases`.
        preprocessing: from stored volume to array.
        raw_root: folder that the paths in `dataset.json` start from.
        num_classes: label ids must be below it; None = not checked.
        ignore_index: label id that is allowed besides.
        label_ids: the id that each value in label files becomes, others being an error; None = values are ids.
    """

    output: Path
    preprocessing: Preprocessing
    raw_root: Path
    num_classes: int | None = None
    ignore_index: int | None = None
    label_ids: Mapping[int, int] | None = None

    def fingerprint(self, source: CaseSource) -> str:
        """Changes when the settings or a source file (size, time of change) do."""
        stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in source.stored_files]
        settings: list[Any] = [ENGINE_VERSION, self.preprocessing.to_dict(), self.num_classes, self.ignore_index]
        if self.label_ids is not None:
            settings.append(sorted(self.label_ids.items()))
        text = json.dumps([settings, source.name, source.label_stem, stats], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Job:
    """A whole dataset.

    Attributes:
        recipe: what is done to each case.
        cases: cases with labels.
        split: from the names of all cases, in their order, to those that train and validate; cases that turn out broken
            are left out afterwards.
        test: cases without labels.
        description: name, description, reference, licence and modality for `dataset.json`.
        labels: class names by id.
        class_groups: ids per group name.
        origin: "real" or "phantom"; one never replaces the other unasked.
        public_cases: number of cases in the public data; None if they have no fixed number.
        copies: further places for `dataset.json`; a file there that another tool wrote is left alone.
    """

    recipe: Recipe
    cases: Sequence[CaseSource]
    split: SplitRule
    labels: Mapping[int, str]
    description: Mapping[str, Any]
    test: Sequence[CaseSource] = ()
    class_groups: Mapping[str, Sequence[int]] = field(default_factory=dict)
    origin: str = "real"
    public_cases: int | None = None
    copies: Sequence[Path] = ()
