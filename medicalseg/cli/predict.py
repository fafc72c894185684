"""`medicalseg predict`, `tools/predict.py`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from medicalseg.cli.backend import add_backend_arguments, is_exported, options_from, refuse_for_checkpoint
from medicalseg.cli.val import add_device_arguments
from medicalseg.errors import UserError

if TYPE_CHECKING:
    from medicalseg.inference import Inferer, Network, TaskSpec

HELP = "Segment images with a checkpoint, or with an exported model; no dataset needed."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    add = parser.add_argument
    add("--config", required=True, help="YAML file the network was trained with, or the deploy.yaml of an export")
    add("--model_path", help="weights: a .pdparams file or the folder that holds it; not with a deploy.yaml")
    add("--image_path", required=True, help="a volume, a DICOM folder, a folder of volumes, or a .txt list")
    add("--save_dir", default="./output/predict", help="folder for the label maps (default: ./output/predict)")
    add("--label_path", help="references to score against: a volume, a folder or a .txt list; same names as the images")
    add("--overlays", type=int, default=3, choices=range(4),
        help="with --label_path, pictures of the best, median and worst case (default: 3)")  # fmt: skip
    add("--sw_num", type=int, metavar="N", help="sliding window, N windows at a time; N slices of a network for images")
    add_device_arguments(parser)
    add_backend_arguments(parser.add_argument_group("exported models"), ["fp32", "bf16"])


def run(args: argparse.Namespace) -> int:
    """Segment everything; 2 if a case failed."""
    from medicalseg.core.predict import conclude, predict_cases, write_report
    from medicalseg.inference.inputs import Labels, check_output_folder, find_inputs
    from medicalseg.ops.process import choose_threads

    choose_threads(args.cpu_threads)
    task, load = _exported(args) if is_exported(args.config) else _trained(args)
    cases = find_inputs(args.image_path, task.files_per_image)
    check_output_folder(args.save_dir, cases, args.image_path, *([args.label_path] if args.label_path else []))
    labels = Labels(args.label_path) if args.label_path else None
    network, sliding = load()
    report = predict_cases(cases, task, network, args.save_dir, labels=labels, sliding=sliding)
    made_by = {"config": str(args.config), "weights": args.model_path}
    write_report(report, cases, task, args.save_dir, labels=labels, overlays=args.overlays, run=made_by)
    return conclude(report, cases, args.save_dir)


def _trained(args: argparse.Namespace) -> tuple[TaskSpec, Callable[[], tuple[Network, Inferer | None]]]:
    from medicalseg import ops

    ops.configure_process()
    from medicalseg.core.fit import check_network
    from medicalseg.core.task import task_for
    from medicalseg.core.trained import load_trained, open_config, sliding_from
    from medicalseg.inference import EagerNetwork
    from medicalseg.utils.environment import choose_device

    refuse_for_checkpoint(args)
    if not args.model_path:
        raise UserError("--model_path: give the weights, a .pdparams file or the folder that holds it")
    config = open_config(args.config, args.model_path, args.opts)
    task = task_for(config, args.model_path)

    def load() -> tuple[Network, Inferer | None]:
        choose_device(args.device)
        model = load_trained(config, args.model_path, args.cpu_accel)
        check_network(model, task)
        return EagerNetwork(model, task.decision), sliding_from(config.test_config, task, model, args.sw_num)

    return task, load


def _exported(args: argparse.Namespace) -> tuple[TaskSpec, Callable[[], tuple[Network, Inferer | None]]]:
    from medicalseg.core.trained import sliding_from
    from medicalseg.inference.static_network import StaticNetwork

    for flag in ("model_path", "opts", "cpu_accel"):
        if getattr(args, flag):
            raise UserError(f"--{flag} belongs to a checkpoint; {args.config} is an exported model")
    network = StaticNetwork(args.config, options_from(args))
    if args.sw_num and network.task.slices is None and network.gives_labels:
        raise UserError(
            f"--sw_num: {network.path} was exported with {network.output_op}, and windows are joined by their scores; "
            f"export with --output_op none (or {network.task.head})"
        )
    return network.task, lambda: (network, sliding_from({}, network.task, None, args.sw_num))
