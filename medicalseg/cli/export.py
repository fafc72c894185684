"""`medicalseg export`: write a trained network for inference backends."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medicalseg.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from medicalseg.inference import TaskSpec

PREVIOUS = "previous"
_Model = tuple[Any, str, "TaskSpec"]
HELP = "Write a model for deployment, with deploy.yaml, and check it in every backend against the trained network."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of PaddleSeg3D's export.py, and `--output_op`."""
    parser.add_argument(
        "--config",
        required=True,
        nargs="+",
        help="YAML configuration the network was trained with; one, or one per model",
    )
    parser.add_argument(
        "--model_path", required=True, nargs="+",
        help="weights: a .pdparams file or the folder that holds it; of several the probabilities are averaged",
    )  # fmt: skip
    parser.add_argument("--previous_config", nargs="+", help="of a cascade: configuration of the first network")
    parser.add_argument("--previous_model_path", nargs="+", help="of a cascade: weights of the first network")
    parser.add_argument("--save_dir", default="./output", help="where the exported files go")
    parser.add_argument(
        "--output_op", choices=("argmax", "softmax", "threshold", "sigmoid", "none"),
        help="what the model returns: labels (argmax; threshold of head sigmoid), probabilities or logits (none); "
        "default: labels, or logits where the task needs scores",
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
    from medicalseg.utils.logger import logger

    previous = None
    if bool(args.previous_config) != bool(args.previous_model_path):
        raise UserError("--previous_config and --previous_model_path belong together; give both")
    models = _opened(args.config, args.model_path, args.opts)
    if args.previous_config:
        earlier = _opened(args.previous_config, args.previous_model_path, None)
        usual = argparse.Namespace(**{**vars(args), "output_op": None, "without_argmax": False, "input_shape": None})
        previous = _export(usual, earlier, Path(args.save_dir) / PREVIOUS, None)
    target = _export(args, models, Path(args.save_dir), previous)
    logger.info("Exported model: %s", target)
    return 0


def _opened(configs: Sequence[str], paths: Sequence[str], opts: Sequence[str] | None) -> list[_Model]:
    """Configuration, weights and task of each; the task says how `predict` brings volumes through the network."""
    from medicalseg.core.task import task_for
    from medicalseg.core.trained import asked_task, open_config

    if len(configs) not in (1, len(paths)):
        raise UserError(f"{len(configs)} configurations for {len(paths)} models; give one, or one per model")
    models = []
    for config_path, path in zip(list(configs) * (len(paths) if len(configs) == 1 else 1), paths, strict=True):
        config = open_config(config_path, path, opts)
        models.append((config, path, asked_task(config.test_config, task_for(config, path), config.model)))
    return models


def _export(args: argparse.Namespace, models: Sequence[_Model], save_dir: Path, previous: Path | None) -> Path:
    """Write one network, or several as an ensemble; return the deploy.yaml."""
    from medicalseg.core.export_several import export_ensemble

    if len(models) == 1:
        return _export_one(args, models[0], save_dir, _output_op(args, models[0][2]), previous)
    asked = _output_op(args, models[0][2])
    if asked in ("argmax", "threshold"):
        raise UserError(f"--output_op {asked}: the scores of several networks are averaged; leave it out")

    def member(number: int, task: TaskSpec, folder: Path) -> Path:
        config, path, _ = models[number]
        return _export_one(args, (config, path, task), folder, asked or "none", None)

    return export_ensemble([task for _, _, task in models], member, save_dir, previous)


def _export_one(
    args: argparse.Namespace, model: _Model, save_dir: Path, output_op: str | None, previous: Path | None
) -> Path:
    from medicalseg.core.export import export
    from medicalseg.core.train_cases import train_cases_of
    from medicalseg.core.trained import load_trained

    config, path, task = model
    settings = config.export_config or {}
    return export(
        load_trained(config, path),
        task,
        save_dir,
        output_op=output_op,
        model_format=args.format,
        precision=args.precision,
        check_image=_check_image(args, task) if args.check_image else None,
        input_shape=args.input_shape,
        transforms=settings.get("transforms"),
        inference_helper=settings.get("inference_helper"),
        previous=previous,
        trained_on=train_cases_of(path),
    )


def _check_image(args: argparse.Namespace, task: TaskSpec) -> np.ndarray:
    import numpy as np

    from medicalseg.core.export import checked_shape
    from medicalseg.inference.cascade import EarlierIds, with_ids
    from medicalseg.inference.inputs import inputs_for
    from medicalseg.inference.slice_wise import middle_input

    image, _ = task.preprocessing.apply(inputs_for([task], args.check_image)[0].read(task))
    earlier, size = EarlierIds.of(task), checked_shape(args.input_shape, task)[2:]
    if earlier is None:
        return middle_input(image, task, size)
    image = with_ids(image, np.zeros(image.shape[1:], np.uint8))
    return earlier.expanded(middle_input(image, task, size))


def _output_op(args: argparse.Namespace, task: TaskSpec) -> str | None:
    if args.output_op or not args.without_argmax:
        return args.output_op
    return task.head if args.with_softmax else "none"
