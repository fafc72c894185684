"""Raw volumes in the folders of MSD, nnU-Net or BIDS, or plain ones, preprocessed on the fly and kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from medicalseg.cvlibs import manager
from medicalseg.datasets.base import CaseDataset, channels_and_ids, check_mode, naming
from medicalseg.datasets.cache import cache_key, default_folder, make_cache
from medicalseg.datasets.case import Case
from medicalseg.datasets.case_reader import CaseReader
from medicalseg.datasets.decathlon_layout import Layout, find_cases, read_layout
from medicalseg.datasets.split_rule import SplitRule
from medicalseg.datasets.splits import NNUNET_SEED
from medicalseg.errors import ConfigError, DataError
from medicalseg.inference.decision import unpack
from medicalseg.inference.label_map import LabelMap
from medicalseg.inference.preprocess import GridRecord, Preprocessing
from medicalseg.inference.task import TaskSpec
from medicalseg.io import read_volume
from medicalseg.io.bids_name import BidsName
from medicalseg.utils.words import few


@manager.DATASETS.add_component
class DecathlonDataset(CaseDataset):
    """A folder of raw volumes; nothing is written there.

    It has `imagesTr`, `labelsTr` and `dataset.json`, as MSD and nnU-Net use it, or is BIDS-like (sub-*/anat/ with
    labels under derivatives/), or has plain `images` and `labels`; see `read_layout`.

    Args:
        dataset_root: the folder.
        transforms: what `Compose` runs.
        num_classes: classes, the background counted, or structures of head sigmoid, which does not count it; default:
            as the folder names them. Given where values merely have gaps, stored values are taken for ids.
        mode: "train" or "val" (parts of the labelled cases, by `fold`), or "test" (imagesTs).
        ignore_index: label id that is neither trained nor scored; nnU-Net's "ignore" label takes precedence.
        result_dir: folder for the recorded split, if the dataset brings none; default: the cache folder.
        dataset_json: name of the description, if there are several.
        images_dir: folder of the images, if not as described; of BIDS a pattern, `sub-*/anat/*_T2w.nii.gz`.
        labels_dir: folder of the labels, if not as described (`labelsTr_levels`); of BIDS a folder or a pattern.
        fold: number of the fold, or "all" to train on every labelled case.
        splits: file of folds; default `splits_final.json`, else nnU-Net's rule over the sorted cases.
        num_folds: folds of that rule.
        split_seed: seed of that rule.
        group_pattern: regular expression whose first group is the patient in a case name; keeps patients together.
            Default: none, of BIDS without a file of folds the subject.
        val_on_train: allow mode "val" with fold "all"; every report is marked.
        preprocess: fields of `Preprocessing`.
        normalize: last step; default: as in `preprocess`, else "zscore".
        channels: which channels to use, by number; default all. Goes into `preprocess.channels`, so a deployed model
            does it too.
        class_groups: ids per group name for reports.
        repeat_times: how often the cases are repeated in one epoch of training.
        check_geometry: refuse a label whose grid lies elsewhere than the image's; its shape is always checked.
        cache: keep preprocessed arrays on "disk", in "ram" or "none".
        cache_dir: default `MEDICALSEG_CACHE`, else `medicalseg` in the user's cache folder.
        cache_gb: bound of the cache; the least recently used arrays leave first.
        slices: for networks that see images: {axis, num_slices, stride, edge}, see `SliceSpec`.
        foreground: share of training slices drawn from those with foreground, or "balanced"; see `CaseDataset`.
        head: "softmax", or "sigmoid" for structures 1 to K of their own (or a single one).
        threshold: probability from which on a sigmoid's structure is present.
        labels: stored values by class name, {background: 0, L5: 20, lumbar: [21, 22]}, where the classes are not those
            of the folder's description; see `LabelMap.from_config`.
        regions: stored values by name of a region, where regions overlap; the head is then sigmoid.
        region_order: value that each region paints into one written label map.
        ignore: stored value or values that are neither trained nor scored.
        sliding: arguments of `SlidingWindow`, how the trained network is run on volumes.
        restoring: "labels" or "scores", see `TaskSpec`.
        postprocessing: blocks {type, ...} applied to the network's labels.

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
        slices: Mapping[str, Any] | None = None,
        foreground: float | str | None = None,
        head: str = "softmax",
        threshold: float = 0.5,
        labels: Mapping[str, Any] | None = None,
        regions: Mapping[str, Any] | None = None,
        region_order: Sequence[int] | None = None,
        ignore: int | Sequence[int] | None = None,
        sliding: Mapping[str, Any] | None = None,
        restoring: str = "labels",
        postprocessing: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        check_mode(mode)
        self.dataset_root = Path(dataset_root)
        self.layout = read_layout(self.dataset_root, dataset_json)
        self.check_geometry = check_geometry
        self._cache_folder = Path(cache_dir).expanduser() if cache_dir else default_folder()
        self._cache = make_cache(cache, self._cache_folder, cache_gb)
        settings = dict(preprocess or {})
        settings["normalize"] = normalize or settings.get("normalize") or "zscore"
        settings["channels"] = _channels(channels, settings.get("channels"))
        preprocessing = Preprocessing.from_dict(settings)
        self._stored = preprocessing.without_normalization()
        cases = find_cases(self.layout, "test" if mode == "test" else "training", images_dir, labels_dir)
        cases = _existing(cases, self.layout, mode)
        notes: tuple[str, ...] = ()
        if mode != "test":
            folder = Path(result_dir) if result_dir else self._cache_folder / "splits"
            pattern = group_pattern or self.layout.default_group_pattern
            rule = SplitRule(splits, fold, num_folds, split_seed, pattern, val_on_train, folder)
            cases, notes = rule.select(cases, self.dataset_root, mode)
        label_map = self.layout.label_map(labels, regions, region_order, ignore, num_classes)
        own_ignore = self.layout.ignore_index
        stored = self._count_channels(cases[0])
        task = TaskSpec(
            **_classes(self.layout, label_map, num_classes, head),
            class_groups={name: tuple(ids) for name, ids in (class_groups or {}).items()},
            preprocessing=preprocessing,
            in_channels=preprocessing.channels_of(stored),
            stored_channels=None if preprocessing.channels is None else stored,
            contrasts=self._contrasts(cases[0]),
            ignore_index=ignore_index if own_ignore is None or label_map is not None else own_ignore,
            notes=notes,
            threshold=threshold,
            sliding=None if sliding is None else dict(sliding),
            restoring=restoring,
            postprocessing=tuple(dict(step) for step in postprocessing),
        )
        count = stored if preprocessing.channels is None else None
        self._reader = CaseReader(self._stored, check_geometry, label_map, task.ignore_index, count)
        super().__init__(cases, task, transforms, mode, repeat_times, slices=slices, foreground=foreground)

    def load(self, case: Case) -> tuple[np.ndarray, np.ndarray | None]:
        """Preprocessed image and label, from the cache if they are there."""
        arrays = self._arrays(case)
        image = arrays["image"]
        label = arrays.get("label")
        if label is not None and self._reader.codes:
            label = unpack(label, self.task.num_classes, self._labels.ignored)
        return image[0] if len(image) == 1 else image, label

    def record(self, index: int) -> GridRecord:
        """What preprocessing noted when it made the arrays."""
        case = self.case(index)
        with naming(case):
            return GridRecord.from_dict(json.loads(self._arrays(case)["grid"].tobytes()))

    def _arrays(self, case: Case) -> dict[str, np.ndarray]:
        key = cache_key(case.files, [self._reader.image_settings(), self._reader.label_settings()])
        arrays = self._cache.get(key)
        if arrays is None:
            arrays = self._prepare(case)
            self._cache.put(key, arrays)
        return arrays

    def _prepare(self, case: Case) -> dict[str, np.ndarray]:
        image, record = self._reader.image(case)
        arrays = {"image": image, "grid": np.frombuffer(json.dumps(record.to_dict()).encode(), np.uint8)}
        label = self._reader.label(case, record)
        if label is not None:
            arrays["label"] = label
        return arrays

    def _contrasts(self, case: Case) -> tuple[str, ...]:
        """Suffixes of the files that are an image's channels, where BIDS names them."""
        if self.layout.kind != "bids" or len(case.images) == 1:
            return ()
        return tuple(BidsName.of(path).suffix for path in case.images)

    def _count_channels(self, case: Case) -> int:
        """Channels of an image as stored."""
        described = len(self.layout.channels) if self.layout.kind == "decathlon" else 0
        if len(case.images) > 1 or described:
            return max(len(case.images), described)
        return read_volume(case.images[0], channels=True, nonfinite="keep").channels


def _channels(given: Sequence[int] | None, step: Any) -> Any:
    """Which channels are used, by the argument or by the step of `preprocess`."""
    if given is None or step is None or list(given) == step:
        return step if given is None else list(given)
    raise ConfigError(f"channels: {list(given)}, but preprocess.channels is {step!r}; leave one of them out")


def _classes(layout: Layout, label_map: LabelMap | None, num_classes: int | None, head: str) -> dict[str, Any]:
    """What a task says of classes."""
    if label_map is None:
        count, ids = channels_and_ids(num_classes, layout.num_classes if num_classes is None else 0, head)
        names = {label: name for label, name in layout.labels.items() if label < ids}
        return {"num_classes": count, "labels": names, "head": head}
    count = label_map.num_classes
    if num_classes not in (None, count):
        key = "regions" if label_map.regions else "labels"
        raise ConfigError(f"num_classes: {num_classes}, but '{key}' names {count}; leave num_classes out")
    head = "sigmoid" if label_map.regions else head
    return {"num_classes": count, "labels": label_map.names, "head": head, "label_map": label_map}


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
        raise DataError(f"{where}: missing files ({len(missing)}): {few(missing, 3)}")
    gone = {case.name for case in cases if case.label is not None and not case.label.exists()}
    return [replace(case, label=None, original=None) if case.name in gone else case for case in cases]
