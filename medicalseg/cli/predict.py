"""`medicalseg predict`, `tools/predict.py`."""

from __future__ import annotations

import argparse

from medicalseg.cli.backend import add_backend_arguments
from medicalseg.cli.measures import add_interval_arguments, add_measure_arguments, extras_from
from medicalseg.cli.members import (
    add_image_arguments,
    add_output_arguments,
    add_previous_arguments,
    add_window_arguments,
    previous_sources,
    single,
    sources,
)
from medicalseg.cli.val import add_device_arguments

HELP = "Segment images with a checkpoint, an exported model, or several of them; no dataset needed."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    add = parser.add_argument
    add("--config", required=True, nargs="+",
        help="YAML file the network was trained with, or a deploy.yaml; several: their mean")  # fmt: skip
    add("--model_path", nargs="+",
        help="weights: a .pdparams file or its folder; several: their mean; not with a deploy.yaml")  # fmt: skip
    add_image_arguments(parser)
    add("--save_dir", default="./output/predict", help="folder for the label maps (default: ./output/predict)")
    add("--label_path", help="references to score against: a volume, a folder or a .txt list; same names as the images")
    add("--overlays", type=int, default=3, choices=range(4),
        help="with --label_path, pictures of the best, median and worst case (default: 3)")  # fmt: skip
    add("--sw_num", type=int, metavar="N", help="sliding window, N windows at a time; N slices of a network for images")
    add_window_arguments(parser)
    add_output_arguments(parser)
    add_previous_arguments(parser.add_argument_group("cascade"))
    add_interval_arguments(parser, 0)
    add_measure_arguments(parser, ())
    add_device_arguments(parser)
    add_backend_arguments(parser.add_argument_group("exported models"), ["fp32", "bf16"])


def run(args: argparse.Namespace) -> int:
    """Segment everything; 2 if a case failed."""
    from medicalseg.core.predict import conclude, predict_cases, write_report
    from medicalseg.core.train_cases import together
    from medicalseg.inference.inputs import Labels, check_output_folder, inputs_for
    from medicalseg.inference.memory import parse_memory
    from medicalseg.ops.process import choose_threads

    choose_threads(args.cpu_threads)
    memory = None if args.memory is None else parse_memory(args.memory)
    found, earlier = sources(args), previous_sources(args)
    cases = inputs_for([source.task for source in found], args.image_path, args.series)
    check_output_folder(args.save_dir, cases, args.image_path, *([args.label_path] if args.label_path else []))
    labels = Labels(args.label_path) if args.label_path else None
    first, *others = single([source.load() for source in found])
    task = first.task
    exported = next((source.earlier for source in found if source.earlier), ())
    previous = single([source.load() for source in earlier]) if earlier else list(exported)
    report = predict_cases(
        cases,
        task,
        first.network,
        args.save_dir,
        labels=labels,
        sliding=first.inferer,
        others=others,
        previous=previous,
        uncertainty=args.uncertainty,
        memory=memory,
        extras=extras_from(args, found[0].test_config),
        train_cases=together(each.train_cases for each in (*found, *earlier)),
    )
    made_by = {"config": _named(args.config), "weights": _named(args.model_path)}
    write_report(report, cases, task, args.save_dir, labels=labels, overlays=args.overlays, run=made_by)
    return conclude(report, cases, args.save_dir)


def _named(files: list[str] | None) -> str | list[str] | None:
    """One file as itself, several as a list."""
    return files[0] if files is not None and len(files) == 1 else files
