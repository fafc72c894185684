"""Masks of run lengths in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from medicalseg.datasets.masks.base import Masks
from medicalseg.datasets.masks.place import Classes, MaskCase, Place
from medicalseg.datasets.masks.values import whole
from medicalseg.datasets.rle import COLUMNS, ORDERS, Table, decode_rle, read_rle_table
from medicalseg.errors import ConfigError, DataError


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
        self.ids |= {str(key): whole(value, "mask_values") for key, value in (values or {}).items()}

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
