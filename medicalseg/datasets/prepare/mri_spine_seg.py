"""MRISpineSeg: sagittal T2 spine MR, 19 structures; or the built-in phantom in its place."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from medicalseg.datasets.class_tables import MRI_SPINE_SEG, MRI_SPINE_SEG_GROUPS
from medicalseg.datasets.phantom import write_raw_phantom
from medicalseg.datasets.prepare.arguments import add_archives, add_common, add_size, make_split
from medicalseg.datasets.prepare.job import CaseSource, Job, Recipe
from medicalseg.datasets.prepare.pairs import images_in, natural_key, pair_by_name
from medicalseg.datasets.prepare.raw import find_folders
from medicalseg.datasets.prepare.verb import prepare
from medicalseg.errors import DataError, UserError
from medicalseg.inference.preprocess import Preprocessing

HELP = "prepare MRISpineSeg (20 classes), or the built-in spine phantom with --phantom"
ROOT = "data/MRSpineSeg"
PHASE = "MRI_spine_seg_phase0_class20_big_12"
RAW = "MRI_spine_seg_raw"
PHANTOM = "phantom"
HOW_TO_GET = (
    "MRISpineSeg is given out by its organisers against a signed agreement (www.spinesegmentation-challenge.com): "
    "get it there and pass --archive FILE.zip or --raw_dir FOLDER; or use the built-in data with --phantom"
)
HIGHEST = 2650.0
REAL = {
    "name": "MRISpineSeg",
    "description": "Sagittal T2 spine MR: sacrum, vertebrae L5 to T9 and the discs between them",
    "reference": "Pang et al., SpineParseNet, IEEE TMI 40(1):262-273 (2021); www.spinesegmentation-challenge.com",
    "licence": "research only, by signed agreement with the organisers",
    "modality": {"0": "MRI-T2"},
}
GENERATED = {
    "name": "MRISpineSeg phantom",
    "description": "Generated sagittal T2-like spine volumes with MRISpineSeg's 20 classes; no patient data",
    "reference": "docs/explanation/phantom.md",
    "licence": "Apache-2.0",
    "modality": {"0": "MRI-T2"},
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this preparation's flags."""
    add_common(parser, ROOT)
    add_archives(parser)
    add_size(parser, (512, 512, 12))
    parser.add_argument(
        "--phantom", type=int, nargs="?", const=20, metavar="N", help="generate N cases (default: 20) and use them"
    )
    parser.add_argument(
        "--leaking_split",
        action="store_true",
        help="PaddleSeg3D's split, whose validation cases are training cases too; marked in every report",
    )


def run(args: argparse.Namespace) -> int:
    """Prepare; the exit code is 2 if a case is broken."""
    if args.phantom is None:
        return prepare(args, PHASE, RAW, HOW_TO_GET, partial(_job, args, REAL))
    job = partial(_job, args, GENERATED)
    return prepare(args, PHASE, RAW, HOW_TO_GET, job, origin="phantom", fetch=_phantom)


def _job(args: argparse.Namespace, description: Mapping[str, object], raw: Path, output: Path) -> Job:
    return Job(
        recipe=Recipe(output, preprocessing(args.size), raw, num_classes=len(MRI_SPINE_SEG), ignore_index=255),
        cases=find_cases(raw),
        split=partial(make_split, args=args),
        labels=MRI_SPINE_SEG,
        class_groups=MRI_SPINE_SEG_GROUPS,
        description=description,
    )


def preprocessing(size: tuple[int, int, int] | list[int]) -> Preprocessing:
    """PaddleSeg3D's numbers: image / 2650, clipped to 0..1, then brought to `size`."""
    step = {"type": "window", "low": 0.0, "high": HIGHEST}
    return Preprocessing(intensity=(step,), size=(size[0], size[1], size[2]))


def find_cases(raw: Path) -> list[CaseSource]:
    """Pairs of `MR/CaseN` and `Mask/mask_caseN`, sorted by number.

    Raises:
        DataError: the folders are missing or hold no volume.
    """
    images = next((path for path in find_folders(raw, "MR") if _masks(path)), None)
    labels = None if images is None else _masks(images)
    if images is None or labels is None:
        raise DataError(f"{raw}: no folders MR and Mask side by side in it. {HOW_TO_GET}")
    found = pair_by_name(images_in(images, HOW_TO_GET), labels, lambda name: name.replace("Case", "mask_case"))
    return sorted(found, key=lambda case: natural_key(case.name))


def _masks(images: Path) -> Path | None:
    return next((path for path in images.parent.iterdir() if path.is_dir() and path.name.lower() == "mask"), None)


def _phantom(args: argparse.Namespace, unpacked: Path, how_to_get: str) -> Path:
    for name in ("raw_dir", "archive", "url"):
        if getattr(args, name):
            raise UserError(f"--phantom and --{name}: give one of them")
    if args.phantom < 2:
        raise UserError(f"--phantom {args.phantom}: at least 2 cases are needed, one to train and one to validate")
    size = (args.size[0], args.size[1], args.size[2])
    root = args.dataset_root / PHANTOM
    return write_raw_phantom(root, args.phantom, seed=args.seed, size=size, num_workers=args.num_workers)
