"""CT-ICH: head CT with intracranial haemorrhage, cut to slices in the brain window."""

from __future__ import annotations

import argparse
import csv
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from medicalseg.datasets.prepare import pictures
from medicalseg.datasets.prepare.arguments import (
    add_archives,
    add_common,
    add_picture_size,
    add_three_parts,
    check_common,
)
from medicalseg.datasets.prepare.label import read_label_on
from medicalseg.datasets.prepare.pairs import warn_of_lone_labels
from medicalseg.datasets.prepare.pictures import Picture, PictureJob, PictureRecipe, PictureSource, resized, to_grey
from medicalseg.datasets.prepare.raw import folder_named, raw_folder
from medicalseg.datasets.splits import Split, group_by_pattern, holdout
from medicalseg.errors import DataError, UserError
from medicalseg.io import Volume, read_volume, reorient
from medicalseg.utils.logger import logger

HELP = "prepare CT-ICH (head CT slices with intracranial haemorrhage, 1 structure)"
ROOT = "data/ich"
HOW_TO_GET = (
    "CT-ICH 1.3.1 is given out by PhysioNet to users who sign its agreement: "
    "wget -r -N -c -np --user NAME --ask-password https://physionet.org/files/ct-ich/1.3.1/ and pass the folder that "
    "holds ct_scans and masks with --raw_dir"
)
LABELS = {0: "background", 1: "haemorrhage"}
WINDOW_LEVEL, WINDOW_WIDTH = 40.0, 120.0
SIZE = (640, 640)
MASK_LIMIT = 128
PATIENT = r"^(subject\d+)_"
STUDY_PARTS = {True: (10, 50), False: (200, 500)}
DIAGNOSES = "hemorrhage_diagnosis_raw_ct.csv"
WITHOUT_COLUMN = 7


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this preparation's flags."""
    add_common(parser, ROOT)
    add_three_parts(parser, val=0.1, test=0.2, help_text="part of the patients for test")
    add_archives(parser)
    add_picture_size(parser, SIZE)
    parser.add_argument(
        "--only_hemorrhage", action="store_true", help="leave out the slices without haemorrhage, as the study did"
    )
    parser.add_argument(
        "--split",
        choices=("patient", "study"),
        default="patient",
        help="patient (default): a seeded draw of patients; study: the last files are validation and test, "
        "which puts slices of one patient on both sides",
    )


def run(args: argparse.Namespace) -> int:
    """Prepare; the exit code is 2 if a subject is broken."""
    check_common(args)
    raw = raw_folder(args, args.dataset_root / "raw", HOW_TO_GET)
    size = (args.size[0], args.size[1])
    settings = {
        "window_level": WINDOW_LEVEL,
        "window_width": WINDOW_WIDTH,
        "size": list(size),
        "only_hemorrhage": args.only_hemorrhage,
    }
    make = partial(slices_of, size=size, only_hemorrhage=args.only_hemorrhage)
    job = PictureJob(
        recipe=PictureRecipe(args.dataset_root, make, settings),
        sources=find_subjects(raw),
        split=partial(split_by, args=args),
        labels=LABELS,
        description={
            "name": "CT-ICH",
            "description": "Slices of head CT of patients with traumatic brain injury, haemorrhage outlined",
            "reference": "Hssayeni et al., Intracranial Hemorrhage Segmentation Using a Deep Convolutional Model, "
            "Data 5(1):14 (2020); PhysioNet, doi:10.13026/4nae-zg36, version 1.3.1",
            "licence": "PhysioNet Restricted Health Data License, by signed agreement",
            "modality": {"0": "CT"},
        },
    )
    return pictures.run(job, num_workers=args.num_workers, force=args.force).exit_code


def find_subjects(raw: Path) -> list[PictureSource]:
    """The subjects with a scan; their numbers have gaps (59 to 65 were never published).

    Raises:
        DataError: a folder is missing or empty.
    """
    scans, masks = (folder_named(raw, [name], HOW_TO_GET, _by_number) for name in ("ct_scans", "masks"))
    found, wanted = _by_number(scans), _by_number(masks)
    diagnoses = _diagnoses(raw)
    warn_of_lone_labels(mask for number, mask in wanted.items() if number not in found)
    sources = []
    for number, scan in sorted(found.items()):
        mask = wanted.get(number, masks / scan.name)
        options = {"without": diagnoses[number]} if number in diagnoses else {}
        sources.append(PictureSource(f"subject{number:03d}", (scan, mask), options))
    if not sources:
        raise DataError(f"{scans}: holds no scans such as 049.nii. {HOW_TO_GET}")
    return sources


def _by_number(folder: Path) -> dict[int, Path]:
    found = {path: re.fullmatch(r"(\d+)\.nii(\.gz)?", path.name) for path in folder.iterdir()}
    return {int(match.group(1)): path for path, match in sorted(found.items()) if match}


def _diagnoses(raw: Path) -> dict[int, list[bool]]:
    """Per subject, which slices the table of diagnoses calls free of haemorrhage, in its order; {} without a table."""
    tables = sorted(raw.rglob(DIAGNOSES))
    if not tables:
        logger.warning("%s: no %s; the masks tell which slices have a haemorrhage", raw, DIAGNOSES)
        return {}
    found: dict[int, list[bool]] = {}
    try:
        with open(tables[0], newline="", encoding="utf-8-sig") as handle:
            for row in list(csv.reader(handle))[1:]:
                found.setdefault(int(float(row[0])), []).append(float(row[WITHOUT_COLUMN]) == 1)
    except (OSError, ValueError, IndexError) as error:
        raise DataError(f"{tables[0]}: not the table of CT-ICH 1.3.1: {error}") from error
    return found


def slices_of(source: PictureSource, *, size: tuple[int, int], only_hemorrhage: bool) -> list[Picture]:
    """The slices of a subject as upright pictures: the patient's left on the right, the back below.

    Slices keep the order of the file; their numbers count from 1, as the table of diagnoses does.

    Raises:
        DataError: scan and mask do not fit.
    """
    scan = read_volume(source.files[0])
    mask = _present(read_label_on(scan, source.files[1], source.files[0]))
    scan, mask = upright(scan), upright(mask)
    wanted = _wanted(source, mask.array) if only_hemorrhage else range(scan.shape[2])
    made = []
    for index in wanted:
        picture = to_grey(resized(window(scan.array[..., index].T), size))
        present = resized(np.ascontiguousarray(mask.array[..., index].T), size, nearest=True)
        made.append(Picture(f"{source.name}_slice{index + 1:02d}", picture, present))
    return made


def window(values: np.ndarray) -> np.ndarray:
    """Hounsfield units in the brain window as 0 ... 255, clipped, not rounded."""
    low = WINDOW_LEVEL - WINDOW_WIDTH / 2
    return np.clip((values.astype(np.float32) - low) * (255 / WINDOW_WIDTH), 0, 255)


def upright(volume: Volume) -> Volume:
    """Columns to the patient's left, rows to the back; slices stay in the order of the file."""
    along = volume.axcodes[2]
    if along not in "SI":
        raise DataError(f"{volume.path}: its slices are not axial ({volume.axcodes})")
    return reorient(volume, f"LP{along}")


def _present(mask: Volume) -> Volume:
    """1 where there is haemorrhage, 0 elsewhere; masks hold 0 and 1, or grey values."""
    limit = MASK_LIMIT if mask.array.max() > 1 else 0
    return mask.with_array((mask.array > limit).astype(np.uint8))


def _wanted(source: PictureSource, mask: np.ndarray) -> Sequence[int]:
    """Slices with haemorrhage: by the table of diagnoses where there is one, else by the mask."""
    without = source.options.get("without")
    if without is not None and len(without) == mask.shape[2]:
        return [index for index, free in enumerate(without) if not free]
    if without is not None:
        logger.warning(
            "%s: %d slices, but %s has %d rows for it; its mask tells which have a haemorrhage",
            source.name, mask.shape[2], DIAGNOSES, len(without),
        )  # fmt: skip
    return np.flatnonzero(mask.any(axis=(0, 1))).tolist()


def split_by(names: list[str], args: argparse.Namespace) -> Split:
    """Patients apart, or the study's rule."""
    if args.split == "study":
        return study_split(names, *STUDY_PARTS[args.only_hemorrhage])
    return holdout(names, args.val_fraction, args.test_fraction, args.seed, group_by_pattern(PATIENT))


def study_split(names: Sequence[str], val: int, test: int) -> Split:
    """The study's rule: the last `test` files test, the `val` before them validate.

    The study listed its folder unsorted, so which files these were is not known; here they are sorted.

    Raises:
        UserError: if that leaves nothing to train on.
    """
    names = sorted(names)
    train = len(names) - val - test
    if train < 1:
        raise UserError(f"--split study: {val} + {test} of {len(names)} slices leave nothing to train on")
    parts = names[:train], names[train : train + val], names[train + val :]
    shared = _patients(parts[0]) & (_patients(parts[1]) | _patients(parts[2]))
    rule = f"last {val} + {test} files of the sorted listing validate and test (the study's rule; no patient split)"
    logger.warning(
        "--split study: patients are not kept apart (%d are on both sides), so scores are too good for new patients",
        len(shared),
    )
    return Split(tuple(parts[0]), tuple(parts[1]), tuple(parts[2]), rule, leaking=True)


def _patients(names: Sequence[str]) -> set[str]:
    group = group_by_pattern(PATIENT)
    return {group(name) for name in names}
