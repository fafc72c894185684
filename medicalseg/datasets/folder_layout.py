"""Plain folders: images in one, labels of the same names in another, nothing else said."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from medicalseg.datasets.case import Case
from medicalseg.datasets.label_tables import first_label_table
from medicalseg.datasets.layout import Layout, gap_arguments
from medicalseg.datasets.volume_files import group_channels, is_nnunet_folder, volumes_at, volumes_in
from medicalseg.errors import DataError
from medicalseg.io import case_name, is_picture

IMAGES = ("images", "imagesTr", "image", "imgs", "volumes")
LABELS = ("labels", "labelsTr", "label", "masks", "segmentations", "annotations")
TEST_IMAGES = ("imagesTs", "images_test")
TABLES = ("labels.json", "labels.tsv", "dseg.tsv")
LABEL_WORD = r"(?:labels?|masks?|seg|segmentation|gt)"
LABEL_WORDS = (re.compile(rf"[_-]{LABEL_WORD}$"), re.compile(rf"^{LABEL_WORD}[_-]"))


def is_folder_layout(root: Path) -> bool:
    """Whether a folder has volumes in images/ (or a usual name of it) and in labels/."""
    return all(folder is not None and not _only_pictures(root / folder) for folder in default_folders(root))


def read_folders(root: Path) -> Layout:
    """The layout of a folder with images and labels, names from labels.json or a table if there is one."""
    labels = first_label_table(root / name for name in TABLES)
    arguments = gap_arguments(labels, ())
    return Layout(root, root, {}, labels, None, (), kind="folders", label_arguments=arguments)


def folder_cases(layout: Layout, part: str, images_dir: str | None, labels_dir: str | None) -> list[Case]:
    """Cases of a part: "training" has labels, "test" is what has none, or lies in imagesTs.

    Raises:
        DataError: if two labels belong to one image.
    """
    images, labels = default_folders(layout.root)
    image_files = volumes_at(layout.root, images_dir or images or IMAGES[0])
    label_files = volumes_at(layout.root, labels_dir or labels or LABELS[0])
    cases = pair(image_files, label_files)
    if part == "training":
        return [case for case in cases if case.label is not None]
    apart = [path for folder in TEST_IMAGES for path in volumes_in(layout.root / folder)]
    return [case for case in cases if case.label is None] + pair(apart, []) if images_dir is None else cases


def pair(image_files: Iterable[Path], label_files: Iterable[Path]) -> list[Case]:
    """Cases of images, channels `_0000` put together, with the label of the same name or of that and a usual word.

    Raises:
        DataError: if two labels belong to one image.
    """
    files = list(image_files)
    groups = group_channels(files, is_nnunet_folder(files))
    by_key = {name.lower(): name for name in groups}
    partners: dict[str, Path] = {}
    for path in label_files:
        name = next((by_key[key] for key in label_keys(case_name(path)) if key in by_key), None)
        if name in partners:
            raise DataError(f"{path} and {partners[name].name}: two labels of the image {name}")
        if name is not None:
            partners[name] = path
    return [Case(name, paths, partners.get(name), partners.get(name)) for name, paths in groups.items()]


def label_keys(name: str, suffix: str | None = None) -> list[str]:
    """Names, in lower case, that the image of a label may have; its own first."""
    name = name.lower()
    stripped = [name.removesuffix(suffix.lower())] if suffix else [word.sub("", name) for word in LABEL_WORDS]
    return [name, *(key for key in stripped if key and key != name)]


def default_folders(root: Path) -> tuple[str | None, str | None]:
    """The folders of images and labels by their usual names."""
    images = next((name for name in IMAGES if volumes_in(root / name)), None)
    labels = next((name for name in LABELS if volumes_in(root / name)), None)
    return images, labels


def _only_pictures(folder: Path) -> bool:
    return all(is_picture(path) for path in volumes_in(folder))
