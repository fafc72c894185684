"""Which files hold the mask of a picture, and what the mask may hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medicalseg.datasets.case import Case
from medicalseg.errors import ConfigError, DataError
from medicalseg.io import case_name, suffix_of

_FIELD = re.compile(r"\{(\w*)\}")


@dataclass(frozen=True)
class Classes:
    """What masks may hold.

    Attributes:
        names: name per id.
        num_ids: ids, the background's 0 counted.
        overlap: structures may overlap: masks of each are wanted, not ids.
        ignore_index: id that is neither trained nor scored.
    """

    names: Mapping[int, str]
    num_ids: int
    overlap: bool = False
    ignore_index: int | None = 255

    def checked(self, number: int, where: str) -> int:
        """An id, if it exists."""
        if not 0 <= number < self.num_ids:
            raise DataError(f"{where} has the id {number}; ids are 0 to {self.num_ids - 1}")
        return number

    def compose(self, painted: Iterable[tuple[int, np.ndarray]], size: tuple[int, int]) -> np.ndarray:
        """Masks (W, H) with their ids put together.

        Returns:
            uint8 (K, W, H, 1) if structures may overlap, else int32 ids (W, H, 1): a later mask covers an earlier one.
        """
        masks = np.zeros((self.num_ids - 1, *size, 1), np.uint8) if self.overlap else None
        ids = np.zeros((*size, 1), np.int32)
        for number, mask in painted:
            if masks is None:
                ids[mask.astype(bool)] = number
            elif number > 0:
                masks[number - 1][mask.astype(bool)] = 1
        return ids if masks is None else masks


@dataclass(frozen=True)
class MaskCase(Case):
    """A picture with its mask.

    Attributes:
        masks: the mask's files that exist; `label` is the first of those that should.
    """

    masks: tuple[Path, ...] = field(default=())

    @property
    def files(self) -> tuple[Path, ...]:
        """Image and masks."""
        return (*self.images, *self.masks)


class Place:
    """Where the masks lie: a folder, or a pattern with {case}, {name} and {id}.

    Args:
        root: the dataset's folder.
        text: a folder stands for FOLDER/{case}. Without a suffix any file of that name will do.
        suffix: of the files, where there is only one kind.

    Raises:
        ConfigError: if the pattern has other fields.
    """

    def __init__(self, root: Path, text: str, suffix: str = "") -> None:
        self.root, self.suffix = root, suffix
        fields = _FIELD.findall(text)
        unknown = [name for name in fields if name not in ("case", "name", "id")]
        if unknown:
            raise ConfigError(f"masks: {text!r} has the field {{{unknown[0]}}}; there are {{case}}, {{name}}, {{id}}")
        self.text = text if fields else f"{text}/{{case}}"
        self.per_structure = bool({"name", "id"} & set(fields))
        self._folders: dict[Path, dict[str, list[Path]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_folders": {}}

    def path(self, case: str, name: str = "", number: int = 0) -> Path:
        """The file; one that does not exist if there is none.

        Raises:
            DataError: if several files have the name.
        """
        values = {"case": case, "name": name, "id": str(number)}
        path = self.root / _FIELD.sub(lambda found: values[found[1]], self.text)
        if self.suffix:
            return path if path.name.endswith(self.suffix) else path.with_name(path.name + self.suffix)
        if suffix_of(self.text):
            return path
        found = self._listed(path.parent).get(path.name, [])
        if len(found) > 1:
            raise DataError(f"case {case}: several masks, {found[0]} and {found[1].name}; keep one")
        return found[0] if found else path

    def _listed(self, folder: Path) -> dict[str, list[Path]]:
        if folder not in self._folders:
            names: dict[str, list[Path]] = {}
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                if suffix_of(path) and not path.name.startswith(".") and not suffix_of(path).startswith(".img"):
                    names.setdefault(case_name(path), []).append(path)
            self._folders[folder] = names
        return self._folders[folder]
