"""Which image belongs to which label, in the ways a dataset may lie on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medicalseg.datasets.bids_layout import is_bids, labels_without_image
from medicalseg.datasets.case import Case
from medicalseg.datasets.decathlon_layout import FOLDERS, Layout, descriptions, find_cases, read_layout
from medicalseg.datasets.folder_layout import is_folder_layout, label_keys
from medicalseg.datasets.image_folder import ImageFolder
from medicalseg.datasets.labels import names_by_id
from medicalseg.datasets.list_files import scan_list
from medicalseg.datasets.missing_files import labels_folder_hint, shown_path, with_expected_labels
from medicalseg.datasets.splits import GroupOf, Split, read_splits
from medicalseg.datasets.verify.finding import ERROR, WARNING, Finding, one_line
from medicalseg.datasets.verify.picture_folders import why_no_pictures
from medicalseg.datasets.volume_files import group_channels, is_nnunet_folder, volumes_in
from medicalseg.errors import DataError, VolumeError
from medicalseg.inference.label_map import LabelMap
from medicalseg.io import case_name, read_label

MOST_IDS = 128


@dataclass
class Source:
    """Cases to check and what is already known to be wrong.

    Attributes:
        kind: "decathlon", "bids", "prepared", "folders" or "pictures".
        root: the dataset's folder.
        cases: cases whose files exist; the label may be None where none is needed.
        labels: names by stored value; empty if not declared.
        ignore_index: id that is no class.
        splits: folds or the one division.
        declared_leaking: the dataset says that its split leaks.
        findings: broken pairs.
        folders: of pictures: what reads them, by the number in their cases.
        also_ignored: further stored values that are no class.
        group_of: patient of a case name, where it is known.
        unnamed: a plan, or a training, would ask what the label values mean.
        headers: whether the labels' own headers count (`check_geometry`).
    """

    kind: str
    root: Path
    cases: list[Case] = field(default_factory=list)
    labels: dict[int, str] = field(default_factory=dict)
    ignore_index: int | None = 255
    splits: list[Split] = field(default_factory=list)
    declared_leaking: bool = False
    findings: list[Finding] = field(default_factory=list)
    folders: tuple[ImageFolder, ...] = ()
    also_ignored: tuple[int, ...] = ()
    group_of: GroupOf | None = None
    unnamed: bool = False
    headers: bool = True

    def add(self, kind: str, case: str, message: str, severity: str = ERROR) -> None:
        """Note a finding."""
        self.findings.append(Finding(severity, kind, case, one_line(message)))

    def keep(self, cases: Sequence[Case], label_required: bool) -> None:
        """Keep the cases whose image exists, noting missing files."""
        for case in cases:
            missing = [path for path in case.images if not path.exists()]
            label = case.label if case.label is not None and case.label.exists() else None
            if missing:
                detail = "nor does its label" if label is None else "the label has no image"
                self.add("no_image", case.name, f"{shown_path(missing[0], self.root)} does not exist; {detail}")
            elif label is None and (label_required or case.label is not None):
                expected = f": {shown_path(case.label, self.root)} does not exist" if case.label else ""
                self.add("no_label", case.name, f"image without a label{expected}")
            if not missing:
                self.cases.append(Case(case.name, case.images, label))


def open_source(
    dataset: Path | None,
    images: Path | None = None,
    labels: Path | None = None,
    *,
    dataset_json: str | None = None,
    labels_dir: str | None = None,
    label_suffix: str | None = None,
) -> Source:
    """Find out what kind of dataset it is and pair its files.

    Args:
        dataset: an MSD or nnU-Net folder, a folder with list files, or a folder with images and labels side by side.
        images: folder of images, instead of `dataset`.
        labels: folder of their labels; may be the same.
        dataset_json: description to use, if there are several.
        labels_dir: label folder in `dataset`, if not as described.
        label_suffix: what a label's name has after its image's; default: usual words such as `_label` or `mask_`.

    Raises:
        DataError: if nothing of this kind is there.
    """
    if images is not None:
        return _folders(images, labels or images, label_suffix)
    if dataset is None:
        raise DataError("name a dataset folder, or --images and --labels")
    if not dataset.is_dir():
        raise DataError(f"{dataset} does not exist or is not a folder")
    if any(dataset.glob("*_list.txt")):
        return _prepared(dataset)
    described = dataset_json or (dataset / FOLDERS["training"][0]).is_dir() or descriptions(dataset)
    if described or is_bids(dataset) or is_folder_layout(dataset):
        layout = read_layout(dataset, dataset_json)
        return open_layout(layout, layout.label_map(), labels_dir=labels_dir)
    if volumes_in(dataset):
        return _folders(dataset, dataset, label_suffix)
    pictures = why_no_pictures(dataset)
    raise DataError(
        f"{dataset}: {pictures or 'neither dataset.json, nor list files (train_list.txt), nor volumes are in it'}"
    )


def open_layout(
    layout: Layout, label_map: LabelMap | None, images_dir: str | None = None, labels_dir: str | None = None
) -> Source:
    """The cases of a folder of raw volumes.

    Args:
        layout: from `read_layout`.
        label_map: what stored values mean; None = they are ids.
        images_dir: see `find_cases`.
        labels_dir: see `find_cases`.

    Raises:
        DataError: if there is no case, or a list is malformed.
    """
    source = Source(layout.kind, layout.root, labels=layout.labels, ignore_index=layout.ignore_index)
    if label_map is not None:
        ignored = label_map.ignore
        source.labels = {value: name for value, name in label_map.stored_names.items() if value not in ignored}
        source.ignore_index = ignored[0] if ignored else None
        source.also_ignored = ignored[1:]
    source.unnamed = not source.labels
    training = with_expected_labels(layout, find_cases(layout, "training", images_dir, labels_dir), labels_dir)
    test = find_cases(layout, "test") if images_dir is None else []
    source.keep(training, label_required=True)
    source.keep(test, label_required=False)
    hint = labels_folder_hint(layout, training, labels_dir)
    if hint is not None:
        source.add("no_label", "", hint)
    if not source.cases and not source.findings:
        raise DataError(f"{layout.root}: no case in {layout.description.name} or {FOLDERS['training'][0]}")
    if layout.kind == "bids":
        for file in labels_without_image(layout.root) if labels_dir is None else []:
            source.add("no_image", case_name(file), f"{file.name} is a label without an image")
    elif images_dir is None:
        _unlisted(source, [*training, *test])
    path = layout.root / "splits_final.json"
    if path.is_file():
        read_folds(source, path, {case.name for case in training})
    return source


def _unlisted(source: Source, cases: Sequence[Case]) -> None:
    known = {path.resolve() for case in cases for path in case.files}
    image_folders = sorted({path.parent for case in cases for path in case.images})
    label_folders = sorted({case.label.parent for case in cases if case.label is not None})
    for folder in image_folders:
        for path in volumes_in(folder):
            if path.resolve() not in known:
                source.add("not_listed", case_name(path), f"{folder.name}/{path.name} is in no list", WARNING)
    for folder in label_folders:
        for path in volumes_in(folder):
            if path.resolve() not in known:
                source.add("no_image", case_name(path), f"{folder.name}/{path.name} is a label without an image")


def read_folds(source: Source, path: Path, names: set[str]) -> None:
    """Take the folds of a file, noting names that are no case."""
    try:
        source.splits = read_splits(path)
    except DataError as error:
        source.add("split", "", str(error))
        return
    for number, split in enumerate(source.splits):
        unknown = sorted({*split.train, *split.val, *split.test} - names)
        if unknown:
            source.add(
                "split", "", f"{path.name}: fold {number} names {len(unknown)} unknown cases, first {unknown[0]}"
            )


def _prepared(root: Path) -> Source:
    source = Source("prepared", root)
    by_mode: dict[str, list[Case]] = {}
    for mode in ("train", "val", "test"):
        path = root / f"{mode}_list.txt"
        if path.is_file():
            by_mode[mode], problems = scan_list(path, root, label_required=mode != "test")
            for problem in problems:
                source.add("list", "", problem)
    unique = {case.images[0]: case for cases in by_mode.values() for case in cases}
    source.cases = sorted(unique.values(), key=lambda case: case.name)
    parts = {mode: tuple(case.name for case in by_mode.get(mode, [])) for mode in ("train", "val", "test")}
    source.splits = [Split.from_dict(parts)]
    _read_prepared_description(source)
    if not source.cases and not source.findings:
        raise DataError(f"{root}: the list files list no case")
    return source


def _read_prepared_description(source: Source) -> None:
    path = source.root / "dataset.json"
    if not path.is_file():
        return
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        source.labels = names_by_id(content["labels"], path.name)
    except (OSError, ValueError, KeyError, TypeError, DataError) as error:
        source.add("description", "", f"dataset.json: {type(error).__name__}: {error}")
        return
    split = content.get("split")
    source.declared_leaking = isinstance(split, Mapping) and bool(split.get("leaking"))
    broken = content.get("broken")
    for name, reason in (broken if isinstance(broken, Mapping) else {}).items():
        source.add("not_prepared", str(name), str(reason), WARNING)


def _folders(images: Path, labels: Path, label_suffix: str | None) -> Source:
    for folder in (images, labels):
        if not folder.is_dir():
            raise DataError(f"{folder} does not exist or is not a folder")
    source = Source("folders", images)
    together = images.resolve() == labels.resolve()
    if not volumes_in(images) and not volumes_in(labels):
        raise DataError(f"{images}: no volumes in it")
    image_files, label_files = (
        _side_by_side(images, label_suffix) if together else (volumes_in(images), volumes_in(labels))
    )
    groups = group_channels(image_files, is_nnunet_folder(image_files))
    by_key = {name.lower(): name for name in groups}
    partners: dict[str, Path] = {}
    for path in label_files:
        name = next((by_key[key] for key in label_keys(case_name(path), label_suffix) if key in by_key), None)
        if name is None or name in partners:
            what = "a label without an image" if name is None else f"a second label of {name}"
            source.add("no_image" if name is None else "two_labels", case_name(path), f"{path.name} is {what}")
        else:
            partners[name] = path
    source.keep([Case(name, paths, partners.get(name)) for name, paths in groups.items()], label_required=True)
    return source


def _side_by_side(folder: Path, suffix: str | None) -> tuple[list[Path], list[Path]]:
    """Images and labels of one folder.

    A name that has an image's name and a word such as "label" is a label. A name with such a word but without its
    image is told by its content.
    """
    files = volumes_in(folder)
    names = {case_name(path).lower() for path in files}
    keys = {path: label_keys(case_name(path), suffix)[1:] for path in files}
    with_label = {key for path in files for key in keys[path]} & names
    labels = []
    for path in files:
        if case_name(path).lower() in with_label or not keys[path]:
            continue
        if not with_label.isdisjoint(keys[path]) or _looks_like_labels(path):
            labels.append(path)
    return [path for path in files if path not in labels], labels


def _looks_like_labels(path: Path) -> bool:
    try:
        ids, counts = np.unique(read_label(path).array, return_counts=True)
    except VolumeError:
        return False
    return len(ids) <= MOST_IDS and ids[counts.argmax()] == 0
