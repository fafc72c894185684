"""Prepare pictures: grey images and masks as PNG files, lists, the split and a description, for `ImageDataset`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from medicalseg.datasets.prepare.engine import MARK, Report, check_origin, remove_lists, sweep
from medicalseg.datasets.prepare.job import SplitRule
from medicalseg.datasets.splits import Split, write_splits
from medicalseg.errors import DataError
from medicalseg.utils.files import atomic_path, write_json, write_text
from medicalseg.utils.logger import logger
from medicalseg.utils.pool import DiskFullError, run_all

PICTURES_VERSION = 1
FOLDERS = ("images", "masks", "cases")
SPLITS = "splits_final.json"


class Picture(NamedTuple):
    """One image with its mask: names `images/NAME.png` and `masks/NAME.png`; uint8 arrays (rows, columns)."""

    name: str
    image: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True)
class PictureSource:
    """What pictures are made from: one file with its label, or a volume that gives many.

    Attributes:
        name: unique name, for messages and records.
        files: what is read.
        options: anything else that `make` needs, JSON-able.
    """

    name: str
    files: tuple[Path, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


Make = Callable[[PictureSource], list[Picture]]


@dataclass(frozen=True)
class PictureRecipe:
    """What is done to each source, and where it goes.

    Attributes:
        output: folder that gets `images`, `masks` and `cases`.
        make: pictures of a source; a module-level function or a partial of one.
        settings: what `make` does, JSON-able; when it changes, everything is done again.
    """

    output: Path
    make: Make
    settings: Mapping[str, Any]

    def fingerprint(self, source: PictureSource) -> str:
        """Changes when the settings or a source file (size, time of change) do."""
        stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in source.files]
        text = json.dumps([PICTURES_VERSION, self.settings, source.name, source.options, stats], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class PictureJob:
    """A whole dataset of pictures.

    Attributes:
        recipe: what is done to each source.
        sources: what to work on.
        split: from the sorted names of all pictures to training, validation and test.
        labels: class names by id.
        description: name, description, reference and licence for `dataset.json`.
    """

    recipe: PictureRecipe
    sources: Sequence[PictureSource]
    split: SplitRule
    labels: Mapping[int, str]
    description: Mapping[str, Any]


def run(job: PictureJob, *, num_workers: int = 0, force: bool = False) -> Report:
    """Make all pictures, then `dataset.json`, `splits_final.json`, `train_list.txt`, `val_list.txt`, `test_list.txt`.

    Lists are there only while all pictures and the description are of one recipe, as in `engine.run`.

    Args:
        job: what to do.
        num_workers: processes; 0 or 1 = this one.
        force: do finished sources again, and take over a folder that another tool filled.

    Returns:
        Which sources were done, skipped, broken. Broken ones are left out of the lists.

    Raises:
        DataError: nothing to prepare, no source could be prepared, or the folder holds data of another tool.
        RunError: the disk is full or a worker process died.
    """
    if not job.sources:
        raise DataError(f"there is nothing to prepare for {job.recipe.output}")
    output = job.recipe.output
    _claim(output, force)
    logger.info("preparing %d sources into %s", len(job.sources), output)
    before = _recorded_pictures(output)
    names, report = _all_pictures(job, num_workers, force)
    if not names:
        why = next(iter(report.failed.values()), "none of them gives a picture")
        raise DataError(f"no picture could be made; first: {why}")
    split = job.split(sorted(names))
    _withdraw(output)
    _remove_strangers(job, before - set(names))
    _write_description(job, split, report)
    _write_lists(output, split)
    logger.info(
        "%d pictures in %s: %d sources prepared, %d were there, %d failed",
        len(names), output, len(report.done), len(report.skipped), len(report.failed),
    )  # fmt: skip
    return report


def _claim(output: Path, force: bool) -> None:
    """Mark the folder as ours, unless it holds pictures that another tool put there."""
    check_origin(output, "real", force)
    if not force and not (output / MARK).is_file() and any((output / "images").glob("*")):
        raise DataError(
            f"{output / 'images'} holds files that were not made here; choose another --dataset_root, "
            "or pass --force to write among them"
        )
    sweep(output, FOLDERS)
    write_json(output / MARK, {"tool": "medicalseg prepare", "origin": "real"})


def _withdraw(output: Path) -> None:
    remove_lists(output)
    (output / SPLITS).unlink(missing_ok=True)


def _all_pictures(job: PictureJob, num_workers: int, force: bool) -> tuple[list[str], Report]:
    names: list[str] = []
    report = Report()
    todo = []
    for source in job.sources:
        before = None if force else _finished(job.recipe, source)
        if before is None:
            todo.append(source)
        else:
            names += before
            report.skipped.append(source.name)
    if todo:
        _withdraw(job.recipe.output)
    work = partial(_prepare, job.recipe)
    for source, result in run_all(work, todo, num_workers if len(todo) > 1 else 0, "prepare"):
        if isinstance(result, DiskFullError):
            raise result
        if isinstance(result, list):
            names += result
            report.done.append(source.name)
        else:
            report.failed[source.name] = str(result)
            logger.error("%s: %s", source.name, result)
    _check_unique(names)
    return names, report


def _check_unique(names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(f"two sources give a picture of the name {name!r}; rename one of them")
        seen.add(name)


def _prepare(recipe: PictureRecipe, source: PictureSource) -> list[str]:
    """Make and write the pictures of one source; their names."""
    for path in source.files:
        if not path.is_file():
            raise DataError(f"{path} does not exist")
    record = _record_path(recipe.output, source.name)
    record.unlink(missing_ok=True)
    fingerprint = recipe.fingerprint(source)
    names = []
    for picture in recipe.make(source):
        for folder, array in (("images", picture.image), ("masks", picture.mask)):
            write_png(recipe.output / folder / f"{picture.name}.png", array)
        names.append(picture.name)
    write_json(record, {"fingerprint": fingerprint, "pictures": names})
    return names


def write_png(path: Path, array: np.ndarray) -> None:
    """Write an 8-bit grey picture of (rows, columns), atomically."""
    with atomic_path(path) as temporary:
        Image.fromarray(np.ascontiguousarray(array, np.uint8)).save(temporary, format="PNG")


def resized(picture: np.ndarray, size: tuple[int, int], *, nearest: bool = False) -> np.ndarray:
    """A picture (rows, columns) of `size` = (columns, rows): bilinear (smoothed where it shrinks), or nearest.

    Returns:
        float32, or the picture's own type with `nearest`.
    """
    if picture.shape == (size[1], size[0]):
        return picture if nearest else picture.astype(np.float32)
    if nearest:
        return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.NEAREST))
    return np.asarray(Image.fromarray(picture.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))


def to_grey(values: np.ndarray) -> np.ndarray:
    """Numbers as 8-bit grey: rounded, clipped to 0 ... 255."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _record_path(output: Path, source: str) -> Path:
    return output / "cases" / f"{source}.json"


def _recorded(path: Path) -> tuple[str, list[str]]:
    """Fingerprint and names of pictures of a record; ("", []) if there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return str(content["fingerprint"]), [str(name) for name in content["pictures"]]
    except (OSError, ValueError, KeyError, TypeError):
        return "", []


def _finished(recipe: PictureRecipe, source: PictureSource) -> list[str] | None:
    """Names of the pictures of an earlier run with the same settings and files; None if there are none."""
    fingerprint, names = _recorded(_record_path(recipe.output, source.name))
    if not all(path.is_file() for path in source.files) or fingerprint != recipe.fingerprint(source):
        return None
    files = [recipe.output / folder / f"{name}.png" for name in names for folder in ("images", "masks")]
    return names if all(path.is_file() for path in files) else None


def _recorded_pictures(output: Path) -> set[str]:
    return {name for path in (output / "cases").glob("*.json") for name in _recorded(path)[1]}


def _remove_strangers(job: PictureJob, names: set[str]) -> None:
    """Remove pictures and records of an earlier run that no longer belong here."""
    output = job.recipe.output
    for name in names:
        for folder in ("images", "masks"):
            (output / folder / f"{name}.png").unlink(missing_ok=True)
    sources = {source.name for source in job.sources}
    for path in (output / "cases").glob("*.json"):
        if path.stem not in sources:
            path.unlink()


def _write_description(job: PictureJob, split: Split, report: Report) -> None:
    content = dict(job.description)
    content["labels"] = {str(label): name for label, name in job.labels.items()}
    content["settings"] = dict(job.recipe.settings)
    content["split"] = {"rule": split.rule, "seed": split.seed, "leaking": split.leaking}
    content["broken"] = dict(sorted(report.failed.items()))
    write_json(job.recipe.output / "dataset.json", content)


def _write_lists(output: Path, split: Split) -> None:
    write_splits(output / SPLITS, [split])
    for part, members in {"train": split.train, "val": split.val, "test": split.test}.items():
        lines = [f"images/{name}.png\tmasks/{name}.png\n" for name in members]
        write_text(output / f"{part}_list.txt", "".join(lines))
        logger.info("%s: %d pictures", part, len(members))
