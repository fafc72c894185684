"""`medicalseg verify`: check a dataset and say what is wrong with it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medicalseg.datasets.verify.source import Source

HELP = (
    "Check a dataset: pairs, shapes, geometry, label ids, duplicates, intensities, split. "
    "Exit code 2 if there are errors, 0 if there are none or only warnings."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument(
        "dataset",
        nargs="?",
        type=Path,
        help="an MSD, nnU-Net or BIDS folder, a prepared folder (list files), one with images/ and labels/, one with "
        "both side by side, or one with pictures in images/ and masks/",
    )
    parser.add_argument("--config", type=Path, help="check the data of this configuration, instead of DATASET")
    parser.add_argument(
        "--group_pattern", help="of pictures: regular expression whose first group is the patient in a case's name"
    )
    parser.add_argument("--images", type=Path, help="folder of images, instead of DATASET")
    parser.add_argument("--labels", type=Path, help="folder of their labels (default: the same folder)")
    parser.add_argument("--label_suffix", help="what a label's name has after its image's name (default: usual words)")
    parser.add_argument("--dataset_json", help="the description to use, if the folder has several")
    parser.add_argument("--labels_dir", help="label folder in DATASET, if not as described")
    parser.add_argument("--num_classes", type=int, help="allow the ids 0 to NUM_CLASSES - 1 (default: as described)")
    parser.add_argument("--ignore_index", type=int, help="id that is no class (default: as described, else 255)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything found to this file")
    parser.add_argument(
        "--num_workers", type=int, default=min(4, os.cpu_count() or 1), help="processes (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Verify and print."""
    from medicalseg.datasets.verify.run import verify_dataset
    from medicalseg.utils.files import write_json

    _check(args)
    report = verify_dataset(
        _source(args), num_classes=args.num_classes, ignore_index=args.ignore_index, num_workers=args.num_workers
    )
    print(report.render())
    if args.json is not None:
        write_json(args.json, report.to_dict())
    return report.exit_code


def _check(args: argparse.Namespace) -> None:
    from medicalseg.errors import UserError

    if sum(value is not None for value in (args.dataset, args.images, args.config)) > 1:
        raise UserError("give one of DATASET, --images and --config")
    if args.labels is not None and args.images is None:
        raise UserError("--labels needs --images")
    if args.group_pattern is not None and args.config is not None:
        raise UserError("--group_pattern: with --config the pattern is that of train_dataset")
    if args.num_classes is not None and args.num_classes < 1:
        raise UserError(f"--num_classes: expected a positive number, got {args.num_classes}")


def _source(args: argparse.Namespace) -> Source:
    from medicalseg.datasets.splits import group_by_pattern
    from medicalseg.datasets.verify.picture_folders import picture_folders
    from medicalseg.datasets.verify.picture_source import open_config, open_pictures
    from medicalseg.datasets.verify.source import open_source
    from medicalseg.datasets.verify.volume_config import describes_arrays, describes_volumes, open_arrays, open_volumes
    from medicalseg.errors import UserError

    if args.config is not None:
        datasets = _datasets(args.config)
        if describes_arrays(datasets):
            return open_arrays(datasets)
        return open_volumes(datasets) if describes_volumes(datasets) else open_config(datasets, args.num_classes)
    folders = picture_folders(args.dataset, args.images, args.labels)
    if folders is not None:
        group_of = group_by_pattern(args.group_pattern) if args.group_pattern else None
        return open_pictures(args.dataset or Path(), *folders, num_classes=args.num_classes, group_of=group_of)
    if args.group_pattern is not None:
        raise UserError("--group_pattern is of pictures, in images/ and masks/; there are none")
    return open_source(
        args.dataset,
        args.images,
        args.labels,
        dataset_json=args.dataset_json,
        labels_dir=args.labels_dir,
        label_suffix=args.label_suffix,
    )


def _datasets(path: Path) -> dict[str, Any]:
    """The dataset blocks of a configuration, folders made complete."""
    from medicalseg.cvlibs import Config, effective

    config = Config(path, log_notes=False)
    keys = [key for key in ("train_dataset", "val_dataset") if config.dic.get(key)]
    config.require_data(*keys)
    return {key: effective.dataset(config.dic, key)[0] for key in keys}
