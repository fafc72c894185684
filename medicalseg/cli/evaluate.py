"""`medicalseg evaluate`, `tools/evaluate.py`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from medicalseg.cli.measures import add_interval_arguments, add_measure_arguments, measures_from
from medicalseg.errors import UserError

if TYPE_CHECKING:
    from medicalseg.inference.task import TaskSpec

HELP = (
    "Score label maps against references: Dice, surface distances, volumes, detection, level numbers, with confidence "
    "intervals. Predictions of any program, in any readable format; names tell which belong together."
)
NAMES = {"json": "metrics.json", "csv": "metrics.csv", "markdown": "metrics.md", "nnunet": "summary.json"}
MISSING = ("error", "zero", "skip")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    add = parser.add_argument
    add("pred_dir", metavar="PRED_DIR", help="predictions: a folder, a .txt list, or one label map")
    add("ref_dir", metavar="REF_DIR", help="references of the same names: a folder, a .txt list, or one label map")
    classes = parser.add_mutually_exclusive_group()
    classes.add_argument(
        "--labels",
        metavar="FILE",
        help="dataset.json with the classes (default: one in or beside the folders, else every value found)",
    )
    classes.add_argument(
        "--config",
        metavar="FILE",
        help="take classes, regions and groups from a YAML configuration, a deploy.yaml or a folder of weights",
    )
    add("--opts", nargs="+", action="extend", metavar="KEY=VALUE", help="replace any value of a YAML configuration")
    add("--missing", choices=MISSING, default="error",
        help="references without a prediction: stop, score as empty, or leave out (default: error)")  # fmt: skip
    add("--num_workers", type=int, default=0, help="processes (default: 0, this one)")
    add_measure_arguments(parser, ("dice", "nsd", "hd95"))
    add_interval_arguments(parser, 1000)
    _add_outputs(parser.add_argument_group("files"))


def _add_outputs(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--save_dir", type=Path, metavar="FOLDER",
        help="write metrics.json, metrics.csv, metrics.md and summary.json (nnU-Net's form) there")  # fmt: skip
    add("--json", type=Path, metavar="FILE", help="write all figures there")
    add("--csv", type=Path, metavar="FILE", help="write a row per case and class there")
    add("--markdown", type=Path, metavar="FILE", help="write the tables there")
    add("--nnunet_summary", type=Path, metavar="FILE", help="write the form of nnU-Net's summary.json there")


def run(args: argparse.Namespace) -> int:
    """Score, write the files, print the table; 2 if a case could not be scored."""
    from medicalseg.core.evaluate_folders import evaluate_folders
    from medicalseg.reports import render_table
    from medicalseg.reports.evaluation_files import write_evaluation
    from medicalseg.utils.files import output_folder
    from medicalseg.utils.logger import logger

    if args.save_dir is not None:
        output_folder(args.save_dir)
    files = _files(args)
    evaluation = evaluate_folders(
        args.pred_dir,
        args.ref_dir,
        task=_task(args),
        options=measures_from(args),
        level_orders=args.level_order,
        missing=args.missing,
        num_workers=args.num_workers,
        bootstrap=args.bootstrap,
        seed=args.seed,
    )
    facts = {"predictions": str(args.pred_dir), "references": str(args.ref_dir), "tolerance_mm": args.tolerance_mm}
    written = write_evaluation(evaluation, files, facts)
    print(render_table(evaluation.summary))
    if written:
        logger.info("Written: %s", ", ".join(map(str, written)))
    if evaluation.failed:
        several = len(evaluation.failed) + len(evaluation.pairs)
        logger.error(
            "%d of %d cases could not be scored: %s", len(evaluation.failed), several, ", ".join(evaluation.failed)
        )
        return 2
    return 0


def _task(args: argparse.Namespace) -> TaskSpec | None:
    from medicalseg.core.label_task import configured_task, described_task

    if args.config:
        return configured_task(args.config, args.opts)
    return described_task(args.labels) if args.labels else None


def _files(args: argparse.Namespace) -> dict[str, Path]:
    """The file of every kind that is asked for, none of them among the label maps."""
    asked = {"json": args.json, "csv": args.csv, "markdown": args.markdown, "nnunet": args.nnunet_summary}
    files = {kind: path for kind, path in asked.items() if path is not None}
    if args.save_dir is not None:
        files = {kind: args.save_dir / name for kind, name in NAMES.items()} | files
    inputs = [Path(folder).resolve() for folder in (args.pred_dir, args.ref_dir)]
    for path in files.values():
        folder = next((folder for folder in inputs if folder in path.resolve().parents), None)
        if folder is not None:
            raise UserError(f"{path} lies in the input folder {folder}; nothing is written there: give another place")
    return files
