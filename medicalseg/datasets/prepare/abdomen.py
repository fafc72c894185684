"""Abdomen: CT of the Synapse multi-atlas challenge (BTCV), eight organs."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from medicalseg.datasets.class_tables import ABDOMEN, ABDOMEN_OF_SYNAPSE
from medicalseg.datasets.decathlon_layout import volumes_in
from medicalseg.datasets.prepare.arguments import add_archives, add_common
from medicalseg.datasets.prepare.job import CaseSource, Job, Recipe
from medicalseg.datasets.prepare.pairs import images_in, pair_by_name
from medicalseg.datasets.prepare.raw import find_folders, folder_named
from medicalseg.datasets.prepare.verb import prepare
from medicalseg.datasets.splits import Split, holdout
from medicalseg.errors import DataError
from medicalseg.inference.preprocess import Preprocessing
from medicalseg.io import case_name

HELP = "prepare Abdomen (Synapse/BTCV, CT, 9 classes)"
ROOT = "data/abdomen"
PHASE = "abdomen_phase0"
RAW = "abdomen_raw"
HOW_TO_GET = (
    "The 30 labelled CT volumes are free on registration: at www.synapse.org (syn3193805) fetch Abdomen/RawData.zip "
    "and pass it with --archive, or an unpacked folder (img and label in it) with --raw_dir"
)
ORIENTATION = "SAL"
WINDOW = (-125.0, 275.0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this preparation's flags."""
    add_common(parser, ROOT)
    parser.set_defaults(val_fraction=0.4, size=None)
    add_archives(parser)
    parser.add_argument(
        "--random_split",
        action="store_true",
        help="draw the cases held out with --seed (default: the last ones by name, as the published weights need)",
    )
    parser.add_argument("--with_test", action="store_true", help="prepare the challenge's test volumes too")


def run(args: argparse.Namespace) -> int:
    """Prepare; the exit code is 2 if a case is broken."""
    return prepare(args, PHASE, RAW, HOW_TO_GET, partial(_job, args))


def _job(args: argparse.Namespace, raw: Path, output: Path) -> Job:
    return Job(
        recipe=Recipe(output, preprocessing(), raw, len(ABDOMEN), label_ids=ABDOMEN_OF_SYNAPSE),
        cases=find_cases(raw),
        split=partial(split_of, val_fraction=args.val_fraction, seed=args.seed if args.random_split else None),
        test=find_test_cases(raw) if args.with_test else (),
        labels=ABDOMEN,
        description={
            "name": "Abdomen",
            "description": "Abdominal CT in the portal venous phase with eight organs labelled",
            "reference": "Landman et al., MICCAI Multi-Atlas Labeling Beyond the Cranial Vault (2015), syn3193805",
            "licence": "CC BY 4.0",
            "modality": {"0": "CT"},
        },
        public_cases=30,
    )


def preprocessing() -> Preprocessing:
    """PaddleSeg3D's numbers: -125..275 HU to 0..1, clipped, on the scanner's grid.

    The axes are slices, columns, rows: a slice is contiguous in memory, and its picture (rows, columns) has the
    orientation that the published weights saw.
    """
    return Preprocessing(orientation=ORIENTATION, intensity=({"type": "window", "low": WINDOW[0], "high": WINDOW[1]},))


def split_of(names: Iterable[str], val_fraction: float, seed: int | None) -> Split:
    """Which cases train and validate.

    Args:
        names: case names.
        val_fraction: part of them that validates.
        seed: draws them; None takes the last ones by name: PaddleSeg3D's weights were trained on the others.

    Raises:
        DataError: a single case is too few.
    """
    names = sorted(names)
    if seed is not None:
        return holdout(names, val_fraction, seed=seed)
    if len(names) < 2:
        raise DataError("at least 2 cases are needed, one to train and one to validate")
    count = min(max(1, round(len(names) * (1 - val_fraction))), len(names) - 1)
    rule = f"sorted cases, the first {count} train, as PaddleSeg3D's"
    return Split(tuple(names[:count]), tuple(names[count:]), rule=rule)


def label_name(image_name: str) -> str:
    """Name of the label that belongs to an image.

    Example:
        >>> label_name("img0001")
        'label0001'
    """
    return image_name.replace("img", "label")


def find_cases(raw: Path) -> list[CaseSource]:
    """Images and labels of the training folder by name.

    Raises:
        DataError: a folder is missing or empty.
    """
    labels = folder_named(raw, ["label"], HOW_TO_GET)
    images = labels.with_name(
        next((path.name for path in _folders_beside(labels) if path.name.lower() == "img"), "img")
    )
    return pair_by_name(images_in(images, HOW_TO_GET), labels, label_name)


def find_test_cases(raw: Path) -> list[CaseSource]:
    """Images of the folder for test, which has no labels.

    Raises:
        DataError: there are none.
    """
    folders = [path for path in find_folders(raw, "img") if "testing" in (part.lower() for part in path.parts)]
    paths = volumes_in(folders[0]) if folders else []
    if not paths:
        raise DataError(f"{raw}: no folder Testing/img with volumes in it; leave --with_test out")
    return [CaseSource(case_name(path), (path,)) for path in paths]


def _folders_beside(folder: Path) -> list[Path]:
    return [path for path in folder.parent.iterdir() if path.is_dir()]
