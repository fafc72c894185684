"""Folders of raw volumes: which files belong to which case, and what the folder says of classes and channels.

MSD lists pairs in `dataset.json` and keeps several channels in one 4D file; nnU-Net lists pairs or nothing, names the
channels `CASE_0000`, `CASE_0001`, …, and maps names to ids, or to lists of ids for regions that overlap. BIDS-like
folders and plain folders of images and labels have no such description, see `bids_layout` and `folder_layout`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medicalseg.datasets.bids_layout import bids_cases, is_bids, read_bids
from medicalseg.datasets.case import Case
from medicalseg.datasets.folder_layout import folder_cases, is_folder_layout, read_folders
from medicalseg.datasets.labels import names_by_id, region_arguments
from medicalseg.datasets.layout import Layout, gap_arguments
from medicalseg.datasets.volume_files import group_channels, is_nnunet_folder, volumes_in
from medicalseg.errors import ConfigError, DataError
from medicalseg.inference.label_map import LabelMap
from medicalseg.io import case_name
from medicalseg.utils.files import read_json

__all__ = ["FOLDERS", "Layout", "descriptions", "find_cases", "find_description", "is_description", "read_layout"]

FOLDERS = {"training": ("imagesTr", "labelsTr"), "test": ("imagesTs", "labelsTs")}


def read_layout(root: Path, dataset_json: str | None = None) -> Layout:
    """What a folder holds: by its description (MSD, nnU-Net), else as BIDS, else as plain images/ and labels/.

    Args:
        root: the dataset's folder.
        dataset_json: name or path of the description; default: `dataset.json`, else the only JSON file that looks
            like one.

    Raises:
        DataError: if the folder is none of these, there are several descriptions, or it is wrong.
    """
    if not root.is_dir():
        raise DataError(f"{root} does not exist or is not a folder")
    if dataset_json is None and not descriptions(root) and not (root / "dataset.json").is_file():
        if is_bids(root):
            return read_bids(root)
        if is_folder_layout(root):
            return read_folders(root)
    path = _given(root, dataset_json) if dataset_json else find_description(root)
    content = read_json(path)
    if not is_description(content):
        raise DataError(f"{path}: is no dataset description: 'labels' is missing")
    channels = _channel_names(content.get("channel_names", content.get("modality", {})))
    arguments = region_arguments(content["labels"], content.get("regions_class_order"), str(path))
    if arguments:
        return _with_regions(root, path, content, channels, arguments)
    names = names_by_id(content["labels"], str(path))
    ignored = [label for label, name in names.items() if name.lower() == "ignore"]
    labels = {label: name for label, name in names.items() if label not in ignored}
    if not labels or min(labels) < 0:
        raise DataError(f"{path}: 'labels' must name ids from 0 on, got {names}")
    gaps = gap_arguments(labels, ignored)
    return Layout(root, path, content, labels, ignored[0] if ignored else None, channels, label_arguments=gaps)


def _with_regions(
    root: Path, path: Path, content: Mapping[str, Any], channels: tuple[str, ...], arguments: dict[str, Any]
) -> Layout:
    try:
        label_map = LabelMap.from_config(**arguments)
    except ConfigError as error:
        raise DataError(f"{path}: {error}") from error
    names = {0: "background"} | ({} if label_map is None else label_map.names)
    ignored = arguments.get("ignore", [])
    return Layout(root, path, content, names, ignored[0] if ignored else None, channels, label_arguments=arguments)


def find_description(root: Path) -> Path:
    """The dataset description in a folder: `dataset.json`, else the only JSON file with `labels` and a list of cases.

    Raises:
        DataError: if there is none or several; names them.
    """
    standard = root / "dataset.json"
    if standard.is_file():
        return standard
    found = descriptions(root)
    if len(found) == 1:
        return found[0]
    if not found:
        raise DataError(
            f"{root}: no dataset.json (or another JSON file with 'labels' and 'training') in it, and neither BIDS' "
            "sub-*/anat/ nor images/ and labels/ with volumes"
        )
    names = ", ".join(path.name for path in found)
    raise DataError(f"{root}: several dataset descriptions ({names}); choose one with dataset_json")


def descriptions(root: Path) -> list[Path]:
    """All JSON files of a folder that describe a dataset, sorted."""
    found = []
    for path in sorted(root.glob("*.json")):
        try:
            content = read_json(path)
        except DataError:
            continue
        if is_description(content):
            found.append(path)
    return found


def is_description(content: Any) -> bool:
    """Whether a JSON content is a dataset description."""
    hints = ("training", "numTraining", "file_ending", "channel_names", "modality", "tensorImageSize")
    return isinstance(content, dict) and "labels" in content and any(key in content for key in hints)


def find_cases(
    layout: Layout, part: str = "training", images_dir: str | None = None, labels_dir: str | None = None
) -> list[Case]:
    """The cases of a part, sorted by name; files that do not exist are kept for the caller to report.

    Args:
        layout: from `read_layout`.
        part: "training" or "test".
        images_dir: folder of the images; default: as listed, else imagesTr or imagesTs. Of BIDS a pattern that chooses
            contrasts, `sub-*/anat/*_T2w.nii.gz`.
        labels_dir: folder of the labels; default: as listed, else labelsTr or labelsTs. Of BIDS a folder or a pattern,
            `derivatives/**/*_desc-manual_dseg.nii.gz`.

    Raises:
        DataError: if a list entry is malformed, a case occurs twice, or a case has two labels.
    """
    if layout.kind != "decathlon":
        find = bids_cases if layout.kind == "bids" else folder_cases
        return find(layout, part, images_dir, labels_dir)
    listed = layout.content.get(part)
    if isinstance(listed, list) and listed:
        cases = [_listed_case(layout, entry, part, images_dir, labels_dir) for entry in listed]
    else:
        cases = _found_cases(layout, part, images_dir, labels_dir)
    by_name: dict[str, Case] = {}
    for case in cases:
        if case.name in by_name:
            raise DataError(f"{layout.description}: case {case.name} is listed twice under '{part}'")
        by_name[case.name] = case
    return [by_name[name] for name in sorted(by_name)]


def _given(root: Path, dataset_json: str) -> Path:
    for path in (root / dataset_json, Path(dataset_json)):
        if path.is_file():
            return path
    others = ", ".join(path.name for path in descriptions(root)) or "none"
    raise DataError(f"dataset_json: {root / dataset_json} does not exist; descriptions there: {others}")


def _channel_names(content: Any) -> tuple[str, ...]:
    if not isinstance(content, Mapping):
        return ()
    by_id = names_by_id(content, "channel names") if content else {}
    return tuple(by_id[index] for index in sorted(by_id))


def _listed_case(layout: Layout, entry: Any, part: str, images_dir: str | None, labels_dir: str | None) -> Case:
    image_text, label_text = _entry_paths(layout, entry, part)
    image = _place(layout.root, image_text, images_dir)
    label = None if label_text is None else _place(layout.root, label_text, labels_dir)
    if label is None and labels_dir is not None:
        label = layout.root / labels_dir / image.name
    if label is None and part == "test":
        beside = layout.root / FOLDERS["test"][1] / image.name
        label = beside if beside.is_file() else None
    name = case_name(image)
    images: tuple[Path, ...] = (image,)
    if not image.is_file():
        ending = image.name[len(name) :]
        channels = sorted(image.parent.glob(f"{_escaped(name)}_[0-9][0-9][0-9][0-9]{ending}"))
        images = tuple(channels) or images
    return Case(name, images, label, label)


def _entry_paths(layout: Layout, entry: Any, part: str) -> tuple[str, str | None]:
    if isinstance(entry, str):
        return entry, None
    if isinstance(entry, Mapping) and isinstance(entry.get("image"), str):
        label = entry.get("label")
        if label is None or isinstance(label, str):
            return entry["image"], label
    raise DataError(f'{layout.description}: \'{part}\' needs {{"image": path, "label": path}}, got {entry!r}')


def _place(root: Path, text: str, folder: str | None) -> Path:
    return root / folder / Path(text).name if folder else root / text


def _escaped(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)


def _found_cases(layout: Layout, part: str, images_dir: str | None, labels_dir: str | None) -> list[Case]:
    default_images, default_labels = FOLDERS[part]
    files = volumes_in(layout.root / (images_dir or default_images), layout.file_ending)
    labels = {case_name(path): path for path in volumes_in(layout.root / (labels_dir or default_labels))}
    nnunet = "channel_names" in layout.content or is_nnunet_folder(files)
    return [
        Case(name, images, labels.get(name), labels.get(name)) for name, images in group_channels(files, nnunet).items()
    ]
