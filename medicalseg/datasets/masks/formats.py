"""The formats of masks by name, and what each of them is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medicalseg.datasets.masks.base import Masks
from medicalseg.datasets.masks.index import IndexMasks
from medicalseg.datasets.masks.multilabel import MultilabelMasks
from medicalseg.datasets.masks.palette import PaletteMasks
from medicalseg.datasets.masks.place import Classes, Place
from medicalseg.datasets.masks.polygons import YoloMasks
from medicalseg.datasets.masks.run_lengths import RleMasks
from medicalseg.datasets.rle import COLUMNS
from medicalseg.errors import ConfigError

_USED = {
    "index": ("mask_values", "mask_threshold"),
    "palette": ("mask_colours",),
    "multilabel": (),
    "yolo": ("mask_values",),
    "rle": ("mask_values",),
}
FORMATS = tuple(_USED)


@dataclass(frozen=True)
class MaskFormat:
    """How masks are kept; the attributes are arguments of `ImageDataset`.

    Attributes:
        mask_format: "index", "palette", "multilabel", "yolo" or "rle".
        mask_values: ids for stored values or classes.
        mask_threshold: of index masks: values from this on are 1, others 0.
        mask_colours: of palette masks: colour per id; without, the indices of the files' palettes are ids.
        mask_columns: of run lengths: columns with image id, class and run lengths.
        mask_order: of run lengths: "rows" or "columns".

    Raises:
        ConfigError: if the format is unknown, or would not look at a setting.
    """

    mask_format: str = "index"
    mask_values: Mapping[Any, int] | None = None
    mask_threshold: float | None = None
    mask_colours: Mapping[Any, Any] | None = None
    mask_columns: Sequence[str] = COLUMNS
    mask_order: str = "rows"

    def __post_init__(self) -> None:
        if self.mask_format not in FORMATS:
            raise ConfigError(f"mask_format: expected one of {list(FORMATS)}, got {self.mask_format!r}")
        for key in ("mask_values", "mask_threshold", "mask_colours"):
            if getattr(self, key) is not None and key not in _USED[self.mask_format]:
                raise ConfigError(f"{key}: has no meaning with mask_format: {self.mask_format}")
        for key, example in (("mask_values", {255: 1}), ("mask_colours", {1: [220, 60, 60]})):
            value = getattr(self, key)
            if value is not None and not isinstance(value, Mapping):
                raise ConfigError(f"{key}: expected a mapping such as {example}, got {value!r}")

    def open(self, root: Path, masks: str, classes: Classes) -> Masks:
        """The masks of a dataset.

        Args:
            root: the dataset's folder.
            masks: a folder, a pattern with {case}, {name} and {id}, or the CSV file of run lengths.
            classes: what masks may hold.

        Raises:
            ConfigError: if a setting is wrong.
            DataError: if the CSV file is wrong.
        """
        if self.mask_format == "rle":
            return RleMasks(root / masks, classes, self.mask_columns, self.mask_values, self.mask_order)
        place = Place(root, masks, ".txt" if self.mask_format == "yolo" else "")
        if place.per_structure and self.mask_format != "multilabel":
            raise ConfigError(f"masks: {masks!r} is a file per structure; that needs mask_format: multilabel")
        if self.mask_format == "multilabel":
            return MultilabelMasks(place, classes)
        if self.mask_format == "yolo":
            return YoloMasks(place, classes, self.mask_values)
        if self.mask_colours:
            return PaletteMasks(place, classes, self.mask_colours)
        return IndexMasks(place, classes, self.mask_values, self.mask_threshold)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            key: {str(name): item for name, item in value.items()} if isinstance(value, Mapping) else value
            for key, value in asdict(self).items()
        }
