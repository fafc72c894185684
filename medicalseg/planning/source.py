"""A dataset folder as a plan sees it: labelled cases, what labels mean, how a configuration names them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medicalseg.datasets.cache import default_folder
from medicalseg.datasets.case import Case
from medicalseg.datasets.case_reader import CaseReader
from medicalseg.datasets.decathlon_layout import find_cases, read_layout
from medicalseg.datasets.layout import HOW_TO_NAME, MANY_VALUES, Layout
from medicalseg.datasets.missing_files import missing_files, with_expected_labels
from medicalseg.datasets.split_rule import SplitRule
from medicalseg.datasets.splits import NNUNET_SEED, group_by_pattern
from medicalseg.errors import DataError, UserError
from medicalseg.inference.label_map import LabelMap
from medicalseg.inference.preprocess import Preprocessing
from medicalseg.io import read_label
from medicalseg.utils.words import few

BACKGROUND = "background"
FOLDS = 5


@dataclass(frozen=True)
class PlanSource:
    """What to plan for.

    Attributes:
        root: the folder.
        cases: labelled cases, sorted by name.
        names: names by id, the background's 0 included.
        layout: what the folder holds.
        label_map: what stored labels mean; None where they are the ids.
        label_arguments: the dataset's arguments that make `label_map`: labels, regions, region_order, ignore.
        num_classes: channels of the network's output.
        ignore_index: id that is neither trained nor scored.
        channel_names: as described; may be empty.
        channels: channels to use; None = all.
        folder_arguments: dataset_json and labels_dir, where they differ from the default.
        fold: measure the training cases of this fold alone; None = all labelled cases.
    """

    root: Path
    cases: tuple[Case, ...]
    names: dict[int, str]
    num_classes: int
    layout: Layout
    label_map: LabelMap | None = None
    label_arguments: dict[str, Any] = field(default_factory=dict)
    ignore_index: int | None = 255
    channel_names: tuple[str, ...] = ()
    channels: tuple[int, ...] | None = None
    folder_arguments: dict[str, str] = field(default_factory=dict)
    fold: int | None = None

    @property
    def reader(self) -> CaseReader:
        """Reads images as stored."""
        return CaseReader(Preprocessing(channels=self.channels))

    @property
    def regions(self) -> bool:
        """Whether classes overlap."""
        return self.label_map is not None and self.label_map.regions

    @property
    def measured(self) -> tuple[Case, ...]:
        """Cases that the fingerprint is taken of.

        Raises:
            ConfigError: the fold does not exist.
            DataError: the file of folds is wrong.
        """
        if self.fold is None:
            return self.cases
        pattern, folder = self.layout.default_group_pattern, default_folder() / "splits"
        rule = SplitRule(None, self.fold, min(FOLDS, self.groups), NNUNET_SEED, pattern, False, folder)
        return tuple(rule.select(self.cases, self.root, "train")[0])

    @property
    def groups(self) -> int:
        """Patients, where case names tell them and no file of folds does; else cases."""
        pattern = self.layout.default_group_pattern
        if pattern is None:
            return len(self.cases)
        group_of = group_by_pattern(pattern)
        return len({group_of(case.name) for case in self.cases})


def open_dataset(
    root: Path,
    *,
    dataset_json: str | None = None,
    labels_dir: str | None = None,
    labels: Sequence[str] | None = None,
    regions: Sequence[str] | None = None,
    region_order: Sequence[int] | None = None,
    ignore: Sequence[int] | None = None,
    fold: int | None = None,
) -> PlanSource:
    """Read a folder's description and list its labelled cases.

    Args:
        root: an MSD, nnU-Net or BIDS-like folder.
        dataset_json: the description, if there are several.
        labels_dir: folder of the labels, if not as described.
        labels: label map, "NAME=VALUE" or "NAME=VALUE,VALUE" in the order of the classes.
        regions: regions that may overlap, written the same way.
        region_order: values painted into one written label map.
        ignore: stored values neither trained nor scored.
        fold: measure the training cases of this fold alone.

    Raises:
        DataError: there is no such dataset, or a file is missing.
        UserError: a label is written wrong.
    """
    root = root if root.name not in ("", "..") else root.resolve()
    layout = read_layout(root, dataset_json)
    given = {"dataset_json": dataset_json, "labels_dir": labels_dir}
    cases = with_expected_labels(layout, find_cases(layout, "training", labels_dir=labels_dir), labels_dir)
    _check_files(layout, cases, labels_dir)
    if not (layout.labels or labels or regions):
        raise DataError(_unnamed(layout, cases[0]))
    arguments = _label_arguments(layout, labels, regions, region_order, ignore)
    label_map = LabelMap.from_config(**arguments) if arguments else None
    classes = layout.num_classes if label_map is None else label_map.num_classes
    names = dict(layout.labels) if label_map is None else {0: BACKGROUND, **label_map.names}
    return PlanSource(
        root=root,
        cases=tuple(cases),
        names=names,
        label_map=label_map,
        label_arguments=arguments,
        num_classes=classes,
        ignore_index=255 if layout.ignore_index is None or label_map is not None else layout.ignore_index,
        channel_names=layout.channels,
        folder_arguments={key: value for key, value in given.items() if value is not None},
        layout=layout,
        fold=fold,
    )


def parse_labels(items: Sequence[str], flag: str) -> dict[str, int | list[int]]:
    """`NAME=VALUE` and `NAME=VALUE,VALUE` as the label map of a configuration.

    Raises:
        UserError: an item is not of this form, or a name occurs twice.

    Example:
        >>> parse_labels(["background=0", "tumour=1,3"], "--labels")
        {'background': 0, 'tumour': [1, 3]}
    """
    result: dict[str, int | list[int]] = {}
    for item in items:
        name, _, text = item.rpartition("=")
        try:
            values = [int(part) for part in text.split(",")]
        except ValueError:
            values = []
        if not name or not values:
            raise UserError(f"{flag} {item}: expected NAME=VALUE or NAME=VALUE,VALUE, such as tumour=1,3")
        if name in result:
            raise UserError(f"{flag}: the name {name} is given twice; write all its values behind one =")
        result[name] = values[0] if len(values) == 1 else values
    return result


def _label_arguments(
    layout: Layout,
    labels: Sequence[str] | None,
    regions: Sequence[str] | None,
    region_order: Sequence[int] | None,
    ignore: Sequence[int] | None,
) -> dict[str, Any]:
    if labels and regions:
        raise UserError("--labels and --regions exclude each other: a voxel has one class, or regions overlap")
    classes = parse_labels(labels, "--labels") if labels else None
    if classes is not None and all(name.lower() != BACKGROUND for name in classes):
        classes = {BACKGROUND: 0, **classes}
    overlapping = parse_labels(regions, "--regions") if regions else None
    order, ignored = (list(values) if values else None for values in (region_order, ignore))
    return layout.arguments(classes, overlapping, order, ignored)


def _unnamed(layout: Layout, case: Case) -> str:
    if case.label is None:
        raise ValueError(f"{case.name} was checked to have a label")
    values = np.unique(read_label(case.label).array).tolist()
    return (
        f"{layout.root}: nothing says what the label values mean ({case.label.name} has the values "
        f"{few(values, MANY_VALUES)}): {HOW_TO_NAME}"
    )


def _check_files(layout: Layout, cases: Sequence[Case], labels_dir: str | None) -> None:
    if not cases:
        raise DataError(f"{layout.root}: no labelled case in {layout.description.name} or imagesTr")
    missing = missing_files(layout, cases, labels_dir)
    if missing:
        raise DataError(f"{layout.root}: {'; '.join(missing)}; `medicalseg verify` lists all that is wrong")
