"""Pictures to check: a folder with images and masks, or what a configuration describes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from medicalseg.datasets.cache import default_folder
from medicalseg.datasets.group_table import read_group_table
from medicalseg.datasets.image_folder import ImageFolder
from medicalseg.datasets.image_split import ImageSplit, find_file
from medicalseg.datasets.masks import Classes, MaskCase, MaskFormat
from medicalseg.datasets.splits import GroupOf, Split, group_by_pattern
from medicalseg.datasets.verify.picture_folders import has, is_mask
from medicalseg.datasets.verify.pictures import PictureCase
from medicalseg.datasets.verify.source import Source, read_folds
from medicalseg.errors import ConfigError
from medicalseg.inference.label_map import BACKGROUND
from medicalseg.io import case_name, is_picture

ANY_IDS = 1 << 16
SECTIONS = {"train": "train_dataset", "val": "val_dataset"}


def open_pictures(
    root: Path, images: str, masks: str, *, num_classes: int | None = None, group_of: GroupOf | None = None
) -> Source:
    """A folder with images and masks of ids, or polygons where the masks are text files.

    Raises:
        DataError: if there are no images.
    """
    polygons = not has(root / masks, is_picture) and has(root / masks, lambda path: path.suffix == ".txt")
    classes = Classes({}, num_classes or ANY_IDS)
    folder = ImageFolder(root, classes, images, masks, mask_format=MaskFormat("yolo" if polygons else "index"))
    source = Source("pictures", root, folders=(folder,))
    cases = folder.cases(label_required=False)
    _keep(source, {"": cases}, group_of)
    _without_image(source, cases, root / masks)
    path = root / "splits_final.json"
    if path.is_file():
        read_folds(source, path, {case.name for case in source.cases})
    return source


def open_config(content: Mapping[str, Any], num_classes: int | None = None) -> Source:
    """What `train_dataset` and `val_dataset` of a configuration describe.

    Args:
        content: the configuration.
        num_classes: instead of what it says.

    Raises:
        ConfigError: if they are no `ImageDataset`.
        DataError: if folders or lists are wrong.
    """
    sections = {mode: _arguments(content, key) for mode, key in SECTIONS.items() if content.get(key)}
    if not sections:
        raise ConfigError("the configuration has neither train_dataset nor val_dataset")
    folders = {mode: _folder(arguments, num_classes) for mode, arguments in sections.items()}
    parts = {
        mode: _split(sections[mode]).select(folder, mode, label_required=False)[0] for mode, folder in folders.items()
    }
    first = next(iter(folders))
    classes = folders[first].masks.classes
    source = Source("pictures", folders[first].root, folders=tuple(folders.values()))
    source.ignore_index = classes.ignore_index
    unnamed = {0: BACKGROUND} if classes.overlap else {}
    names_by_id = {**unnamed, **classes.names}
    source.labels = {number: names_by_id.get(number, f"class {number}") for number in range(classes.num_ids)}
    names = _keep(source, parts, _group_of(sections[first]))
    source.splits = [Split.from_dict({mode: names.get(mode, []) for mode in SECTIONS})]
    return source


def _arguments(content: Mapping[str, Any], key: str) -> dict[str, Any]:
    from medicalseg.datasets.image_dataset import ImageDataset

    section = content[key]
    if section.get("type") != "ImageDataset":
        known = "image files, raw volumes and prepared arrays"
        raise ConfigError(f"{key}.type: --config checks {known}, not {section.get('type')}; name the data's folder")
    parameters = inspect.signature(ImageDataset).parameters.values()
    defaults = {item.name: item.default for item in parameters}
    unknown = sorted(set(section) - set(defaults) - {"type"})
    if unknown or "dataset_root" not in section:
        raise ConfigError(f"{key}: {f'unknown keys {unknown}' if unknown else 'dataset_root is missing'}")
    return {**defaults, **section}


def _folder(arguments: Mapping[str, Any], num_classes: int | None) -> ImageFolder:
    from medicalseg.datasets.image_dataset import classes_of

    keys = ("labels", "mask_threshold", "head", "ignore_index")
    classes = classes_of(num_classes or arguments["num_classes"], *(arguments[key] for key in keys))
    reading = MaskFormat(**{item.name: arguments[item.name] for item in fields(MaskFormat)})
    where = {name: arguments[name] for name in ("images", "masks", "missing_masks", "case_pattern")}
    return ImageFolder(Path(arguments["dataset_root"]), classes, mask_format=reading, **where)


def _split(arguments: Mapping[str, Any]) -> ImageSplit:
    names = [item.name for item in fields(ImageSplit) if item.name in arguments]
    folder = Path(arguments["cache_dir"]).expanduser() if arguments["cache_dir"] else default_folder()
    lists = {mode: arguments[f"{mode}_path"] for mode in ("train", "val", "test")}
    return ImageSplit(lists=lists, record_in=folder / "splits", **{name: arguments[name] for name in names})


def _group_of(arguments: Mapping[str, Any]) -> GroupOf | None:
    if arguments["group_table"]:
        path = find_file(Path(arguments["dataset_root"]), arguments["group_table"], "group_table")
        return read_group_table(path, arguments["group_columns"])
    return group_by_pattern(arguments["group_pattern"]) if arguments["group_pattern"] else None


def _keep(source: Source, parts: Mapping[str, Sequence[MaskCase]], group_of: GroupOf | None) -> dict[str, list[str]]:
    """Take the cases of each part under unique names, and give these."""
    kept: dict[str, PictureCase] = {}
    names: dict[str, list[str]] = {mode: [] for mode in parts}
    for number, (mode, cases) in enumerate(parts.items()):
        for case in cases:
            other = kept.get(case.name)
            same = other is None or other.images[0].resolve() == case.images[0].resolve()
            name = case.name if same else f"{mode}/{case.name}"
            names[mode].append(name)
            if other is None or not same:
                kept[name] = PictureCase.of(case, number, name)
            if case.label is None:
                source.add("no_label", name, f"{case.images[0].name}: image without a mask")
    source.cases = list(kept.values())
    if group_of is not None:
        source.group_of = lambda name: group_of(kept[name].stored)
    return names


def _without_image(source: Source, cases: Sequence[MaskCase], folder: Path) -> None:
    known = {path.resolve() for case in cases for path in (*case.masks, *case.images)}
    for path in sorted(folder.iterdir()):
        if is_mask(path) and path.resolve() not in known:
            source.add("no_image", case_name(path), f"{folder.name}/{path.name} is a mask without an image")
