"""`medicalseg compare`, `tools/compare.py`."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = (
    "One table and one picture of several runs: network, parameters, MACs, Dice per class group and class, time per "
    "case, memory. Runs on different cases or grids are told apart in a note."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    add = parser.add_argument
    add("runs", nargs="+", metavar="RUN",
        help="save_dir of a training, or of crossval, val, predict or infer; NAME=FOLDER gives it a name")  # fmt: skip
    add("--out", type=Path, metavar="FOLDER", help="also write comparison.md, comparison.csv and comparison.png there")


def run(args: argparse.Namespace) -> None:
    """Read the reports, print the tables, write the files."""
    from medicalseg import ops

    ops.configure_process()
    from medicalseg.core.compare import differences, load_runs
    from medicalseg.reports.comparison import render_comparison, write_comparison
    from medicalseg.utils.files import output_folder
    from medicalseg.utils.logger import logger

    folder = None if args.out is None else output_folder(args.out, "--out")
    runs = load_runs(args.runs)
    notes = differences(runs)
    print(render_comparison(runs, notes))
    if folder is not None:
        paths = write_comparison(folder, runs, notes)
        logger.info("Written: %s in %s", ", ".join(path.name for path in paths), folder)
