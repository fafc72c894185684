"""`medicalseg predict`, `tools/predict.py`."""

from __future__ import annotations

import argparse

from medicalseg.cli.val import add_device_arguments

HELP = "Segment images with a checkpoint; no dataset and no export needed."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    add = parser.add_argument
    add("--config", required=True, help="YAML file the network was trained with")
    add("--model_path", required=True, help="weights: a .pdparams file or the folder that holds it")
    add("--image_path", required=True, help="a volume, a DICOM folder, a folder of volumes, or a .txt list")
    add("--save_dir", default="./output/predict", help="folder for the label maps (default: ./output/predict)")
    add("--label_path", help="references to score against: a volume, a folder or a .txt list; same names as the images")
    add("--overlays", type=int, default=3, choices=range(4),
        help="with --label_path, pictures of the best, median and worst case (default: 3)")  # fmt: skip
    add("--sw_num", type=int, metavar="N", help="sliding window, N windows at a time")
    add_device_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Segment everything; 2 if a case failed."""
    from medicalseg import ops

    ops.configure_process()
    from medicalseg.core.predict import conclude, predict_cases, write_report
    from medicalseg.core.task import task_for
    from medicalseg.core.trained import load_trained, open_config, sliding_from
    from medicalseg.inference import EagerNetwork
    from medicalseg.inference.inputs import Labels, check_output_folder, find_inputs
    from medicalseg.utils.environment import choose_device

    config = open_config(args.config, args.model_path, args.opts)
    task = task_for(config, args.model_path)
    cases = find_inputs(args.image_path, task.in_channels)
    check_output_folder(args.save_dir, cases, args.image_path, *([args.label_path] if args.label_path else []))
    labels = Labels(args.label_path) if args.label_path else None
    choose_device(args.device)
    model = load_trained(config, args.model_path, args.cpu_accel)
    sliding = sliding_from(config.test_config, task, model, args.sw_num)
    report = predict_cases(cases, task, EagerNetwork(model), args.save_dir, labels=labels, sliding=sliding)
    write_report(report, cases, task, args.save_dir, labels=labels, overlays=args.overlays)
    return conclude(report, cases, args.save_dir)
