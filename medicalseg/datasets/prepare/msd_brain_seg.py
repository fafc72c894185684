"""msd_brain_dataset: brain MR of the Medical Segmentation Decathlon, task 1, gliomas."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from medicalseg.datasets.class_tables import MSD_BRAIN
from medicalseg.datasets.prepare.arguments import add_archives, add_common, add_three_parts
from medicalseg.datasets.prepare.job import CaseSource, Job, Recipe
from medicalseg.datasets.prepare.pairs import pair_by_name
from medicalseg.datasets.prepare.raw import find_folders
from medicalseg.datasets.prepare.verb import prepare
from medicalseg.datasets.splits import holdout
from medicalseg.datasets.volume_files import group_channels, is_nnunet_folder, volumes_in
from medicalseg.errors import DataError
from medicalseg.inference.preprocess import Preprocessing

HELP = "prepare msd_brain_dataset (MSD task 1, MR of gliomas, 4 contrasts, 4 classes)"
TASK = "Task01_BrainTumour"
ROOT = f"data/{TASK}"
PHASE = f"{TASK}_phase0"
RAW = f"{TASK}_raw"
ORIENTATION = "SAR"
HOW_TO_GET = (
    f"Task 1 of the Medical Segmentation Decathlon is public (medicaldecathlon.com): fetch {TASK}.tar and pass it with "
    "--archive, pass its address with --url, or pass an unpacked folder (imagesTr and labelsTr in it) with --raw_dir"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this preparation's flags."""
    add_common(parser, ROOT)
    add_three_parts(parser, 0.15, 0.05, "part of the cases held out for test")
    parser.set_defaults(size=None)
    add_archives(parser)


def run(args: argparse.Namespace) -> int:
    """Prepare; the exit code is 2 if a case is broken."""
    return prepare(args, PHASE, RAW, HOW_TO_GET, partial(_job, args))


def _job(args: argparse.Namespace, raw: Path, output: Path) -> Job:
    return Job(
        recipe=Recipe(output, preprocessing(), raw, num_classes=len(MSD_BRAIN), ignore_index=255),
        cases=find_cases(raw),
        split=partial(holdout, val_fraction=args.val_fraction, test_fraction=args.test_fraction, seed=args.seed),
        labels=MSD_BRAIN,
        description={
            "name": "BRATS",
            "description": "MR of gliomas: oedema, non-enhancing and enhancing tumour",
            "reference": "Antonelli et al., The Medical Segmentation Decathlon, Nat. Commun. 13, 4128 (2022)",
            "licence": "CC BY-SA 4.0",
            "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
        },
        public_cases=484,
    )


def preprocessing() -> Preprocessing:
    """PaddleSeg3D's arrays: grey values as stored, the axes (Z, Y, X) of volumes stored along RAS."""
    return Preprocessing(orientation=ORIENTATION)


def find_cases(raw: Path) -> list[CaseSource]:
    """Images of `imagesTr` and labels of `labelsTr` by name; a case's contrasts are one 4D file, or files CASE_0000 ...

    Raises:
        DataError: the folders are missing or hold no volume.
    """
    images = next((path for path in find_folders(raw, "imagesTr") if volumes_in(path)), None)
    labels = None if images is None else _beside(images)
    if images is None or labels is None:
        raise DataError(f"{raw}: no folders imagesTr and labelsTr with volumes side by side in it. {HOW_TO_GET}")
    files = volumes_in(images)
    return pair_by_name(group_channels(files, is_nnunet_folder(files)).items(), labels)


def _beside(images: Path) -> Path | None:
    return next((path for path in images.parent.iterdir() if path.is_dir() and path.name.lower() == "labelstr"), None)
