"""ACDC: short-axis cine MR of the heart, both ventricles and the myocardium at end of diastole and systole."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from medicalseg.datasets.class_tables import ACDC
from medicalseg.datasets.prepare.arguments import add_archives, add_common, make_split
from medicalseg.datasets.prepare.job import CaseSource, Job, Recipe
from medicalseg.datasets.prepare.pairs import warn_of_lone_labels
from medicalseg.datasets.prepare.verb import prepare
from medicalseg.datasets.splits import group_by_pattern
from medicalseg.datasets.volume_files import volumes_in
from medicalseg.errors import DataError, UserError
from medicalseg.inference.nnformer_helper import heart_preprocessing, slices_first
from medicalseg.io import case_name, read_volume
from medicalseg.utils.logger import logger

HELP = "prepare ACDC (cine MR of the heart, 4 classes)"
ROOT = "data/ACDCDataset"
PHASE = "ACDCDataset_phase0"
RAW = "ACDCDataset_raw"
HOW_TO_GET = (
    "The data of the Automated Cardiac Diagnosis Challenge are free: get them from its page "
    "(www.creatis.insa-lyon.fr/Challenge/acdc) and pass the archive with --archive, or the unpacked folder "
    "(patient001, patient002, ... in it) with --raw_dir"
)
PATIENT = r"^(patient\d+)"
FRAME = re.compile(PATIENT + r"_frame\d+$")
LABEL = "_gt"
USUAL_AXES = "LPS"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this preparation's flags."""
    add_common(parser, ROOT)
    parser.set_defaults(size=None)
    add_archives(parser)
    parser.add_argument("--with_test", action="store_true", help="prepare the patients of the folder 'testing' too")


def run(args: argparse.Namespace) -> int:
    """Prepare; the exit code is 2 if a case is broken."""
    return prepare(args, PHASE, RAW, HOW_TO_GET, partial(_job, args))


def _job(args: argparse.Namespace, raw: Path, output: Path) -> Job:
    cases = find_cases(raw)
    preprocessing = heart_preprocessing(orientation_of(cases), normalize="none")
    return Job(
        recipe=Recipe(output, preprocessing, raw, num_classes=len(ACDC), ignore_index=255),
        cases=cases,
        split=partial(make_split, args=args, group_of=group_by_pattern(PATIENT)),
        test=find_cases(raw, test=True) if args.with_test else (),
        labels=ACDC,
        description={
            "name": "ACDC",
            "description": "Short-axis cine MR of the heart at end of diastole and systole",
            "reference": "Bernard et al., IEEE TMI 37(11):2514-2525 (2018)",
            "licence": "for research, see the challenge's page",
            "modality": {"0": "MRI"},
        },
        public_cases=200,
    )


def find_cases(raw: Path, test: bool = False) -> list[CaseSource]:
    """Frames `patientNNN_frameMM` of the folders `patientNNN`, with their labels `..._gt`, sorted by name.

    Args:
        raw: folder that holds them, at any depth.
        test: those below a folder `testing`, whose labels may be missing, instead of the others.

    Raises:
        DataError: there are none.
    """
    folders = [path for path in [raw, *sorted(raw.rglob("*"))] if path.is_dir() and "__MACOSX" not in path.parts]
    found: list[CaseSource] = []
    for folder in folders:
        if ("testing" in [part.lower() for part in folder.relative_to(raw).parts]) == test:
            found += _frames(folder, label_required=not test)
    if not found:
        where = " in a folder 'testing'" if test else ""
        raise DataError(f"{raw}: no patientNNN_frameMM.nii.gz{where} in it. {HOW_TO_GET}")
    return sorted(found, key=lambda case: case.name)


def orientation_of(cases: Sequence[CaseSource]) -> str:
    """Axis codes of the first case that can be read, its slices first; all other cases are turned to the same."""
    for case in cases:
        try:
            return slices_first(read_volume(case.images[0]).axcodes)
        except UserError as error:
            logger.warning("case %s: %s", case.name, error)
    return slices_first(USUAL_AXES)


def _frames(folder: Path, label_required: bool) -> list[CaseSource]:
    by_name = {case_name(path): path for path in volumes_in(folder)}
    cases = []
    for name, path in by_name.items():
        if FRAME.match(name):
            wanted = folder / f"{name}{LABEL}{path.name[len(name) :]}" if label_required else None
            cases.append(CaseSource(name, (path,), by_name.get(f"{name}{LABEL}", wanted)))
    labels = {name.removesuffix(LABEL): path for name, path in by_name.items() if name.endswith(LABEL)}
    warn_of_lone_labels(path for name, path in labels.items() if FRAME.match(name) and name not in by_name)
    return cases
