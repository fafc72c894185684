"""The folders of the Medical Segmentation Decathlon and of nnU-Net: which files belong to which case.

MSD lists pairs in `dataset.json` and keeps several channels in one 4D file; nnU-Net lists pairs or nothing, names the
channels `CASE_0000`, `CASE_0001`, …, and maps names to ids.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medicalseg.datasets.case import Case
from medicalseg.datasets.labels import names_by_id
from medicalseg.errors import DataError
from medicalseg.io import case_name, is_volume, prefer_volumes
from medicalseg.utils.files import read_json

CHANNEL = re.compile(r"^(?P<case>.+)_(?P<channel>\d{4})$")
FOLDERS = {"training": ("imagesTr", "labelsTr"), "test": ("imagesTs", "labelsTs")}


@dataclass(frozen=True)
class Layout:
    """What a folder of this layout holds.

    Attributes:
        root: the folder.
        description: path of `dataset.json` under whatever name.
        content: what it says.
        labels: class names by id, without an id to ignore.
        ignore_index: id that nnU-Net's description calls "ignore"; None if there is none.
        channels: channel names in order; empty if not described.
    """

    root: Path
    description: Path
    content: Mapping[str, Any]
    labels: dict[int, str]
    ignore_index: int | None
    channels: tuple[str, ...]

    @property
    def num_classes(self) -> int:
        """Classes, the background counted."""
        return max(self.labels) + 1

    @property
    def file_ending(self) -> str | None:
        """nnU-Net's file ending, such as ".nii.gz"; None if not described."""
        return self.content.get("file_ending")


def read_layout(root: Path, dataset_json: str | None = None) -> Layout:
    """Find and read the description of a dataset.

    Args:
        root: the dataset's folder.
        dataset_json: name or path of the description; default: `dataset.json`, else the only JSON file that looks
            like one.

    Raises:
        DataError: if there is none, there are several, or it is wrong.
    """
    if not root.is_dir():
        raise DataError(f"{root} does not exist or is not a folder")
    path = _given(root, dataset_json) if dataset_json else find_description(root)
    content = read_json(path)
    if not is_description(content):
        raise DataError(f"{path}: is no dataset description: 'labels' is missing")
    names = names_by_id(content["labels"], str(path))
    ignored = [label for label, name in names.items() if name.lower() == "ignore"]
    labels = {label: name for label, name in names.items() if label not in ignored}
    if not labels or min(labels) < 0:
        raise DataError(f"{path}: 'labels' must name ids from 0 on, got {names}")
    channels = content.get("channel_names", content.get("modality", {}))
    return Layout(root, path, content, labels, ignored[0] if ignored else None, _channel_names(channels))


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
        raise DataError(f"{root}: no dataset.json (or another JSON file with 'labels' and 'training') in it")
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
        images_dir: folder of the images; default: as listed, else imagesTr or imagesTs.
        labels_dir: folder of the labels; default: as listed, else labelsTr or labelsTs.

    Raises:
        DataError: if a list entry is malformed or a case occurs twice.
    """
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


def group_channels(files: Iterable[Path], nnunet: bool) -> dict[str, tuple[Path, ...]]:
    """Image files by case; with `nnunet` the ending `_0000` is a channel number, in order."""
    groups: dict[str, list[Path]] = {}
    for path in sorted(files):
        name = case_name(path)
        match = CHANNEL.match(name) if nnunet else None
        key = match["case"] if match else name
        groups.setdefault(path.name if key in groups and not match else key, []).append(path)
    return {name: tuple(paths) for name, paths in sorted(groups.items())}


def volumes_in(folder: Path, ending: str | None = None) -> list[Path]:
    """Volume files of a folder, sorted; hidden files are not data, a header with its voxel file is one volume.

    Pictures (PNG ...) count only where there is nothing else, or by their `ending`.
    """
    if not folder.is_dir():
        return []
    files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    headers = {case_name(path) for path in files if ".hdr" in path.suffixes}
    files = [path for path in files if ".img" not in path.suffixes or case_name(path) not in headers]
    if ending:
        return sorted(path for path in files if path.name.endswith(ending))
    return sorted(prefer_volumes(path for path in files if is_volume(path)))


def is_nnunet_folder(files: Iterable[Path]) -> bool:
    """Whether all names end in a channel number, so that the ending is one."""
    names = [case_name(path) for path in files]
    return bool(names) and all(CHANNEL.match(name) for name in names)


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
