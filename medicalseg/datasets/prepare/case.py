"""One case: read, check, preprocess, write arrays, describe."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from medicalseg.datasets.prepare.job import CaseSource, Recipe
from medicalseg.datasets.prepare.label import read_label_on, with_ids
from medicalseg.errors import DataError
from medicalseg.inference.grid import orientation_change
from medicalseg.io import Volume, read_volume, write_volume
from medicalseg.utils.files import atomic_path, write_json
from medicalseg.utils.logger import logger


class Prepared(NamedTuple):
    """Result of one case: its entry in `dataset.json`, warnings of the readers."""

    entry: dict[str, Any]
    notes: tuple[str, ...]


def prepare_case(recipe: Recipe, source: CaseSource) -> Prepared:
    """Prepare one case.

    Raises:
        DataError: image and label do not fit, or a file is missing.
        VolumeError: a file cannot be read.
    """
    for path in source.files:
        if not path.exists():
            raise DataError(f"{path} does not exist")
    fingerprint = recipe.fingerprint(source)
    record = record_path(recipe.output, source.name)
    record.unlink(missing_ok=True)
    with _collected_warnings() as notes:
        entry = _work(recipe, source)
    write_json(record, {"fingerprint": fingerprint, "entry": entry})
    return Prepared(entry, tuple(notes))


def record_path(output: Path, case: str) -> Path:
    """The file that says a case is done."""
    return output / "cases" / f"{case}.json"


def targets(output: Path, source: CaseSource) -> list[Path]:
    """The files that a case becomes."""
    paths = [output / "images" / f"{source.name}.npy"]
    if source.label is not None:
        paths += [output / "labels" / f"{source.label_stem}.npy", output / "originals" / f"{source.name}.nii.gz"]
    return paths


def finished_case(recipe: Recipe, source: CaseSource) -> dict[str, Any] | None:
    """The entry in `dataset.json` from an earlier run with the same settings and files; None if there is none."""
    try:
        content = json.loads(record_path(recipe.output, source.name).read_text(encoding="utf-8"))
        same = content["fingerprint"] == recipe.fingerprint(source)
        entry = dict(content["entry"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    there = all(path.is_file() for path in targets(recipe.output, source))
    return entry if same and there else None


def _work(recipe: Recipe, source: CaseSource) -> dict[str, Any]:
    image = read_image(source.images)
    label = None if source.label is None else _label_on(image, source, recipe)
    array, record = recipe.preprocessing.apply(image)
    if not np.isfinite(array).all():
        raise DataError(f"{source.images[0]}: NaN or Inf after preprocessing")
    files = targets(recipe.output, source)
    save_array(files[0], (array[0] if array.shape[0] == 1 else array).astype(np.float32))
    if label is not None:
        save_array(files[1], recipe.preprocessing.apply_label(label).astype(np.int32))
        write_volume(label, files[2])
    entry = _describe(recipe, source, image, array.shape[1:])
    entry["grid"] = record.to_dict()
    return entry


def read_image(paths: tuple[Path, ...]) -> Volume:
    """Read one file (its 4th axis are channels), or one file per channel.

    Raises:
        DataError: the channels lie on different grids.
    """
    volumes = [read_volume(path, channels=True) for path in paths]
    first = volumes[0]
    if len(volumes) == 1:
        return first
    for other, path in zip(volumes[1:], paths[1:], strict=True):
        difference = first.grid_difference(other)
        if difference:
            raise DataError(f"{path}: its grid differs from that of {paths[0].name}: {difference}")
    planes = [volume.array.reshape(-1, *volume.shape) for volume in volumes]
    return first.with_array(np.concatenate(planes))


def _label_on(image: Volume, source: CaseSource, recipe: Recipe) -> Volume:
    path = source.label
    if path is None:
        raise DataError(f"case {source.name} has no label")
    label = read_label_on(image, path, source.images[0])
    if recipe.label_ids is not None:
        label = with_ids(label, recipe.label_ids)
    _check_ids(label, path, recipe)
    fits = label.array.max() <= np.iinfo(np.uint8).max
    return label.with_array(label.array.astype(np.uint8)) if fits else label


def _check_ids(label: Volume, path: Path, recipe: Recipe) -> None:
    if recipe.num_classes is None:
        return
    ids = np.unique(label.array)
    wrong = [int(value) for value in ids if value >= recipe.num_classes and value != recipe.ignore_index]
    if wrong:
        raise DataError(f"{path}: label ids {wrong[:8]} are not among 0..{recipe.num_classes - 1}")
    if not ids.any():
        logger.warning("%s: the label is empty (background only)", path.name)


def save_array(path: Path, array: np.ndarray) -> None:
    """Write an .npy file, atomically, in C order."""
    with atomic_path(path) as temporary, open(temporary, "wb") as handle:
        np.lib.format.write_array(handle, np.ascontiguousarray(array), allow_pickle=False)


def _describe(recipe: Recipe, source: CaseSource, image: Volume, new_shape: tuple[int, ...]) -> dict[str, Any]:
    """PaddleSeg3D's keys: sizes in ITK's order (z, y, x), place and axes in ITK's directions (LPS)."""
    to_lps = np.diag([-1.0, -1.0, 1.0])
    axes = orientation_change(image.affine, recipe.preprocessing.orientation)[:, 0]
    stored = [new_shape[int(axis)] for axis in axes]
    resampled = [size / new * step for size, new, step in zip(image.shape, stored, image.spacing, strict=True)]
    return {
        "image": _relative(source.images[0], recipe.raw_root),
        "label": None if source.label is None else _relative(source.label, recipe.raw_root),
        "dim": 3,
        "shape": [list(reversed(image.shape))],
        "minmax_vals": [str(image.array.min()), str(image.array.max())],
        "spacing": list(image.spacing),
        "origin": (to_lps @ np.array(image.origin)).tolist(),
        "direction": (to_lps @ image.direction).ravel().tolist(),
        "spacing_resample": resampled,
    }


def _relative(path: Path, root: Path) -> str:
    return Path(os.path.relpath(path, root)).as_posix()


class _Collector(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(record.getMessage())


@contextmanager
def _collected_warnings() -> Iterator[list[str]]:
    """Keep the readers' warnings for the parent process, which names the case."""
    lines: list[str] = []
    handlers, propagate = logger.handlers[:], logger.propagate
    logger.handlers, logger.propagate = [_Collector(lines)], False
    try:
        yield lines
    finally:
        logger.handlers, logger.propagate = handlers, propagate
