"""Spine X-rays for scoliosis: a Roboflow export with YOLO polygons, painted into masks."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from medicalseg.datasets.prepare import pictures
from medicalseg.datasets.prepare.arguments import (
    add_archives,
    add_common,
    add_picture_size,
    add_three_parts,
    check_common,
)
from medicalseg.datasets.prepare.pictures import Picture, PictureJob, PictureRecipe, PictureSource, resized, to_grey
from medicalseg.datasets.prepare.raw import raw_folder
from medicalseg.datasets.splits import Split, holdout
from medicalseg.datasets.yolo import fill, read_polygons
from medicalseg.errors import DataError
from medicalseg.utils.logger import logger

HELP = "prepare a Roboflow export of spine X-rays (YOLOv8 polygons, 1 structure)"
ROOT = "data/scoliosis"
HOW_TO_GET = (
    "Export the dataset 'AIS' (version 1) from Roboflow in the format YOLOv8, which needs a free account, and pass the "
    "zip file with --archive or the unpacked folder with --raw_dir"
)
LABELS = {0: "background", 1: "spine"}
SIZE = (640, 640)
PARTS = {"train": ("train",), "val": ("valid", "val"), "test": ("test",)}
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")
ROBOFLOW = ".rf."
FEW = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this preparation's flags."""
    add_common(parser, ROOT)
    add_three_parts(parser, val=0.1, test=0.1, help_text="with --split source")
    add_archives(parser)
    add_picture_size(parser, SIZE)
    parser.add_argument(
        "--split",
        choices=("export", "source"),
        default="export",
        help="export (default): the folders of the export; source: a seeded draw that keeps all versions of a source "
        "image together",
    )


def run(args: argparse.Namespace) -> int:
    """Prepare; the exit code is 2 if a picture is broken."""
    check_common(args)
    raw = export_root(raw_folder(args, args.dataset_root / "raw", HOW_TO_GET))
    sources = find_pictures(raw)
    size = (args.size[0], args.size[1])
    job = PictureJob(
        recipe=PictureRecipe(args.dataset_root, partial(picture_of, size=size), {"size": list(size)}),
        sources=sources,
        split=partial(split_by, sources=sources, args=args),
        labels=LABELS,
        description=_description(raw),
    )
    return pictures.run(job, num_workers=args.num_workers, force=args.force).exit_code


def export_root(folder: Path) -> Path:
    """The folder that has `train/images`: the given one, or the only one inside it.

    Raises:
        DataError: there is none, or several.
    """
    found = sorted({path.parents[1] for path in folder.rglob("images") if path.parent.name == "train"})
    if len(found) == 1:
        return found[0]
    what = "no folder train/images in it" if not found else f"several exports in it: {', '.join(map(str, found))}"
    raise DataError(f"{folder}: {what}. {HOW_TO_GET}")


def find_pictures(root: Path) -> list[PictureSource]:
    """The images of all parts with their label files.

    Raises:
        DataError: there are none.
    """
    sources = []
    for part, names in PARTS.items():
        for name in names:
            images = root / name / "images"
            found = sorted(images.iterdir()) if images.is_dir() else []
            for path in (path for path in found if path.suffix.lower() in SUFFIXES):
                label = root / name / "labels" / f"{path.stem}.txt"
                sources.append(PictureSource(path.stem, (path, label), {"part": part}))
    if not sources:
        raise DataError(f"{root}: no images in train/images, valid/images or test/images. {HOW_TO_GET}")
    return sources


def picture_of(source: PictureSource, *, size: tuple[int, int]) -> list[Picture]:
    """The image in grey and its mask: everything inside one of the polygons is 1.

    Raises:
        DataError: a file cannot be read, or a label is no polygon.
    """
    image_path, label_path = source.files
    try:
        with Image.open(image_path) as picture:
            if picture.mode[0] in "IF":
                raise DataError(f"{image_path}: has more than 8 bits per pixel; export it as JPEG or 8-bit PNG")
            grey = np.asarray(picture.convert("L"))
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{image_path}: not a readable picture: {error}") from error
    mask = np.zeros(size, bool)
    for polygon in read_polygons(label_path):
        mask |= fill(polygon, *size)
    return [Picture(source.name, to_grey(resized(grey, size)), mask.T)]


def source_image(name: str) -> str:
    """The image that a picture of an export was made from.

    Example:
        >>> source_image("17_bmp.rf.01f8cf4d01f022e9149ebf66d6b07ebc")
        '17_bmp'
    """
    return name.split(ROBOFLOW)[0]


def split_by(names: list[str], sources: Sequence[PictureSource], args: argparse.Namespace) -> Split:
    """The export's parts, or a draw of source images."""
    wanted = set(names)
    groups = _groups([source for source in sources if source.name in wanted])
    if args.split == "source":
        return holdout(names, args.val_fraction, args.test_fraction, args.seed, groups.__getitem__)
    part_of = {source.name: str(source.options["part"]) for source in sources}
    parts = {part: tuple(name for name in names if part_of[name] == part) for part in PARTS}
    shared = _shared({part: {groups[name] for name in members} for part, members in parts.items()})
    if shared:
        logger.warning(
            "%d source images are in several parts of the export (%s%s), so scores are too good for new patients; "
            "--split source keeps them together",
            len(shared), ", ".join(shared[:FEW]), ", …" if len(shared) > FEW else "",
        )  # fmt: skip
    rule = "the export's own split"
    return Split(parts["train"], parts["val"], parts["test"], rule, leaking=bool(shared))


def _groups(sources: Sequence[PictureSource]) -> dict[str, str]:
    """Source image per picture; pictures of equal content share one."""
    by_content: dict[str, str] = {}
    groups = {}
    for source in sources:
        digest = hashlib.sha256(source.files[0].read_bytes()).hexdigest()
        groups[source.name] = by_content.setdefault(digest, source_image(source.name))
    return groups


def _shared(parts: Mapping[str, set[str]]) -> list[str]:
    """Source images that occur in more than one part."""
    everything = sorted(set().union(*parts.values()))
    return [name for name in everything if sum(name in members for members in parts.values()) > 1]


def _description(root: Path) -> dict[str, Any]:
    """What the export says about itself in data.yaml."""
    stated: dict[str, Any] = {}
    path = root / "data.yaml"
    if path.is_file():
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
            stated = content.get("roboflow", {}) if isinstance(content, dict) else {}
        except (OSError, ValueError, yaml.YAMLError) as error:
            logger.warning("%s: cannot be read: %s", path, error)
    stated = stated if isinstance(stated, dict) else {}
    return {
        "name": "Scoliosis X-rays",
        "description": "Spine X-rays with the spinal column outlined",
        "reference": str(stated.get("url", "Roboflow export 'AIS', version 1")),
        "licence": str(stated.get("license", "see README.roboflow.txt of the export")),
        "modality": {"0": "X-ray"},
    }
