"""Preprocessed cases on the disk: images, labels and tables of classes in files of their own, made when needed.

A file's name is a hash of what its content depends on: a changed intensity step makes images anew and leaves labels
alone, a changed label map the other way round. A file appears whole or not at all, so what a killed run left behind
is never taken for a case.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medicalseg.datasets.cache import cache_key
from medicalseg.datasets.case import Case
from medicalseg.datasets.case_reader import CaseReader
from medicalseg.datasets.patches.block_file import BlockFile, write_blocks
from medicalseg.datasets.patches.class_table import ClassTable, smallest, table_of_codes, table_of_ids
from medicalseg.errors import DataError
from medicalseg.inference.preprocess import GridRecord
from medicalseg.transforms.pointwise import mean_and_deviation
from medicalseg.utils.pool import DiskFullError

TABLES_IN_MEMORY = 64
ABANDONED = 24 * 3600
FORMAT = "patches 2"
FOLDERS = ("images", "labels", "tables", "previous")
_in_use: set[Path] = set()


@dataclass(frozen=True)
class Parts:
    """Files of one case; `label` and `table` are None without a label, `previous` without an earlier stage."""

    image: Path
    label: Path | None
    table: Path | None
    previous: Path | None

    @property
    def files(self) -> list[Path]:
        """Those that there should be."""
        return [path for path in (self.image, self.label, self.table, self.previous) if path is not None]


class PatchStore:
    """Cases in blocks.

    Args:
        folder: where they are kept; shared by all runs.
        reader: how a case becomes arrays.
        sides: of the blocks, see `block_sides`.
        ids: number of class ids, the background's 0 counted.
        ignore_index: id that is neither trained nor scored.
        previous: reads labels of an earlier stage; None = there is none.
    """

    def __init__(
        self,
        folder: Path,
        reader: CaseReader,
        sides: Sequence[int],
        ids: int,
        ignore_index: int | None,
        previous: Any = None,
    ) -> None:
        self.folder, self.reader, self.sides = folder, reader, tuple(sides)
        self.ids, self.ignore_index, self.previous = ids, ignore_index, previous
        self._parts: dict[str, Parts] = {}
        self._tables: OrderedDict[str, ClassTable] = OrderedDict()

    def parts(self, case: Case) -> Parts:
        """Where the case is kept, made or not."""
        known = self._parts.get(case.name)
        if known is None:
            known = self._parts[case.name] = self._find(case)
        return known

    def is_prepared(self, case: Case) -> bool:
        """Whether all files of the case are there."""
        return all(path.is_file() for path in self.parts(case).files)

    def image(self, case: Case) -> BlockFile:
        """The image, float32 (C, X, Y, Z); made if it is not there."""
        return self._open(case, self.parts(case).image)

    def label(self, case: Case) -> BlockFile | None:
        """Ids or codes (X, Y, Z); None where the case has no label."""
        path = self.parts(case).label
        return None if path is None else self._open(case, path)

    def earlier(self, case: Case) -> BlockFile | None:
        """Ids (X, Y, Z) that an earlier stage gave; None where there is none."""
        path = self.parts(case).previous
        return None if path is None else self._open(case, path)

    def table(self, case: Case) -> ClassTable | None:
        """What is where in the label."""
        path = self.parts(case).table
        if path is None:
            return None
        table = self._tables.get(case.name)
        if table is None:
            table = self._tables[case.name] = self._table(case, path)
            if len(self._tables) > TABLES_IN_MEMORY:
                self._tables.popitem(last=False)
        self._tables.move_to_end(case.name)
        return table

    def record(self, case: Case) -> GridRecord:
        """How the original grid became the network's."""
        return GridRecord.from_dict(self.image(case).meta["grid"])

    def prepare(self, case: Case) -> None:
        """Make what is not there of a case.

        Raises:
            DataError: if a file of the case is wrong.
            RunError: if the disk is full.
        """
        try:
            self._make(case, self.parts(case))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise DiskFullError(
                f"no space left on the disk for preprocessed cases in {self.folder}; choose another cache_dir"
            ) from error

    def make_room(self, cases: Sequence[Case], limit: int) -> None:
        """Delete the longest unused files of other settings until all together have at most `limit` bytes.

        Files for which any store of this process made room stay: training and validation data are used in turn.
        """
        _in_use.update(path for case in cases for path in self.parts(case).files)
        entries = []
        for path in (path for name in FOLDERS for path in (self.folder / name).glob("*")):
            with contextlib.suppress(OSError):
                state = path.stat()
                entries.append((state.st_mtime, state.st_size, path))
                if path in _in_use:
                    os.utime(path)
        used = sum(size for _, size, _ in entries)
        for used_at, size, path in sorted(entries):
            abandoned = path.name.startswith(".tmp-") and time.time() - used_at > ABANDONED
            if abandoned or (used > limit and path not in _in_use and not path.name.startswith(".tmp-")):
                path.unlink(missing_ok=True)
                used -= size

    def _find(self, case: Case) -> Parts:
        sides = list(self.sides)
        image = cache_key(case.images, [FORMAT, "image", sides, self.reader.image_settings()])
        parts = Parts(self.folder / "images" / f"{image}.b2nd", None, None, None)
        label = table = previous = None
        if case.label is not None:
            settings = [FORMAT, "label", sides, self.ids, self.ignore_index, self.reader.label_settings()]
            key = cache_key(case.files, settings)
            label, table = self.folder / "labels" / f"{key}.b2nd", self.folder / "tables" / f"{key}.npz"
        if self.previous is not None:
            files = [*case.images, self.previous.path(case)]
            key = cache_key(files, [FORMAT, "previous", sides, self.previous.settings(), self.reader.label_settings()])
            previous = self.folder / "previous" / f"{key}.b2nd"
        return Parts(parts.image, label, table, previous)

    def _open(self, case: Case, path: Path) -> BlockFile:
        if not path.is_file():
            self.prepare(case)
        try:
            return BlockFile(path)
        except DataError:
            path.unlink(missing_ok=True)
            self.prepare(case)
            return BlockFile(path)

    def _table(self, case: Case, path: Path) -> ClassTable:
        if not path.is_file():
            self.prepare(case)
        try:
            return ClassTable.load(path)
        except DataError:
            path.unlink(missing_ok=True)
            self.prepare(case)
            return ClassTable.load(path)

    def _make(self, case: Case, parts: Parts) -> None:
        record = _record_of(parts.image) or self._make_image(case, parts.image)
        if parts.label is not None and parts.table is not None and not _are_files(parts.label, parts.table):
            self._make_label(case, record, parts.label, parts.table)
        if parts.previous is not None and not parts.previous.is_file():
            labels = self.previous.read(case, self.reader, record)
            write_blocks(parts.previous, labels, self.sides, {"case": case.name})

    def _make_image(self, case: Case, path: Path) -> GridRecord:
        image, record = self.reader.image(case)
        mean, deviation = mean_and_deviation(image)
        numbers = {"maximum": float(image.max()), "mean": mean, "deviation": deviation}
        write_blocks(path, image, self.sides, {"case": case.name, "grid": record.to_dict(), **numbers})
        return record

    def _make_label(self, case: Case, record: GridRecord, path: Path, table_path: Path) -> None:
        label = self.reader.label(case, record)
        if label is None:
            return
        seed = zlib.crc32(case.name.encode())
        if self.reader.codes:
            table = table_of_codes(label, self.ids - 1, seed)
        else:
            table = table_of_ids(label, self.ids, self.ignore_index, seed)
        table.save(table_path)
        write_blocks(path, smallest(label), self.sides, {"case": case.name})


def _record_of(image: Path) -> GridRecord | None:
    """What is kept beside an image; None if there is none that can be read."""
    if not image.is_file():
        return None
    try:
        return GridRecord.from_dict(BlockFile(image).meta["grid"])
    except (DataError, KeyError):
        return None


def _are_files(*paths: Path) -> bool:
    return all(path.is_file() for path in paths)
