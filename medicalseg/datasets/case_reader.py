"""A case's files as arrays on the network's grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from medicalseg.datasets.case import Case
from medicalseg.errors import DataError, naming_file
from medicalseg.inference.label_map import LabelMap
from medicalseg.inference.preprocess import GridRecord, Preprocessing
from medicalseg.io import Volume, read_label, read_volume

IMAGE_ONLY = ("intensity", "image_order", "normalize", "colour", "channels")


@dataclass(frozen=True)
class CaseReader:
    """Reads and preprocesses cases; the same in every process.

    Attributes:
        preprocessing: from the stored volume to the network's grid.
        check_geometry: refuse a label whose grid lies elsewhere than the image's; its shape is always checked.
        label_map: what stored label values mean; None = they are the network's ids.
        ignore_index: what ignored values become.
        count: channels that every image has to have; None = any.
    """

    preprocessing: Preprocessing
    check_geometry: bool = True
    label_map: LabelMap | None = None
    ignore_index: int | None = None
    count: int | None = None

    def image(self, case: Case) -> tuple[np.ndarray, GridRecord]:
        """Image float32 (C, X, Y, Z) on the network's grid, and how that came about.

        Raises:
            DataError: if a file is wrong, or channels do not go together.
        """
        return self.preprocessing.apply(self._stored(case))

    def volume(self, case: Case) -> Volume:
        """The image as stored, the channels that are used (C, X, Y, Z)."""
        return self.preprocessing.selected(self._stored(case))

    def _stored(self, case: Case) -> Volume:
        """All channels (C, X, Y, Z) of one or several files."""
        nonfinite = self.preprocessing.nonfinite
        volumes = [read_volume(path, channels=True, nonfinite=nonfinite) for path in case.images]
        for path, volume in zip(case.images, volumes, strict=True):
            difference = volumes[0].grid_difference(volume)
            if difference is not None:
                raise DataError(f"channels lie on different grids: {difference} ({path.name})")
        arrays = [volume.array if volume.array.ndim == 4 else volume.array[None] for volume in volumes]
        array = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
        if self.count is not None and len(array) != self.count and self.preprocessing.colour == "keep":
            raise DataError(f"the image has {len(array)} channels, others have {self.count}; is a file missing?")
        return volumes[0].with_array(array)

    def label(self, case: Case, record: GridRecord) -> np.ndarray | None:
        """Ids, or of regions codes with -1 for ignored, int32 (X, Y, Z) on the network's grid; None without a label.

        Args:
            case: whose label.
            record: what `image` gave.

        Raises:
            DataError: if the label does not lie on the image's grid, or holds an unknown value.
        """
        if case.label is None:
            return None
        return self.labels_on_grid(read_label(case.label), record, "label")

    def labels_on_grid(self, labels: Volume, record: GridRecord, what: str) -> np.ndarray:
        """A label map as stored as ids or codes on the network's grid, int32 (X, Y, Z), by nearest neighbour.

        Args:
            labels: on the image's original grid.
            record: what `image` gave.
            what: what it is, for messages.

        Raises:
            DataError: if it does not lie on the image's grid, or holds an unknown value.
        """
        self._check_place(labels, record, what)
        array = labels.array
        if self.label_map is not None:
            with naming_file(labels.path):
                array = self.label_map.labels(array, self.ignore_index)
        return self.preprocessing.apply_label(Volume(array, np.array(record.affine)), record)

    def _check_place(self, labels: Volume, record: GridRecord, what: str) -> None:
        if labels.shape != record.shape:
            raise DataError(f"{what} has the shape {labels.shape}, the image {record.shape}")
        image = Volume(np.broadcast_to(np.uint8(0), record.shape), np.array(record.affine))
        difference = image.grid_difference(labels) if self.check_geometry else None
        if difference is not None:
            raise DataError(
                f"image and {what} lie on different grids: {difference}; see `medicalseg verify`, "
                "or set check_geometry: False if only the headers are wrong"
            )

    @property
    def codes(self) -> bool:
        """Whether labels are codes of structures that may overlap, -1 for ignored, rather than ids."""
        return self.label_map is not None and self.label_map.regions

    def image_settings(self) -> list[Any]:
        """What the image depends on, beside its files."""
        steps = self.preprocessing.to_dict()
        return [steps, steps.pop("channels")]

    def label_settings(self) -> list[Any]:
        """What the label depends on, beside the files: the crop is that of the channels used."""
        steps = {key: value for key, value in self.preprocessing.to_dict().items() if key not in IMAGE_ONLY}
        mapping = None if self.label_map is None else [self.label_map.to_dict(), self.ignore_index]
        return [steps, self.preprocessing.channels, self.check_geometry, mapping]
