"""Which classes a case has, how many voxels of each, and where some of them lie."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medicalseg.errors import DataError
from medicalseg.utils.files import atomic_path

PER_CLASS = 10000


@dataclass(frozen=True)
class ClassTable:
    """Class ids and voxels of a label.

    Attributes:
        counts: voxels of each id, int64 (ids,); those of structures that overlap may add up to more than there are.
        ignored: voxels that are ignored.
        starts: where each id's voxels begin in `voxels`, and where the last one's end, int64 (ids + 1,). In the place
            of id 0 stand voxels of any id, where some voxels are ignored; otherwise none.
        voxels: flat indices, at most 10000 of each id, drawn without replacement.
        shape: (X, Y, Z) of the label.
    """

    counts: np.ndarray
    ignored: int
    starts: np.ndarray
    voxels: np.ndarray
    shape: tuple[int, int, int]

    @property
    def classes(self) -> list[int]:
        """Ids other than 0 that the case has."""
        return [label for label in range(1, len(self.counts)) if self.counts[label]]

    def voxels_of(self, label: int) -> np.ndarray:
        """Flat indices of voxels of an id; of 0 those of labelled voxels where others are ignored."""
        return self.voxels[self.starts[label] : self.starts[label + 1]]

    def voxel(self, index: int) -> tuple[int, int, int]:
        """Axis indices of a flat index."""
        x, y, z = np.unravel_index(index, self.shape)
        return int(x), int(y), int(z)

    def save(self, path: Path) -> None:
        """Write a file that appears whole or not at all."""
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez(
                file,
                counts=self.counts,
                ignored=self.ignored,
                starts=self.starts,
                voxels=self.voxels,
                shape=np.array(self.shape),
            )

    @classmethod
    def load(cls, path: Path) -> ClassTable:
        """Inverse of `save`.

        Raises:
            DataError: if the file is missing or damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as content:
                x, y, z = (int(length) for length in content["shape"])
                ignored = int(content["ignored"])
                return cls(content["counts"], ignored, content["starts"], content["voxels"], (x, y, z))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"{path}: no readable table of classes ({type(error).__name__})") from error


def table_of_ids(label: np.ndarray, ids: int, ignore_index: int | None, seed: int) -> ClassTable:
    """The table of a label of class ids.

    Args:
        label: (X, Y, Z) integers.
        ids: number of ids, the background's 0 counted.
        ignore_index: id that is ignored.
        seed: of the choice of voxels.

    Raises:
        DataError: if an id is not among them.
    """
    flat = smallest(label).reshape(-1)
    places = np.flatnonzero(flat)
    found = flat[places]
    order = np.argsort(found, kind="stable")
    values, firsts = np.unique(found[order], return_index=True)
    groups = dict(zip(values.tolist(), np.split(places[order], firsts[1:]), strict=True)) if len(values) else {}
    unknown = groups.pop(ignore_index, None) if ignore_index is not None else None
    wrong = [label for label in groups if not 0 < label < ids]
    if wrong:
        raise DataError(f"label ids {wrong} are not among the {ids} classes (0..{ids - 1})")
    ignored = 0 if unknown is None else len(unknown)
    known = np.flatnonzero(flat != ignore_index) if ignored else None
    counts = [flat.size - len(places), *(len(groups.get(label, ())) for label in range(1, ids))]
    return _table(label.shape, counts, ignored, known, [groups.get(label) for label in range(1, ids)], seed)


def smallest(label: np.ndarray) -> np.ndarray:
    """The same integers in the smallest type that holds them, which also sorts fastest."""
    low, high = int(label.min()), int(label.max())
    return label.astype(np.promote_types(np.min_scalar_type(low), np.min_scalar_type(high)))


def table_of_codes(codes: np.ndarray, structures: int, seed: int) -> ClassTable:
    """The table of codes of structures that may overlap; structure k has the id k + 1, -1 is ignored.

    Args:
        codes: (X, Y, Z) integers, bit k set in structure k.
        structures: their number.
        seed: of the choice of voxels.
    """
    flat = codes.reshape(-1)
    present = flat > 0
    groups = [np.flatnonzero(present & (flat >> bit & 1 == 1)) for bit in range(structures)]
    ignored = int(np.count_nonzero(flat < 0))
    known = np.flatnonzero(flat >= 0) if ignored else None
    counts = [int(np.count_nonzero(flat == 0)), *map(len, groups)]
    return _table(codes.shape, counts, ignored, known, groups, seed)


def _table(
    shape: tuple[int, ...],
    counts: list[int],
    ignored: int,
    known: np.ndarray | None,
    groups: list[np.ndarray | None] | list[np.ndarray],
    seed: int,
) -> ClassTable:
    rng = np.random.default_rng(seed)
    parts = [_some(group, rng) for group in (known, *groups)]
    starts = np.cumsum([0, *map(len, parts)])
    x, y, z = shape
    return ClassTable(np.array(counts, np.int64), ignored, starts, np.concatenate(parts), (x, y, z))


def _some(voxels: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    if voxels is None:
        return np.empty(0, np.int64)
    if len(voxels) <= PER_CLASS:
        return voxels
    return np.sort(rng.choice(voxels, PER_CLASS, replace=False, shuffle=False))
