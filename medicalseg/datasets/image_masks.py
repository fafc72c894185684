"""Masks of pictures in the ways they are kept: ids, colours, a file per structure, polygons, run lengths."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from medicalseg.datasets.case import Case
from medicalseg.datasets.mask_place import Classes, MaskCase, Place
from medicalseg.datasets.rle import COLUMNS, ORDERS, Table, decode_rle, read_rle_table
from medicalseg.datasets.yolo import fill, read_polygons
from medicalseg.errors import ConfigError, DataError
from medicalseg.inference.outputs import presence
from medicalseg.io import Volume, is_picture, read_label, read_planes, read_volume
from medicalseg.utils.logger import logger

FORMATS = ("index", "palette", "multilabel", "yolo", "rle")


class Masks(ABC):
    """A way to keep masks."""

    def __init__(self, place: Place, classes: Classes) -> None:
        self.place, self.classes = place, classes

    def expected(self, case: str) -> list[Path]:
        """The files that a case's mask should have."""
        return [self.place.path(case)]

    @abstractmethod
    def read(self, case: MaskCase, size: tuple[int, int]) -> np.ndarray:
        """The mask of a case.

        Args:
            case: image and files.
            size: (W, H) of the image.

        Returns:
            Ids (W, H, 1), or uint8 masks (K, W, H, 1) of structures that may overlap.

        Raises:
            DataError: if the mask does not fit the image.
            UserError: if a file is wrong.
        """

    def has(self, case: str) -> bool:
        """Whether a case's mask is there."""
        return any(path.exists() for path in self.expected(case))


class IndexMasks(Masks):
    """One file of ids.

    Args:
        place: of the files.
        classes: what they may hold.
        values: other ids for stored values.
        threshold: values from this on are 1, others 0.
    """

    def __init__(
        self, place: Place, classes: Classes, values: Mapping[Any, int] | None = None, threshold: float | None = None
    ) -> None:
        super().__init__(place, classes)
        if threshold is not None and (isinstance(threshold, bool) or not isinstance(threshold, (int, float))):
            raise ConfigError(f"mask_threshold: expected a number, got {threshold!r}")
        self.values, self.threshold = _numbers_by_number(values), threshold
        self._told = False

    def read(self, case: MaskCase, size: tuple[int, int]) -> np.ndarray:
        """See the base class."""
        (path,) = case.masks
        if self.threshold is None:
            stored = one_plane(read_label(path), path, case, size)
            self._tell_all_ignored(stored, path)
        else:
            plane = one_plane(read_volume(path, channels=True), path, case, size, "mask_format: palette")
            stored = (plane >= self.threshold).astype(np.int32)
            self._tell_below(plane, path)
        ids = stored
        for value, number in self.values.items():
            ids = np.where(stored == value, np.int32(number), ids)
        return ids

    def _tell_all_ignored(self, stored: np.ndarray, path: Path) -> None:
        """Masks of 0 and 255 are usual, and 255 is the usual `ignore_index`."""
        ignored = self.classes.ignore_index
        if self._told or ignored in (None, 0, *self.values) or stored.max() != ignored:
            return
        if set(np.unique(stored)) == {0, ignored}:
            self._tell(
                f"{path}: holds 0 and {ignored} only, and {ignored} is ignored (ignore_index); "
                f"if it is the structure, set mask_values: {{{ignored}: 1}}"
            )

    def _tell_below(self, plane: np.ndarray, path: Path) -> None:
        """Masks of one bit hold 0 and 1."""
        if not self._told and self.threshold is not None and 0 < plane.max() == 1 < self.threshold:
            self._tell(
                f"{path}: holds 0 and 1, all below mask_threshold: {self.threshold}; leave it out if 1 is the id"
            )

    def _tell(self, message: str) -> None:
        self._told = True
        logger.warning("%s", message)


class PaletteMasks(Masks):
    """One colour picture; each colour is a class.

    Args:
        place: of the files.
        classes: what they may hold.
        colours: red, green and blue, 0 to 255, or "#rrggbb", per id; black is 0 unless it is another's.
    """

    def __init__(self, place: Place, classes: Classes, colours: Mapping[Any, Any]) -> None:
        super().__init__(place, classes)
        self.colours = {0: (0, 0, 0), **{_whole(key, "mask_colours"): _colour(value) for key, value in colours.items()}}

    def read(self, case: MaskCase, size: tuple[int, int]) -> np.ndarray:
        """See the base class."""
        (path,) = case.masks
        volume = read_volume(path, channels=True)
        _check_size(volume, path, case, size)
        array = np.broadcast_to(volume.array if volume.array.ndim == 4 else volume.array[None], (3, *size, 1))
        codes = (array.astype(np.int64) << np.array([16, 8, 0]).reshape(3, 1, 1, 1)).sum(0)
        ids = np.full(codes.shape, -1, np.int32)
        for number, (red, green, blue) in self.colours.items():
            ids[codes == (red << 16 | green << 8 | blue)] = number
        if (ids < 0).any():
            code = int(codes[ids < 0][0])
            raise DataError(
                f"{path}: {int((ids < 0).sum())} pixels have colours that mask_colours does not name, such as "
                f"{[code >> 16, code >> 8 & 255, code & 255]} (drawn with smoothed edges, or saved as JPEG?)"
            )
        return ids


class MultilabelMasks(Masks):
    """A file per structure, or one whose channels (or slices) are the structures in the order of their ids."""

    def expected(self, case: str) -> list[Path]:
        """See the base class."""
        return [path for _, path in self._structures(case)] if self.place.per_structure else super().expected(case)

    def read(self, case: MaskCase, size: tuple[int, int]) -> np.ndarray:
        """See the base class."""
        count = self.classes.num_ids - 1
        if self.place.per_structure:
            files = [(number, path) for number, path in self._structures(case.name) if path in case.masks]
            parts = [(number, presence(one_plane(read_volume(path), path, case, size), path)) for number, path in files]
        else:
            (path,) = case.masks
            planes = read_planes(path).array
            planes = planes if planes.ndim == 4 else np.moveaxis(planes, -1, 0)[..., None]
            if len(planes) != count:
                raise DataError(f"{path}: has {len(planes)} channels, there are {count} structures")
            if planes.shape[1:] != (*size, 1):
                raise SizeMismatchError(_other_size(path, planes.shape[1:3], case, size))
            parts = [(index + 1, presence(plane, path)) for index, plane in enumerate(planes)]
        composed = self.classes.compose([(number, mask == 1) for number, mask in parts], size)
        if self.classes.ignore_index is not None:
            for number, mask in parts:
                target = composed[number - 1] if self.classes.overlap else composed
                target[mask > 1] = self.classes.ignore_index
        return composed

    def _structures(self, case: str) -> list[tuple[int, Path]]:
        names = {number: self.classes.names.get(number, str(number)) for number in range(1, self.classes.num_ids)}
        return [(number, self.place.path(case, name, number)) for number, name in names.items()]


class YoloMasks(Masks):
    """Polygons; the class k of a file has the id k + 1.

    Args:
        place: of the files.
        classes: what they may hold.
        values: other ids for the classes in the files; 0 leaves a class out.
    """

    def __init__(self, place: Place, classes: Classes, values: Mapping[Any, int] | None = None) -> None:
        super().__init__(place, classes)
        self.values = _numbers_by_number(values)

    def read(self, case: MaskCase, size: tuple[int, int]) -> np.ndarray:
        """See the base class."""
        painted = []
        for path in case.masks:
            for polygon in read_polygons(path):
                number = self._id(polygon.category, path)
                painted.append((number, fill(polygon, *size)[..., None]))
        return self.classes.compose([(number, mask) for number, mask in painted if number > 0], size)

    def _id(self, category: int, path: Path) -> int:
        if self.values and category not in self.values:
            raise DataError(f"{path}: class {category} is not among those of mask_values: {sorted(self.values)}")
        return self.classes.checked(self.values.get(category, category + 1), f"{path}: class {category}")


class RleMasks(Masks):
    """Run lengths in one CSV file for all images.

    Args:
        path: the file.
        classes: what it may hold; the class column has their names, or ids.
        columns: names of the columns with image id, class and run lengths.
        values: ids for other names in the class column; numbers are then no ids.
        order: "rows" or "columns".
    """

    def __init__(
        self,
        path: Path,
        classes: Classes,
        columns: Sequence[str] = COLUMNS,
        values: Mapping[Any, int] | None = None,
        order: str = "rows",
    ) -> None:
        super().__init__(Place(path.parent, path.name), classes)
        if isinstance(columns, str) or len(columns) != len(COLUMNS):
            raise ConfigError(f"mask_columns: expected names of three columns such as {list(COLUMNS)}, got {columns!r}")
        if order not in ORDERS:
            raise ConfigError(f"mask_order: expected one of {list(ORDERS)}, got {order!r}")
        self.path, self.order, self.columns = path, order, tuple(columns)
        self.has("")
        self.numbers = not values
        self.ids = {name: number for number, name in classes.names.items()}
        self.ids |= {str(key): _whole(value, "mask_values") for key, value in (values or {}).items()}

    @property
    def table(self) -> Table:
        """Run lengths by image and class; read once in each process."""
        return _table(self.path, self.columns, self.path.stat().st_mtime_ns if self.path.exists() else 0)

    def expected(self, case: str) -> list[Path]:
        """See the base class."""
        return [self.path]

    def has(self, case: str) -> bool:
        """See the base class."""
        return case in self.table

    def read(self, case: MaskCase, size: tuple[int, int]) -> np.ndarray:
        """See the base class."""
        painted = []
        for name, texts in self.table.get(case.name, {}).items():
            number = self._id(name)
            for text in texts:
                try:
                    mask = decode_rle(text, size[1], size[0], self.order)
                except DataError as error:
                    raise DataError(f"{self.path}: class {name} of image {case.name}: {error}") from error
                painted.append((number, mask.T[..., None]))
        return self.classes.compose(sorted(painted, key=lambda part: part[0]), size)

    def _id(self, name: str) -> int:
        if name not in self.ids and not (self.numbers and name.isdigit()):
            known = "labels" if self.numbers else "labels and mask_values"
            raise DataError(f"{self.path}: class {name!r} is not among the {known} {sorted(self.ids)}")
        return self.classes.checked(self.ids[name] if name in self.ids else int(name), f"{self.path}: class {name!r}")


@lru_cache(maxsize=4)
def _table(path: Path, columns: tuple[str, ...], changed: int) -> Table:
    return read_rle_table(path, columns)


def one_plane(volume: Volume, path: Path, case: Case, size: tuple[int, int], instead: str = "") -> np.ndarray:
    """The one plane (W, H, 1) of a mask of the image's size; of channels that are equal the first."""
    _check_size(volume, path, case, size)
    if volume.array.ndim == 3:
        return volume.array
    if not (volume.array[1:] == volume.array[:1]).all():
        raise DataError(f"{path}: has colours; one value per pixel is needed{f', or {instead}' if instead else ''}")
    return volume.array[0]


def _check_size(volume: Volume, path: Path, case: Case, size: tuple[int, int]) -> None:
    if volume.shape[2] != 1:
        raise DataError(f"{path}: has {volume.shape[2]} slices; the mask of a picture has one")
    if volume.shape[:2] != size:
        raise SizeMismatchError(_other_size(path, volume.shape[:2], case, size))


class SizeMismatchError(DataError):
    """A mask has another size than its image."""


def _other_size(path: Path, found: Sequence[int], case: Case, size: tuple[int, int]) -> str:
    turned = "; one of them may be turned (EXIF)" if tuple(found) == size[::-1] and is_picture(path) else ""
    return f"{path} has {found[0]} x {found[1]} pixels, its image {case.images[0]} {size[0]} x {size[1]}{turned}"


def _numbers_by_number(values: Mapping[Any, int] | None) -> dict[int, int]:
    if values is not None and not isinstance(values, Mapping):
        raise ConfigError(f"mask_values: expected ids by stored value, such as {{255: 1}}, got {values!r}")
    return {_whole(key, "mask_values"): _whole(value, "mask_values") for key, value in (values or {}).items()}


def _whole(value: Any, where: str) -> int:
    if isinstance(value, bool) or not (isinstance(value, int) or (isinstance(value, str) and value.isdigit())):
        raise ConfigError(f"{where}: expected whole numbers from 0 on, got {value!r}")
    return int(value)


def _colour(value: Any) -> tuple[int, int, int]:
    if isinstance(value, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", value):
        value = list(bytes.fromhex(value[1:]))
    right = isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 3
    if not right or not all(isinstance(part, int) and 0 <= part <= 255 for part in value):
        raise ConfigError(f"mask_colours: expected [red, green, blue] from 0 to 255 or '#rrggbb', got {value!r}")
    return value[0], value[1], value[2]
