"""Promise12: transversal T2 MR of the prostate."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from pathlib import Path

from medicalseg.datasets.class_tables import PROSTATE
from medicalseg.datasets.prepare import engine
from medicalseg.datasets.prepare.arguments import add_archives, add_common, add_size, check_common, make_split
from medicalseg.datasets.prepare.job import CaseSource, Job, Recipe
from medicalseg.datasets.prepare.raw import description_copy, raw_folder
from medicalseg.datasets.volume_files import volumes_in
from medicalseg.errors import DataError
from medicalseg.inference.preprocess import Preprocessing
from medicalseg.io import case_name

HELP = "prepare Promise12 (MR of the prostate, 2 classes)"
ROOT = "data/Promise12"
PHASE = "Promise12_phase0"
RAW = "Promise12_raw"
SIZE = (512, 512, 24)
SUFFIX = "_segmentation"
TEST = "test_"
HOW_TO_GET = (
    "PROMISE12 is public (promise12.grand-challenge.org, Zenodo record 8026660): fetch the archives of the training "
    "and, if wanted, test data and pass them with --archive, pass their addresses with --url, or an unpacked folder "
    "with --raw_dir"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this preparation's flags."""
    add_common(parser, ROOT)
    add_archives(parser)
    add_size(parser, SIZE)


def run(args: argparse.Namespace) -> int:
    """Prepare; the exit code is 2 if a case is broken."""
    check_common(args)
    output = args.dataset_root / PHASE
    engine.check_origin(output, "real", args.force)
    raw = raw_folder(args, args.dataset_root / RAW, HOW_TO_GET)
    cases, test = find_cases(raw)
    job = Job(
        recipe=Recipe(output, preprocessing(args.size), raw, num_classes=len(PROSTATE), ignore_index=255),
        cases=cases,
        split=make_split([case.name for case in cases], args),
        labels=PROSTATE,
        description={
            "name": "Promise12",
            "description": "Transversal T2 MR of the prostate from several hospitals and scanners",
            "reference": "Litjens et al., Medical Image Analysis 18(2):359-373 (2014); promise12.grand-challenge.org",
            "licence": "see promise12.grand-challenge.org",
            "modality": {"0": "MRI-T2"},
        },
        test=test,
        copies=description_copy(args.dataset_root / RAW, args.raw_dir),
    )
    return engine.run(job, num_workers=args.num_workers, force=args.force).exit_code


def preprocessing(size: tuple[int, int, int] | list[int]) -> Preprocessing:
    """PaddleSeg3D's numbers: each volume's smallest value becomes 0, its largest 1, then it is brought to `size`."""
    return Preprocessing(intensity=({"type": "minmax"},), size=(size[0], size[1], size[2]))


def find_cases(raw: Path) -> tuple[list[CaseSource], list[CaseSource]]:
    """Training cases, `CaseN` with `CaseN_segmentation` beside it, and test cases, sorted by number.

    A folder is one of test cases if it holds no segmentations and its path below `raw` has the word "test"; its cases
    are called `test_CaseN`, since their numbers start anew.

    Raises:
        DataError: there is no training case, or a name occurs in two folders.
    """
    cases, test = [], []
    for folder in [raw, *sorted(path for path in raw.rglob("*") if path.is_dir() and "__MACOSX" not in path.parts)]:
        images, labels = _told_apart(volumes_in(folder))
        if not labels and "test" in folder.relative_to(raw).as_posix().lower():
            test += [CaseSource(TEST + case_name(path), (path,)) for path in images]
        else:
            cases += [_labelled(path, labels) for path in images]
    if not cases:
        raise DataError(f"{raw}: no volumes CaseN with CaseN{SUFFIX} in it. {HOW_TO_GET}")
    _check_names([*cases, *test])
    return sorted(cases, key=_by_number), sorted(test, key=_by_number)


def _told_apart(paths: Iterable[Path]) -> tuple[list[Path], dict[str, Path]]:
    images, labels = [], {}
    for path in paths:
        name = case_name(path)
        if name.lower().endswith(SUFFIX):
            labels[name.lower()] = path
        else:
            images.append(path)
    return images, labels


def _labelled(image: Path, labels: dict[str, Path]) -> CaseSource:
    name = case_name(image)
    label_name = f"{name}{SUFFIX}"
    fallback = image.with_name(f"{label_name}{image.name[len(name) :]}")
    return CaseSource(name, (image,), labels.get(label_name.lower(), fallback), label_name)


def _check_names(cases: Iterable[CaseSource]) -> None:
    seen: dict[str, Path] = {}
    for case in cases:
        other = seen.setdefault(case.name, case.images[0])
        if other != case.images[0]:
            raise DataError(f"{case.images[0]}: {other} has the same name; prepare the folders one at a time")


def _by_number(case: CaseSource) -> list[int | str]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", case.name)]
