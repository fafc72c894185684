"""`medicalseg infer`, `deploy/python/infer.py`: segment images with an exported model, without any training code."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from medicalseg.cli.arguments import truth
from medicalseg.cli.backend import add_backend_arguments, choose_device
from medicalseg.cli.members import (
    add_image_arguments,
    add_output_arguments,
    add_window_arguments,
    deployed,
    earlier_of,
    restored_as,
)
from medicalseg.errors import UserError

if TYPE_CHECKING:
    from medicalseg.inference import TaskSpec
    from medicalseg.inference.inputs import InputCase
    from medicalseg.inference.mixture import Member
    from medicalseg.inference.static_network import RuntimeOptions, StaticNetwork
    from medicalseg.inference.timings import Timings

HELP = "Segment images with an exported model."
IGNORED = {
    "is_nhwd": "the layout comes from deploy.yaml",
    "use_warmup": "with --benchmark the model is run once before the clock starts",
    "print_detail": "the table is always printed",
    "enable_auto_tune": "TensorRT's shapes come from deploy.yaml or --img_shape",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """PaddleSeg3D's flags with their names, and what else a deployment needs."""
    add = parser.add_argument
    add("--config", required=True, help="deploy.yaml that tools/export.py wrote, or its folder")
    add_image_arguments(parser)
    add("--label_path", help="references to score against: a volume, a folder or a .txt list; same names as the images")
    add("--save_dir", default="./output/infer", help="folder for the label maps (default: ./output/infer)")
    add("--batch_size", type=int, default=1, help="cases of the same network grid that run together (default: 1)")
    add("--overlays", type=int, default=0, choices=range(4), help="with --label_path, pictures of 1 to 3 cases")
    _add_device_arguments(parser.add_argument_group("device"))
    _add_window_arguments(parser.add_argument_group("large volumes"))
    add_output_arguments(parser)
    _add_benchmark_arguments(parser.add_argument_group("benchmark"))
    kept = parser.add_argument_group("kept for PaddleSeg3D's command lines, without effect")
    kept.add_argument("--with_argmax", action="store_true", help="labels are always written")
    for name, reason in IGNORED.items():
        kept.add_argument(f"--{name}", type=truth, metavar="BOOL", help=reason)
    kept.add_argument("--auto_tuned_shape_file", metavar="FILE", help="as --enable_auto_tune")


def _add_device_arguments(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--device", default="auto", help="cpu, gpu, gpu:N or auto: a GPU if Paddle is built for one (default)")
    add_backend_arguments(group, ["fp32", "bf16", "fp16", "int8"])
    add("--enable_mkldnn", type=truth, default=True, metavar="BOOL", help="oneDNN in Paddle (default: True)")
    add(
        "--use_trt",
        type=truth,
        default=False,
        metavar="BOOL",
        help="TensorRT on the GPU, with fp32, fp16, int8 (default: False)",
    )


def _add_window_arguments(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--use_swl", type=truth, default=False, metavar="BOOL", help="sliding window (default: False)")
    add("--img_shape", type=int, nargs="+",
        help="window of --use_swl, one size or one per axis; usual input of --use_trt")  # fmt: skip
    add("--sw_num", type=int, metavar="N",
        help="windows that run together (default: 1), or slices (default: a million pixels)")  # fmt: skip
    add_window_arguments(group)


def _add_benchmark_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--benchmark", type=truth, nargs="?", const=True, default=False, metavar="BOOL",
        help="print a table of latencies: read, pre, run, post, write")  # fmt: skip
    group.add_argument("--model_name", default="", help="title of that table")


def run(args: argparse.Namespace) -> int:
    """Segment everything; 2 if a case failed."""
    from medicalseg.core.predict import conclude, predict_cases, write_report
    from medicalseg.core.train_cases import train_cases_of_export
    from medicalseg.inference.inputs import Labels, check_output_folder, inputs_for
    from medicalseg.inference.memory import parse_memory
    from medicalseg.inference.static_network import StaticNetwork
    from medicalseg.ops.process import choose_threads
    from medicalseg.utils.logger import logger

    choose_threads(args.cpu_threads)
    if args.batch_size < 1:
        raise UserError(f"--batch_size must be at least 1, got {args.batch_size}")
    if args.with_argmax:
        logger.info("--with_argmax has no effect: labels are written in any case")
    network = StaticNetwork(args.config, _options(args))
    first, *others = deployed(network, lambda task, each: _asked(args, task, each))
    task = first.task
    cases = inputs_for([member.task for member in (first, *others)], args.image_path, args.series)
    check_output_folder(args.save_dir, cases, args.image_path, *([args.label_path] if args.label_path else []))
    labels = Labels(args.label_path) if args.label_path else None
    if args.benchmark:
        for member in (first, *others):
            _warm_up(member, cases[0], min(args.batch_size, len(cases)))
    report = predict_cases(
        cases,
        task,
        first.network,
        args.save_dir,
        labels=labels,
        sliding=first.inferer,
        others=others,
        batch_size=args.batch_size,
        ahead=0 if args.benchmark else 1,
        previous=earlier_of(network, args.tta),
        uncertainty=args.uncertainty,
        memory=None if args.memory is None else parse_memory(args.memory),
        train_cases=train_cases_of_export(network),
    )
    made_by = {"config": str(args.config)}
    write_report(report, cases, task, args.save_dir, labels=labels, overlays=args.overlays, run=made_by)
    if args.benchmark and report.timings.seconds:
        print(latency_table(report.timings, args.model_name or str(network.path), network))
    return conclude(report, cases, args.save_dir)


def latency_table(timings: Timings, title: str, network: StaticNetwork) -> str:
    """Milliseconds per stage over the cases: mean, median, 90th percentile."""
    import numpy as np

    options = network.options
    runtime = f"{network.backend}, {options.precision}, device {options.device}, {options.threads} threads"
    lines = [f"{title} ({runtime})", f"{'stage':8}{'cases':>7}{'mean ms':>11}{'median ms':>11}{'p90 ms':>11}"]
    for stage in timings.mean():
        values = 1000 * np.array(timings.seconds[stage])
        figures = (values.mean(), np.median(values), np.percentile(values, 90))
        lines.append(f"{stage:8}{len(values):>7}" + "".join(f"{figure:>11.1f}" for figure in figures))
    lines.append(f"{'total':8}{'':7}{1000 * sum(timings.mean().values()):>11.1f}")
    return "\n".join(lines)


def _options(args: argparse.Namespace) -> RuntimeOptions:
    from medicalseg.inference.static_network import RuntimeOptions

    shape = _usual_input(args.config, args.img_shape) if args.use_trt and args.img_shape else None
    return RuntimeOptions(
        device=choose_device(args.device, args.backend),
        backend=args.backend or "paddle",
        cpu_threads=args.cpu_threads,
        enable_mkldnn=args.enable_mkldnn,
        use_trt=args.use_trt,
        precision=args.precision,
        trt_shapes=(shape, shape, shape) if shape else None,
    )


def _usual_input(deploy: str, sizes: Sequence[int]) -> tuple[int, ...]:
    """(1, C, X, Y, Z), or (1, C, H, W) where the sizes are (columns, rows)."""
    from medicalseg.inference import TaskSpec
    from medicalseg.inference.backends import ModelFiles

    task = TaskSpec.from_dict(ModelFiles.read(deploy).description["task"])
    given = _sizes(sizes, task.spatial_axes)
    return (1, task.network_channels, *(given if task.slices is None else given[::-1]))


def _sizes(sizes: Sequence[int], axes: int) -> tuple[int, ...]:
    if len(sizes) not in (1, axes) or min(sizes) < 1:
        number = "three" if axes == 3 else "two"
        raise UserError(f"--img_shape needs one or {number} positive sizes, got {list(sizes)}")
    return tuple(sizes) * (axes // len(sizes))


def _asked(args: argparse.Namespace, task: TaskSpec, network: StaticNetwork) -> TaskSpec:
    """A task with what the flags say of windows, mirroring and restoring; `--sw_num` alone asks for no window."""
    from medicalseg.inference.asked_windows import with_sliding

    test = {"sliding": {"window": _window(args, task, network)}} if args.use_swl else {}
    slides = args.use_swl or task.slices is not None or "window" in (task.sliding or {})
    if args.overlap is not None and not slides:
        raise UserError("--overlap is of a sliding window: give --use_swl too")
    count = args.sw_num if slides else None
    asked = with_sliding(task, test, sw_num=count, overlap=args.overlap, mirror=args.tta)
    return restored_as(asked, args.restoring)


def _window(args: argparse.Namespace, task: TaskSpec, network: StaticNetwork) -> list[int]:
    if network.gives_labels:
        raise UserError(
            f"--use_swl: {network.path} was exported with {network.output_op}, and windows are joined by their scores; "
            f"export with --output_op none (or {task.head})"
        )
    if args.img_shape:
        return list(_sizes(args.img_shape, task.spatial_axes))
    if task.sliding is not None and "window" in task.sliding:
        return task.sliding["window"]
    size = task.preprocessing.size or (None,) * 3
    window = [side for axis, side in enumerate(size) if task.slices is None or axis in task.slices.plane]
    known = [side for side in window if side is not None]
    if known != window:
        axes = "X Y Z" if task.slices is None else "COLUMNS ROWS"
        raise UserError(f"--use_swl: this model has no fixed input size; give the window with --img_shape {axes}")
    return known


def _warm_up(member: Member, case: InputCase, batch_size: int) -> None:
    """Run a network once, on the first case and as it will be run; an error comes again, where the case is named."""
    from medicalseg.core.predict import FAILURES
    from medicalseg.inference.pipeline import prepare, run_network
    from medicalseg.inference.timings import Timings

    with contextlib.suppress(*FAILURES):
        image, record = prepare(case.read(member.task), member.task, Timings())
        images, records = [image] * batch_size, [record] * batch_size
        run_network(images, records, member.task, member.network, member.inferer)
