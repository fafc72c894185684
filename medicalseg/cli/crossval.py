"""`medicalseg crossval`, `tools/crossval.py`."""

from __future__ import annotations

import argparse

from medicalseg.cli import train as training
from medicalseg.cli.measures import add_measure_arguments, measures_from

HELP = "Cross-validate: train every fold, predict its validation cases, choose postprocessing, sum up."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `train`, and those of the summary."""
    training.add_arguments(parser, all_cases=False)
    add = parser.add_argument
    add("--weights", choices=("final", "best"), default="final",
        help="which weights of each fold count; best ones were chosen on the same cases (default: final)")  # fmt: skip
    add("--postprocessing", choices=("auto", "none"), default="auto",
        help="choose postprocessing where it helps, or leave the labels as they are (default: auto)")  # fmt: skip
    add("--bootstrap", type=int, default=1000, metavar="N", help="resamples of the confidence interval (default: 1000)")
    add_measure_arguments(parser, ("dice", "nsd", "hd95"))


def run(args: argparse.Namespace) -> int:
    """Train what is missing, predict, choose, sum up."""
    training.refuse_old(args)
    training.launch_ranks(args)
    training.configure()
    from medicalseg.core.crossval import CrossvalOptions, crossval
    from medicalseg.core.folds import parse_folds

    options = training.options_of(args)
    summing = CrossvalOptions(
        weights=args.weights,
        choose=args.postprocessing == "auto",
        bootstrap=args.bootstrap,
        measures=measures_from(args),
        level_orders=tuple(tuple(order) for order in args.level_order),
        opts=tuple(args.opts or ()),
    )
    crossval(training.opener(args), options, parse_folds(args.folds or ["all"]), summing)
    return 0
