"""Raw volumes in the layout of the Medical Segmentation Decathlon or nnU-Net, preprocessed on the fly and kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from medicalseg.cvlibs import manager
from medicalseg.datasets.base import CaseDataset, check_mode
from medicalseg.datasets.cache import cache_key, default_folder, make_cache
from medicalseg.datasets.case import Case
from medicalseg.datasets.decathlon_layout import Layout, find_cases, read_layout
from medicalseg.datasets.splits import (
    LEAKING_NOTE,
    NNUNET_SEED,
    Split,
    group_by_pattern,
    kfold,
    read_splits,
    write_splits,
)
from medicalseg.errors import ConfigError, DataError
from medicalseg.inference.preprocess import GridRecord, Preprocessing
from medicalseg.inference.task import TaskSpec
from medicalseg.io import Volume, read_label, read_volume
from medicalseg.utils.logger import logger


@manager.DATASETS.add_component
class DecathlonDataset(CaseDataset):
    """A folder with `imagesTr`, `labelsTr` and `dataset.json`, as MSD and nnU-Net use it; nothing is written there.

    Args:
        dataset_root: the folder.
        transforms: what `Compose` runs.
        num_classes: classes, the background counted; default: as `dataset.json` names them.
        mode: "train" or "val" (parts of the labelled cases, by `fold`), or "test" (imagesTs).
        ignore_index: label id that is neither trained nor scored; nnU-Net's "ignore" label takes precedence.
        result_dir: folder for the recorded split, if the dataset brings none; default: the cache folder.
        dataset_json: name of the description, if there are several.
        images_dir: folder of the images, if not as described.
        labels_dir: folder of the labels, if not as described (`labelsTr_levels`).
        fold: number of the fold, or "all" to train on every labelled case.
        splits: file of folds; default `splits_final.json`, else nnU-Net's rule over the sorted cases.
        num_folds: folds of that rule.
        split_seed: seed of that rule.
        group_pattern: regular expression whose first group is the patient in a case name; keeps patients together.
        val_on_train: allow mode "val" with fold "all"; every report is marked.
        preprocess: fields of `Preprocessing`.
        normalize: last step; default: as in `preprocess`, else "zscore".
        channels: which channels to use, by number; default all.
        class_groups: ids per group name for reports.
        repeat_times: how often the cases are repeated in one epoch of training.
        check_geometry: refuse a label whose grid lies elsewhere than the image's; its shape is always checked.
        cache: keep preprocessed arrays on "disk", in "ram" or "none".
        cache_dir: default `MEDICALSEG_CACHE`, else `medicalseg` in the user's cache folder.
        cache_gb: bound of the cache; the least recently used arrays leave first.

    Raises:
        DataError: if the folder, the description, a file or the split is wrong.
        ConfigError: if an argument is wrong.
    """

    def __init__(
        self,
        dataset_root: str,
        transforms: Sequence[Any] | None = None,
        num_classes: int | None = None,
        mode: str = "train",
        ignore_index: int | None = 255,
        result_dir: str | None = None,
        *,
        dataset_json: str | None = None,
        images_dir: str | None = None,
        labels_dir: str | None = None,
        fold: int | str = 0,
        splits: str | None = None,
        num_folds: int = 5,
        split_seed: int = NNUNET_SEED,
        group_pattern: str | None = None,
        val_on_train: bool = False,
        preprocess: Mapping[str, Any] | None = None,
        normalize: str | None = None,
        channels: Sequence[int] | None = None,
        class_groups: Mapping[str, Sequence[int]] | None = None,
        repeat_times: int = 1,
        check_geometry: bool = True,
        cache: str = "disk",
        cache_dir: str | None = None,
        cache_gb: float = 20,
    ) -> None:
        check_mode(mode)
        self.dataset_root = Path(dataset_root)
        self.layout = read_layout(self.dataset_root, dataset_json)
        self.channels = None if channels is None else tuple(channels)
        self.check_geometry = check_geometry
        self._cache_folder = Path(cache_dir).expanduser() if cache_dir else default_folder()
        self._cache = make_cache(cache, self._cache_folder, cache_gb)
        settings = dict(preprocess or {})
        settings["normalize"] = normalize or settings.get("normalize") or "zscore"
        preprocessing = Preprocessing.from_dict(settings)
        self._stored = preprocessing.without_normalization()
        cases = find_cases(self.layout, "test" if mode == "test" else "training", images_dir, labels_dir)
        cases = _existing(cases, self.layout, mode)
        notes: tuple[str, ...] = ()
        if mode != "test":
            folder = Path(result_dir) if result_dir else self._cache_folder / "splits"
            rule = _SplitRule(splits, fold, num_folds, split_seed, group_pattern, val_on_train, folder)
            cases, notes = rule.select(cases, self.dataset_root, mode)
        task = TaskSpec(
            num_classes=num_classes or self.layout.num_classes,
            labels=_names(self.layout, num_classes),
            class_groups={name: tuple(ids) for name, ids in (class_groups or {}).items()},
            preprocessing=preprocessing,
            in_channels=self._count_channels(cases[0]),
            ignore_index=ignore_index if self.layout.ignore_index is None else self.layout.ignore_index,
            notes=notes,
        )
        super().__init__(cases, task, transforms, mode, repeat_times)

    def load(self, case: Case) -> tuple[np.ndarray, np.ndarray | None]:
        """Preprocessed image and label, from the cache if they are there."""
        arrays = self._arrays(case)
        image = arrays["image"]
        return image[0] if len(image) == 1 else image, arrays.get("label")

    def record(self, index: int) -> GridRecord:
        """What preprocessing noted when it made the arrays."""
        case = self.case(index)
        try:
            return GridRecord.from_dict(json.loads(self._arrays(case)["grid"].tobytes()))
        except Exception as error:
            raise DataError(f"case {case.name}: {error}") from error

    def _arrays(self, case: Case) -> dict[str, np.ndarray]:
        key = cache_key(case.files, [self._stored.to_dict(), self.channels, self.check_geometry])
        arrays = self._cache.get(key)
        if arrays is None:
            arrays = self._prepare(case)
            self._cache.put(key, arrays)
        return arrays

    def _prepare(self, case: Case) -> dict[str, np.ndarray]:
        image = self._read_image(case)
        array, record = self._stored.apply(image)
        arrays = {"image": array, "grid": np.frombuffer(json.dumps(record.to_dict()).encode(), np.uint8)}
        if case.label is not None:
            label = read_label(case.label)
            if label.shape != image.shape:
                raise DataError(f"label has the shape {label.shape}, the image {image.shape}")
            difference = image.grid_difference(label) if self.check_geometry else None
            if difference is not None:
                raise DataError(
                    f"image and label lie on different grids: {difference}; see `medicalseg verify`, "
                    "or set check_geometry: False if only the headers are wrong"
                )
            arrays["label"] = self._stored.apply_label(label)
        return arrays

    def _read_image(self, case: Case) -> Volume:
        nonfinite = self._stored.nonfinite
        volumes = [read_volume(path, channels=True, nonfinite=nonfinite) for path in case.images]
        for path, volume in zip(case.images, volumes, strict=True):
            difference = volumes[0].grid_difference(volume)
            if difference is not None:
                raise DataError(f"channels lie on different grids: {difference} ({path.name})")
        arrays = [volume.array if volume.array.ndim == 4 else volume.array[None] for volume in volumes]
        array = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
        if self.channels is not None:
            wrong = [channel for channel in self.channels if not 0 <= channel < len(array)]
            if wrong:
                raise DataError(f"channels {wrong} do not exist; the image has {len(array)}")
            array = array[list(self.channels)]
        return volumes[0].with_array(array)

    def _count_channels(self, case: Case) -> int:
        if self.channels is not None:
            return len(self.channels)
        if len(case.images) > 1 or self.layout.channels:
            return max(len(case.images), len(self.layout.channels))
        return read_volume(case.images[0], channels=True, nonfinite="keep").channels


class _SplitRule:
    """How training and validation cases are told apart."""

    def __init__(
        self,
        file: str | None,
        fold: int | str,
        num_folds: int,
        seed: int,
        group_pattern: str | None,
        val_on_train: bool,
        folder: Path,
    ) -> None:
        if fold != "all" and (isinstance(fold, bool) or not isinstance(fold, int) or fold < 0):
            raise ConfigError(f"fold: expected a number from 0 on or 'all', got {fold!r}")
        self.file = file
        self.fold = fold
        self.num_folds = num_folds
        self.seed = seed
        self.group_pattern = group_pattern
        self.val_on_train = val_on_train
        self.folder = folder

    def select(self, cases: Sequence[Case], root: Path, mode: str) -> tuple[list[Case], tuple[str, ...]]:
        """The cases of a mode, and notes for reports."""
        if self.fold == "all":
            return self._all(cases, mode)
        by_name = {case.name: case for case in cases}
        split, source = self._split(sorted(by_name), root)
        names = split.train if mode == "train" else split.val
        unknown = [name for name in (*split.train, *split.val) if name not in by_name]
        if unknown:
            raise DataError(f"{source}: names {len(unknown)} cases that the dataset does not have: {_few(unknown)}")
        if not names:
            raise DataError(f"{source}: fold {self.fold} has no case for mode '{mode}'")
        return [by_name[name] for name in names], split.notes

    def _all(self, cases: Sequence[Case], mode: str) -> tuple[list[Case], tuple[str, ...]]:
        if mode == "train":
            return list(cases), ()
        if not self.val_on_train:
            raise ConfigError(
                "fold: 'all' trains on every case and leaves none for mode 'val'; "
                "choose a fold number, or set val_on_train: True to score on training cases"
            )
        return list(cases), (f"{LEAKING_NOTE}: fold 'all'",)

    def _split(self, names: Sequence[str], root: Path) -> tuple[Split, str]:
        path = self._file(root)
        if path is None:
            group_of = group_by_pattern(self.group_pattern) if self.group_pattern else None
            folds, source = kfold(names, self.num_folds, self.seed, group_of), f"{self.num_folds} folds"
        else:
            folds, source = read_splits(path), str(path)
        if int(self.fold) >= len(folds):
            raise ConfigError(f"fold: {self.fold} does not exist; there are folds 0 to {len(folds) - 1} ({source})")
        if path is None:
            self._write(names, folds)
        return folds[int(self.fold)], source

    def _file(self, root: Path) -> Path | None:
        if self.file is None:
            standard = root / "splits_final.json"
            return standard if standard.is_file() and not self.group_pattern else None
        for path in (root / self.file, Path(self.file)):
            if path.is_file():
                return path
        raise DataError(f"splits: {root / self.file} does not exist")

    def _write(self, names: Sequence[str], folds: Sequence[Split]) -> None:
        text = "\0".join([*names, str(self.num_folds), str(self.seed), str(self.group_pattern)])
        path = self.folder / f"splits-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"
        if path.is_file():
            return
        try:
            write_splits(path, folds)
        except OSError as error:
            logger.warning("%s: the split cannot be recorded (%s)", path, error)
        else:
            logger.info("The dataset has no splits_final.json; %s: recorded in %s", folds[0].rule, path)


def _existing(cases: Sequence[Case], layout: Layout, mode: str) -> list[Case]:
    where = layout.description
    if not cases:
        folder = "imagesTs" if mode == "test" else "imagesTr"
        raise DataError(f"{layout.root}: no case for mode '{mode}' in {where.name} or {folder}")
    missing = [path for case in cases for path in case.images if not path.exists()]
    if mode != "test":
        missing += [case.label or Path(f"label of {case.name}") for case in cases if case.label is None]
        missing += [case.label for case in cases if case.label is not None and not case.label.exists()]
    if missing:
        raise DataError(f"{where}: missing files ({len(missing)}): {_few([str(path) for path in missing])}")
    gone = {case.name for case in cases if case.label is not None and not case.label.exists()}
    return [replace(case, label=None, original=None) if case.name in gone else case for case in cases]


def _names(layout: Layout, num_classes: int | None) -> dict[int, str]:
    count = num_classes or layout.num_classes
    return {label: name for label, name in layout.labels.items() if label < count}


def _few(items: Sequence[str]) -> str:
    return ", ".join(items[:3]) + (", …" if len(items) > 3 else "")
