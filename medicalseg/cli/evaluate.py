"""`medicalseg evaluate`, `tools/evaluate.py`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medicalseg.core.evaluate_folders import Evaluation
    from medicalseg.inference.task import TaskSpec

HELP = (
    "Score label maps against references: Dice, surface distances, volumes, detection, level numbers, with confidence "
    "intervals. Predictions of any program, in any readable format; names tell which belong together."
)
METRICS = ("dice", "nsd", "hd", "hd95", "assd", "volume", "detection")
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
    add("--metrics", nargs="+", choices=METRICS, default=["dice", "nsd", "hd95"], metavar="NAME",
        help=f"of {', '.join(METRICS)} (default: dice nsd hd95)")  # fmt: skip
    add("--tolerance_mm", type=float, default=1.0, metavar="MM", help="of the surface Dice (default: 1)")
    add("--level_order", type=int, nargs="+", action="append", default=[], metavar="ID",
        help="class ids of numbered structures from one end to the other; again for another row of them")  # fmt: skip
    add("--missing", choices=MISSING, default="error",
        help="references without a prediction: stop, score as empty, or leave out (default: error)")  # fmt: skip
    add("--bootstrap", type=int, default=1000, metavar="N",
        help="draws for the 95 %% confidence intervals over cases; 0: none (default: 1000)")  # fmt: skip
    add("--seed", type=int, default=0, help="of these draws (default: 0)")
    add("--num_workers", type=int, default=0, help="processes (default: 0, this one)")
    _add_detection(parser.add_argument_group("detection"))
    _add_outputs(parser.add_argument_group("files"))


def _add_detection(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--detection_rule", choices=("iou", "overlap"), default="iou",
        help="parts are paired one to one by IoU, or found by the share that overlaps (default: iou)")  # fmt: skip
    add("--detection_threshold", type=float, default=0.1, metavar="T", help="least IoU or share (default: 0.1)")
    add("--connectivity", type=int, choices=(1, 2, 3), default=3,
        help="voxels of a part touch at faces, also edges, also corners (default: 3)")  # fmt: skip
    add("--min_volume_mm3", type=float, default=0.0, metavar="V", help="smaller parts are left out (default: 0)")


def _add_outputs(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--save_dir", type=Path, metavar="FOLDER",
        help="write metrics.json, metrics.csv, metrics.md and summary.json (nnU-Net's form) there")  # fmt: skip
    add("--json", type=Path, metavar="FILE", help="write all figures there")
    add("--csv", type=Path, metavar="FILE", help="write a row per case and class there")
    add("--markdown", type=Path, metavar="FILE", help="write the tables there")
    add("--nnunet_summary", type=Path, metavar="FILE", help="write the form of nnU-Net's summary.json there")


def run(args: argparse.Namespace) -> None:
    """Score, print the table, write the files."""
    from medicalseg.core.evaluate_folders import evaluate_folders
    from medicalseg.metrics import DetectionRule, MeasureOptions
    from medicalseg.reports import render_table
    from medicalseg.utils.files import output_folder

    if args.save_dir is not None:
        output_folder(args.save_dir)
    rule = DetectionRule(args.detection_rule, args.detection_threshold, args.connectivity, args.min_volume_mm3)
    evaluation = evaluate_folders(
        args.pred_dir,
        args.ref_dir,
        task=_task(args),
        options=MeasureOptions(tuple(args.metrics), args.tolerance_mm, rule),
        level_orders=args.level_order,
        missing=args.missing,
        num_workers=args.num_workers,
        bootstrap=args.bootstrap,
        seed=args.seed,
    )
    print(render_table(evaluation.summary))
    _write(args, evaluation)


def _task(args: argparse.Namespace) -> TaskSpec | None:
    from medicalseg.core.label_task import configured_task, described_task

    if args.config:
        return configured_task(args.config)
    return described_task(args.labels) if args.labels else None


def _write(args: argparse.Namespace, evaluation: Evaluation) -> None:
    from medicalseg.reports.evaluation_files import write_evaluation
    from medicalseg.utils.logger import logger

    files = {"json": args.json, "csv": args.csv, "markdown": args.markdown, "nnunet": args.nnunet_summary}
    if args.save_dir is not None:
        names = {"json": "metrics.json", "csv": "metrics.csv", "markdown": "metrics.md", "nnunet": "summary.json"}
        files = {kind: files[kind] or args.save_dir / name for kind, name in names.items()}
    facts = {"predictions": str(args.pred_dir), "references": str(args.ref_dir), "tolerance_mm": args.tolerance_mm}
    written = write_evaluation(evaluation, files, facts)
    if written:
        logger.info("Written: %s", ", ".join(map(str, written)))
