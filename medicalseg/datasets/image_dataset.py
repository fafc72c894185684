"""Pictures with masks: folders or list files, any of the usual mask formats, scored on the original pixels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medicalseg.cvlibs import manager
from medicalseg.datasets.base import CaseDataset, channels_and_ids, check_mode, naming
from medicalseg.datasets.cache import cache_key, default_folder, make_cache
from medicalseg.datasets.case import Case, content_hash
from medicalseg.datasets.group_table import GROUP_COLUMNS
from medicalseg.datasets.image_folder import ImageFolder
from medicalseg.datasets.image_split import ImageSplit
from medicalseg.datasets.labels import class_names
from medicalseg.datasets.masks import Classes, MaskCase, MaskFormat
from medicalseg.datasets.rle import COLUMNS
from medicalseg.datasets.splits import NNUNET_SEED
from medicalseg.errors import ConfigError, DataError
from medicalseg.inference.decision import pack, unpack
from medicalseg.inference.preprocess import GridRecord, Preprocessing
from medicalseg.inference.slices import SliceSpec
from medicalseg.inference.task import TaskSpec
from medicalseg.io import Volume

_COLOURS = {None: "keep", 1: "grey", 3: "rgb"}


@manager.DATASETS.add_component
class ImageDataset(CaseDataset):
    """PNG, JPEG, TIFF or BMP pictures, or single NIfTI slices, with their masks. Nothing is written there.

    Args:
        dataset_root: folder that all paths start from.
        transforms: what `Compose` runs.
        num_classes: classes, the background counted, or structures of head sigmoid, which does not count it; default:
            as `labels` names them.
        mode: "train", "val" or "test".
        ignore_index: label id that is neither trained nor scored.
        result_dir: folder for the recorded split; default: the cache folder.
        images: folder of the pictures, or a glob pattern such as "*/scans/*.png".
        masks: folder of the masks (same name, any suffix), a pattern such as "masks/{case}_mask.png", or the CSV file.
        mask_format: "index" (ids), "palette" (colours), "multilabel" (a file per structure, `masks` with {name} or
            {id}, or one with a channel each), "yolo" (polygons) or "rle" (run lengths).
        mask_values: ids for stored values ({255: 1}), YOLO classes ({0: 1}) or class names of the CSV file.
        mask_threshold: for index masks of two values: from this value on the id is 1, below it 0.
        mask_colours: for palette masks: [red, green, blue] or "#rrggbb" per id; without, palette indices are ids.
        mask_columns: for run lengths: columns of the CSV file with image id, class and run lengths.
        mask_order: for run lengths: counted along "rows" or "columns".
        missing_masks: an image without a mask is an "error", or shows nothing: "empty".
        case_pattern: regular expression on a picture's path; its groups, joined by "_", name the case; default: the
            file's name.
        train_path: list file of mode train, "IMAGE MASK" a line; with lists nothing is split.
        val_path: of mode val.
        test_path: of mode test.
        separator: what stands between the two paths; default: white space.
        fold: number of the fold; "all" to train on every case; None: the folder holds the cases of this mode only.
            Mode "test" takes the fold's `test` cases, which only a file of folds tells.
        splits: file of folds; default `splits_final.json`, else nnU-Net's rule over the sorted cases.
        num_folds: folds of that rule.
        split_seed: seed of that rule.
        group_pattern: regular expression whose first group is the patient in a case name; keeps patients together.
        group_table: CSV file that tells the patient of each case, instead.
        group_columns: its columns with case and patient.
        val_on_train: allow modes "val" and "test" with fold "all"; every report is marked.
        labels: class names by id, or a list of them from id 0 on.
        class_groups: ids per group name for reports.
        preprocess: fields of `Preprocessing`; `size` is [width, height, 1].
        normalize: last step; default: as in `preprocess`, else "zscore".
        grey: make colour pictures grey.
        img_channels: 1 makes them grey as well, 3 makes grey ones colour; None = as stored.
        repeat_times: how often the cases are repeated in one epoch of training.
        cache: keep preprocessed arrays on "disk", in "ram" or "none".
        cache_dir: default `MEDICALSEG_CACHE`, else `medicalseg` in the user's cache folder.
        cache_gb: bound of the cache.
        head: "softmax", or "sigmoid" for structures that may overlap (or a single one).
        threshold: probability from which on a sigmoid's structure is present.
        slices: None or {axis: 2}: a picture is one slice.

    Raises:
        DataError: if the folder, a file, a mask or the split is wrong.
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
        images: str = "images",
        masks: str = "masks",
        mask_format: str = "index",
        mask_values: Mapping[Any, int] | None = None,
        mask_threshold: float | None = None,
        mask_colours: Mapping[Any, Any] | None = None,
        mask_columns: Sequence[str] = COLUMNS,
        mask_order: str = "rows",
        missing_masks: str = "error",
        case_pattern: str | None = None,
        train_path: str | None = None,
        val_path: str | None = None,
        test_path: str | None = None,
        separator: str | None = None,
        fold: int | str | None = 0,
        splits: str | None = None,
        num_folds: int = 5,
        split_seed: int = NNUNET_SEED,
        group_pattern: str | None = None,
        group_table: str | None = None,
        group_columns: Sequence[str] = GROUP_COLUMNS,
        val_on_train: bool = False,
        labels: Mapping[Any, Any] | Sequence[str] | None = None,
        class_groups: Mapping[str, Sequence[int]] | None = None,
        preprocess: Mapping[str, Any] | None = None,
        normalize: str | None = None,
        grey: bool = False,
        img_channels: int | None = None,
        repeat_times: int = 1,
        cache: str = "none",
        cache_dir: str | None = None,
        cache_gb: float = 20,
        head: str = "softmax",
        threshold: float = 0.5,
        slices: Mapping[str, Any] | None = None,
    ) -> None:
        check_mode(mode)
        classes = classes_of(num_classes, labels, mask_threshold, head, ignore_index)
        self.dataset_root = Path(dataset_root)
        self._cache_folder = Path(cache_dir).expanduser() if cache_dir else default_folder()
        self._cache = make_cache(cache, self._cache_folder, cache_gb)
        reading = MaskFormat(mask_format, mask_values, mask_threshold, mask_colours, mask_columns, mask_order)
        self._reading = reading.to_dict()
        self.folder = ImageFolder(
            self.dataset_root,
            classes,
            images,
            masks,
            mask_format=reading,
            missing_masks=missing_masks,
            case_pattern=case_pattern,
        )
        split = ImageSplit(
            lists={"train": train_path, "val": val_path, "test": test_path},
            separator=separator,
            fold=fold,
            splits=splits,
            num_folds=num_folds,
            split_seed=split_seed,
            group_pattern=group_pattern,
            group_table=group_table,
            group_columns=group_columns,
            val_on_train=val_on_train,
            record_in=Path(result_dir) if result_dir else self._cache_folder / "splits",
        )
        cases, notes = split.select(self.folder, mode)
        preprocessing = _preprocessing(preprocess, normalize, grey, img_channels)
        self._stored = preprocessing.without_normalization()
        self._records: dict[str, GridRecord] = {}
        task = TaskSpec(
            num_classes=classes.num_ids - int(classes.overlap),
            labels=dict(classes.names),
            class_groups={name: tuple(group) for name, group in (class_groups or {}).items()},
            preprocessing=preprocessing,
            in_channels=preprocessing.channels_of(self.folder.read_image(cases[0], nonfinite="keep").channels),
            ignore_index=ignore_index,
            notes=notes,
            head=head,
            threshold=threshold,
        )
        super().__init__(cases, task, transforms, mode, repeat_times, slices=_one_slice(slices))

    def load(self, case: Case) -> tuple[np.ndarray, np.ndarray | None]:
        """Preprocessed image (C, W, H, 1) and mask, from the cache if they are there."""
        arrays = self._arrays(case)
        return arrays["image"], arrays.get("label")

    def record(self, index: int) -> GridRecord:
        """How the picture became the network's."""
        case = self.case(index)
        with naming(case):
            if case.name not in self._records:
                self._arrays(case)
            return self._records[case.name]

    def reference(self, index: int) -> Volume | None:
        """The mask on the picture's own pixels: ids of a softmax, codes of sigmoids.

        Raises:
            DataError: if it cannot be read.
        """
        case = self.case(index)
        if case.label is None:
            return None
        record = self.record(index)
        with naming(case):
            label = self.folder.read_mask(_mask_case(case), record.shape[:2])
            return Volume(self.task.labels_of(label), np.array(record.affine), path=case.label, meta={"labels": True})

    def data_hash(self) -> str:
        """As of the base class; how masks are read counts as well."""
        return content_hash(self.cases, extra=json.dumps([self.task.to_dict(), self._reading], sort_keys=True))

    def _arrays(self, case: Case) -> dict[str, np.ndarray]:
        settings = [self._stored.to_dict(), self._reading, self.task.head, self.task.num_ids, self.task.ignore_index]
        key = cache_key(case.files, [*settings, case.name, {str(k): v for k, v in self.task.labels.items()}])
        arrays = self._cache.get(key)
        if arrays is None:
            arrays = self._prepare(_mask_case(case))
            self._cache.put(key, arrays)
        self._records[case.name] = GridRecord.from_dict(json.loads(arrays["grid"].tobytes()))
        return arrays

    def _prepare(self, case: MaskCase) -> dict[str, np.ndarray]:
        image = self.folder.read_image(case, nonfinite=self._stored.nonfinite)
        array, record = self._stored.apply(image)
        if len(array) != self.task.in_channels:
            raise DataError(
                f"the picture has {len(array)} channel(s), the first of the dataset {self.task.in_channels}; "
                "img_channels: 1 or 3 makes all alike"
            )
        arrays = {"image": array, "grid": np.frombuffer(json.dumps(record.to_dict()).encode(), np.uint8)}
        if case.label is not None:
            turned = self.folder.turned_mask(case, image)
            if turned:
                raise DataError(f"mask and image are turned against each other: {turned}; see `medicalseg verify`")
            arrays["label"] = self._on_network_grid(self.folder.read_mask(case, image.shape[:2]), image)
        return arrays

    def _on_network_grid(self, label: np.ndarray, image: Volume) -> np.ndarray:
        if label.ndim == 3:
            return self._stored.apply_label(Volume(label, image.affine))
        codes = self._stored.apply_label(Volume(pack(label, self._labels.ignored), image.affine))
        return unpack(codes, len(label), self._labels.ignored)


def classes_of(
    num_classes: int | None, labels: Any, mask_threshold: float | None, head: str, ignore_index: int | None
) -> Classes:
    """What masks may hold, from the arguments of `ImageDataset`.

    Raises:
        ConfigError: if nothing tells the number of classes, or a value is wrong.
    """
    names = class_names(labels)
    if num_classes is None and not names and mask_threshold is None:
        raise ConfigError("num_classes: give it, or name the classes with labels")
    ids = channels_and_ids(num_classes, max(names) + 1 if names else 2, head)[1]
    return Classes({label: name for label, name in names.items() if label < ids}, ids, head == "sigmoid", ignore_index)


def _preprocessing(
    fields: Mapping[str, Any] | None, normalize: str | None, grey: bool, img_channels: int | None
) -> Preprocessing:
    settings = dict(fields or {})
    settings["normalize"] = normalize or settings.get("normalize") or "zscore"
    if img_channels not in _COLOURS or isinstance(img_channels, bool):
        raise ConfigError(f"img_channels: expected 1, 3 or null, got {img_channels!r}")
    if grey and img_channels == 3:
        raise ConfigError("grey: True and img_channels: 3 contradict each other")
    if grey or img_channels is not None:
        settings["colour"] = "grey" if grey else _COLOURS[img_channels]
    return Preprocessing.from_dict(settings)


def _one_slice(slices: Mapping[str, Any] | None) -> SliceSpec:
    spec = SliceSpec.from_dict(slices) or SliceSpec()
    if spec.axis != 2 or spec.num_slices != 1:
        raise ConfigError("slices: a picture is one slice along axis 2; leave the key out")
    return spec


def _mask_case(case: Case) -> MaskCase:
    if isinstance(case, MaskCase):
        return case
    raise DataError(f"case {case.name}: is no picture with a mask")
