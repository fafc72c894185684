"""What a folder of raw volumes holds, whatever its layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medicalseg.errors import DataError
from medicalseg.inference.label_map import LabelMap

MANY_VALUES = 12
HOW_TO_NAME = (
    "name them with --labels NAME=ID ... of `medicalseg plan` (NAME=ID,ID merges), with 'labels' in a "
    "configuration, or in a labels.json or dseg.tsv there"
)


@dataclass(frozen=True)
class Layout:
    """What a folder holds, as its files or its description say.

    Attributes:
        root: the folder.
        description: path of `dataset.json` under whatever name; the folder, where it has none.
        content: what the description says.
        labels: names by id, without an id to ignore; of regions by the network's id; empty where nothing names them.
        ignore_index: stored value that is no class; None if there is none.
        channels: channel names in order; empty if not described.
        kind: "decathlon" (MSD, nnU-Net), "bids" or "folders".
        label_arguments: a dataset's arguments `labels`, `regions`, `region_order`, `ignore` that say the same as the
            folder, where its label values are not simply the ids 0, 1, 2, …; empty where they are.
        group_pattern: regular expression whose first group is the patient in a case name; None if names do not tell.
    """

    root: Path
    description: Path
    content: Mapping[str, Any]
    labels: dict[int, str]
    ignore_index: int | None
    channels: tuple[str, ...]
    kind: str = "decathlon"
    label_arguments: Mapping[str, Any] = field(default_factory=dict)
    group_pattern: str | None = None

    @property
    def num_classes(self) -> int:
        """Classes, the background counted.

        Raises:
            DataError: if nothing names the label values.
        """
        if not self.labels:
            where = "a dseg.tsv" if self.kind == "bids" else "a labels.json"
            raise DataError(
                f"{self.root}: nothing says what the label values mean; give 'labels', as in "
                f"{{background: 0, L5: 20}}, or 'num_classes', or put {where} there"
            )
        return max(self.labels) + 1

    @property
    def file_ending(self) -> str | None:
        """nnU-Net's file ending, such as ".nii.gz"; None if not described."""
        return self.content.get("file_ending")

    @property
    def default_group_pattern(self) -> str | None:
        """`group_pattern`, where the folder brings no folds of its own."""
        return None if (self.root / "splits_final.json").is_file() else self.group_pattern

    def label_map(
        self,
        labels: Any = None,
        regions: Any = None,
        region_order: Sequence[int] | None = None,
        ignore: int | Sequence[int] | None = None,
        num_classes: int | None = None,
    ) -> LabelMap | None:
        """The label map of a dataset: the one given, else the folder's own; None where stored values are the ids.

        Args:
            labels: see `LabelMap.from_config`.
            regions: likewise.
            region_order: likewise; alone it is that of the folder's regions.
            ignore: likewise; alone it goes with the folder's classes, and takes its values from them.
            num_classes: where it is given and the folder's values merely have gaps, they are taken for ids.

        Raises:
            ConfigError: if a value is wrong.
            DataError: if `ignore` is given alone, and nothing names the label values.
        """
        arguments = self.arguments(labels, regions, region_order, ignore, num_classes)
        return LabelMap.from_config(**arguments) if arguments else None

    def arguments(
        self,
        labels: Any = None,
        regions: Any = None,
        region_order: Sequence[int] | None = None,
        ignore: int | Sequence[int] | None = None,
        num_classes: int | None = None,
    ) -> dict[str, Any]:
        """What `label_map` makes its map from, as a dataset's arguments; empty where stored values are the ids.

        Raises:
            DataError: if `ignore` is given alone, and nothing names the label values.
        """
        if labels is not None or regions is not None:
            given = {"labels": labels, "regions": regions, "region_order": region_order, "ignore": ignore}
            return {key: value for key, value in given.items() if value is not None}
        own = dict(self.label_arguments)
        gaps_only = "labels" in own and all(isinstance(value, int) for value in own["labels"].values())
        if gaps_only and num_classes is not None and ignore is None:
            own = {}
        if ignore is not None:
            own = self._with_ignored(own, [ignore] if isinstance(ignore, int) else list(ignore))
        if region_order is not None:
            own["region_order"] = list(region_order)
        return own

    def _with_ignored(self, own: dict[str, Any], more: list[int]) -> dict[str, Any]:
        if not own and self.num_classes:
            own = {"labels": {name: value for value, name in self.labels.items()}}
        known = [] if self.ignore_index is None else [self.ignore_index]
        own["ignore"] = list(dict.fromkeys([*known, *own.get("ignore", []), *more]))
        if "labels" in own:
            own["labels"] = _without(own["labels"], own["ignore"])
        return own


def _without(labels: Mapping[str, Any], ignored: Sequence[int]) -> dict[str, Any]:
    lists = {name: values if isinstance(values, list) else [values] for name, values in labels.items()}
    kept = {name: [value for value in values if value not in ignored] for name, values in lists.items()}
    return {name: values[0] if len(values) == 1 else values for name, values in kept.items() if values}


def gap_arguments(labels: Mapping[int, str], ignored: Sequence[int]) -> dict[str, Any]:
    """`Layout.label_arguments` of values with one name each: none where they are the ids 0, 1, 2, …"""
    if not labels or sorted(labels) == list(range(len(labels))) or 0 not in labels:
        return {}
    if len(set(labels.values())) < len(labels):
        return {}
    arguments: dict[str, Any] = {"labels": {labels[value]: value for value in sorted(labels)}}
    return arguments | ({"ignore": list(ignored)} if ignored else {})
