"""Any dataset in the folders of the Medical Segmentation Decathlon or nnU-Net."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from medicalseg.datasets.decathlon_layout import Layout, descriptions, find_cases, read_layout
from medicalseg.datasets.prepare import engine
from medicalseg.datasets.prepare.arguments import add_archives, add_common, add_size, check_common, make_split
from medicalseg.datasets.prepare.job import CaseSource, Job, Recipe
from medicalseg.datasets.prepare.lung_coronavirus import preprocessing as lung_preprocessing
from medicalseg.datasets.prepare.raw import raw_folder
from medicalseg.datasets.splits import Split, read_splits
from medicalseg.errors import DataError, UserError
from medicalseg.inference.preprocess import Preprocessing

HELP = "prepare any dataset in MSD's or nnU-Net's folders (dataset.json, imagesTr, labelsTr)"
HOW_TO_GET = (
    "Tasks of the Medical Segmentation Decathlon are public (medicaldecathlon.com): fetch a task's tar file and pass "
    "it with --archive, pass its address with --url, or pass the unpacked folder with --task"
)
INTENSITIES = ("auto", "hu", "window", "percentile", "zscore", "minmax", "none")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this preparation's flags."""
    add_common(parser, "data/msd")
    add_archives(parser)
    parser.add_argument("--task", type=Path, help="the dataset's folder, same as --raw_dir")
    parser.add_argument("--dataset_json", help="name of the description, if not dataset.json")
    parser.add_argument("--images_dir", help="folder of the images (default: as listed, else imagesTr)")
    parser.add_argument("--labels_dir", help="folder of the labels (default: as listed, else labelsTr)")
    parser.add_argument(
        "--intensity",
        choices=INTENSITIES,
        default="auto",
        help="hu: -1200..600 HU to 0..255 (PaddleSeg3D's for every task); window: --window to 0..1; "
        "percentile: 0.5..99.5 %% to 0..1; auto (default): hu for CT, percentile for the rest",
    )
    parser.add_argument("--window", type=float, nargs=2, metavar=("LOW", "HIGH"), help="for --intensity window")
    add_size(parser, None)
    parser.add_argument("--spacing", type=float, nargs=3, metavar=("X", "Y", "Z"), help="voxel size in mm")
    parser.add_argument("--orientation", help="axis codes to turn to, such as RAS (default: as stored)")
    parser.add_argument("--fold", type=int, help="use this fold of splits_final.json instead of a drawn split")
    parser.add_argument("--with_test", action="store_true", help="prepare the cases without labels (imagesTs) too")


def run(args: argparse.Namespace) -> int:
    """Prepare; the exit code is 2 if a case is broken."""
    check_common(args)
    if args.task and args.raw_dir:
        raise UserError("--task and --raw_dir: give one of them")
    args.raw_dir = args.task or args.raw_dir
    raw = _task_folder(raw_folder(args, args.dataset_root / "raw", HOW_TO_GET), args)
    layout = read_layout(raw, args.dataset_json)
    if layout.label_map(num_classes=1) is not None:
        raise DataError(
            f"{layout.description}: its classes have several values each, which a prepared folder cannot keep; train "
            "on the folder as it is, with the dataset PatchDataset or DecathlonDataset"
        )
    cases = _sources(find_cases(layout, "training", args.images_dir, args.labels_dir))
    if not cases:
        raise DataError(f"{layout.root}: lists no training case and imagesTr holds none")
    output = args.dataset_root / f"{Path(os.path.abspath(raw)).name}_phase0"
    recipe = Recipe(output, preprocessing(layout, args), raw, layout.num_classes, layout.ignore_index)
    job = Job(
        recipe=recipe,
        cases=cases,
        split=partial(_split, layout, args),
        test=_sources(find_cases(layout, "test")) if args.with_test else (),
        labels=layout.labels,
        description=_description(layout),
    )
    return engine.run(job, num_workers=args.num_workers, force=args.force).exit_code


def preprocessing(layout: Layout, args: argparse.Namespace) -> Preprocessing:
    """The steps that the flags choose.

    Raises:
        UserError: --window is missing or makes no sense.
    """
    size = args.size if args.size or args.spacing else [128, 128, 128]
    return Preprocessing(
        orientation=args.orientation,
        intensity=_intensity(layout, args),
        spacing=tuple(args.spacing) if args.spacing else None,
        size=tuple(size) if size else None,
        fit="pad" if args.spacing and size else "resize",
    )


def _intensity(layout: Layout, args: argparse.Namespace) -> tuple[dict[str, Any], ...]:
    choice = args.intensity
    if args.window and choice not in ("window", "auto"):
        raise UserError(f"--window: goes with --intensity window, not {choice}")
    if args.window or choice == "window":
        if not args.window or args.window[0] >= args.window[1]:
            raise UserError("--intensity window: give --window LOW HIGH with LOW < HIGH")
        return ({"type": "window", "low": args.window[0], "high": args.window[1]},)
    if choice == "auto":
        ct = bool(layout.channels) and all(name.strip().upper() == "CT" for name in layout.channels)
        choice = "hu" if ct else "percentile"
    if choice == "hu":
        return lung_preprocessing((1, 1, 1)).intensity
    return () if choice == "none" else ({"type": choice},)


def _task_folder(folder: Path, args: argparse.Namespace) -> Path:
    """The folder with the description: as given, or the only one inside what was unpacked."""
    if args.raw_dir or descriptions(folder):
        return folder
    found = sorted(
        {path.parent for path in folder.glob("*/*/*.json")} | {path.parent for path in folder.glob("*/*.json")}
    )
    found = [path for path in found if descriptions(path)]
    if len(found) != 1:
        names = ", ".join(str(path) for path in found) or "none"
        raise DataError(f"{folder}: expected one dataset in it, found {names}; choose one with --task. {HOW_TO_GET}")
    return found[0]


def _sources(cases: Sequence[Any]) -> list[CaseSource]:
    return [CaseSource(case.name, case.images, case.label) for case in cases]


def _split(layout: Layout, args: argparse.Namespace, names: Sequence[str]) -> Split:
    if args.fold is None:
        return make_split(names, args)
    folds = read_splits(layout.root / "splits_final.json")
    if not 0 <= args.fold < len(folds):
        raise UserError(f"--fold {args.fold}: splits_final.json has folds 0 to {len(folds) - 1}")
    split = folds[args.fold]
    missing = sorted((set(split.train) | set(split.val)) - set(names))
    if missing:
        raise DataError(
            f"{layout.root / 'splits_final.json'}: names cases that are not there: {', '.join(missing[:5])}"
        )
    rule = split.rule or f"fold {args.fold} of splits_final.json"
    return Split(split.train, split.val, split.test, rule, split.seed, split.leaking)


def _description(layout: Layout) -> dict[str, Any]:
    content = layout.content
    keys = ("name", "description", "reference", "licence")
    text = {key: str(content.get(key, "")) for key in keys}
    text["name"] = text["name"] or Path(os.path.abspath(layout.root)).name
    text["licence"] = text["licence"] or str(content.get("license", ""))
    return {**text, "modality": {str(index): name for index, name in enumerate(layout.channels)}}
