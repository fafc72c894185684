"""`medicalseg export`: write a trained network for inference backends."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from medicalseg.inference import TaskSpec

HELP = "Write a model for deployment, with deploy.yaml, and check it in every backend against the trained network."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of PaddleSeg3D's export.py, and `--output_op`."""
    parser.add_argument("--config", required=True, help="YAML configuration the network was trained with")
    parser.add_argument("--model_path", required=True, help="weights: a .pdparams file or the folder that holds it")
    parser.add_argument("--save_dir", default="./output", help="where the exported files go")
    parser.add_argument(
        "--output_op", choices=("argmax", "softmax", "threshold", "sigmoid", "none"),
        help="what the model returns: labels (argmax; threshold of head sigmoid; default), probabilities or logits",
    )  # fmt: skip
    parser.add_argument("--without_argmax", action="store_true", help="return scores instead of labels")
    parser.add_argument(
        "--with_softmax", action="store_true", help="return the head's probabilities (with --without_argmax)"
    )
    parser.add_argument(
        "--format", choices=("paddle", "onnx", "all"), default="paddle",
        help="paddle: for Paddle Inference (default); onnx: for ONNX Runtime and OpenVINO; all: both",
    )  # fmt: skip
    parser.add_argument(
        "--precision", choices=("fp32", "bf16"), default="fp32",
        help="bf16: it is an error if a backend's labels in bf16 differ too much (by default it is noted)",
    )  # fmt: skip
    parser.add_argument("--check_image", metavar="FILE", help="an image to check on (default: smooth noise)")
    parser.add_argument("--input_shape", type=int, nargs="+", help="N C X Y Z, or N C H W, -1 = any (default)")
    parser.add_argument("--opts", nargs="+", action="extend", metavar="KEY=VALUE", help="replace any value of the file")


def run(args: argparse.Namespace) -> int:
    """Export and print where the files are."""
    from medicalseg import ops

    ops.configure_process()
    from medicalseg.core.export import export
    from medicalseg.core.task import task_for
    from medicalseg.core.trained import load_trained, open_config
    from medicalseg.utils.logger import logger

    config = open_config(args.config, args.model_path, args.opts)
    task = task_for(config, args.model_path)
    model = load_trained(config, args.model_path)
    settings = config.export_config or {}
    target = export(
        model,
        task,
        args.save_dir,
        output_op=_output_op(args, task),
        model_format=args.format,
        precision=args.precision,
        check_image=_check_image(args.check_image, task) if args.check_image else None,
        input_shape=args.input_shape,
        transforms=settings.get("transforms"),
        inference_helper=settings.get("inference_helper"),
    )
    logger.info("Exported model: %s", target)
    return 0


def _check_image(path: str, task: TaskSpec) -> np.ndarray:
    from medicalseg.inference.inputs import find_inputs
    from medicalseg.inference.slice_wise import middle_planes

    image, _ = task.preprocessing.apply(find_inputs(path, task.files_per_image)[0].read())
    return image[None] if task.slices is None else middle_planes(image, task.slices)


def _output_op(args: argparse.Namespace, task: TaskSpec) -> str | None:
    if args.output_op or not args.without_argmax:
        return args.output_op
    return task.head if args.with_softmax else "none"
