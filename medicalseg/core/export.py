"""Export: a trained network becomes files that an inference backend runs, with everything a prediction needs.

`deploy.yaml` names the files that were written and holds the task (preprocessing, classes, groups), the input shape,
the kind of output, versions and SHA-256 sums. After writing, the model is loaded into every backend that is installed,
compared with the network it came from, and the outcome is noted in `deploy.yaml`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import yaml
from paddle import nn

from medicalseg import __version__
from medicalseg.core import export_onnx, train_cases
from medicalseg.core.export_check import check_backends, image_like
from medicalseg.core.export_graph import compose_group_norms, fold_batch_norms
from medicalseg.core.export_leftovers import named_files, remove
from medicalseg.core.export_notes import notes
from medicalseg.core.fit import check_network
from medicalseg.core.only_size import with_windows
from medicalseg.errors import UserError
from medicalseg.inference.backends import ModelFiles
from medicalseg.inference.inference_helper import check_helper
from medicalseg.inference.slice_wise import SMALLEST_PLANE
from medicalseg.inference.task import TaskSpec
from medicalseg.utils.files import file_hash, output_folder, write_text
from medicalseg.utils.logger import logger

OUTPUT_OPS = {"softmax": ("argmax", "softmax", "none"), "sigmoid": ("threshold", "sigmoid", "none")}
FORMATS = ("paddle", "onnx", "all")
PRECISIONS = ("fp32", "bf16")
SMALLEST_CHECK = 16
USUAL_PLANE = 128
ONNX_FILE = "model.onnx"


class _Deployed(nn.Layer):
    """The main head of a network with the output operation that deployment wants."""

    def __init__(self, model: nn.Layer, output_op: str, smallest_logit: float = 0.0) -> None:
        super().__init__()
        self.model = model
        self.output_op, self.smallest_logit = output_op, smallest_logit

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Labels (N, ...) int32: ids or codes; or probabilities or logits (N, K, ...) float32."""
        logits = self.model(x)[0]
        if self.output_op == "threshold":
            return _codes(logits, self.smallest_logit)
        if self.output_op == "sigmoid":
            return nn.functional.sigmoid(logits)
        if self.output_op == "argmax":
            return paddle.argmax(logits, axis=1, dtype="int32")
        if self.output_op == "softmax":
            return nn.functional.softmax(logits, axis=1)
        return logits


def _codes(logits: paddle.Tensor, smallest_logit: float) -> paddle.Tensor:
    """Codes (N, ...) int32 of logits (N, K, ...): bit k is set where channel k reaches the smallest logit."""
    present = (logits >= smallest_logit).astype("int32")
    bits = [present[:, channel] * (1 << channel) for channel in range(logits.shape[1])]
    return functools.reduce(paddle.add, bits)


def export(
    model: nn.Layer,
    task: TaskSpec,
    save_dir: str | Path,
    *,
    output_op: str | None = None,
    model_format: str = "paddle",
    precision: str = "fp32",
    input_shape: Sequence[int | None] | None = None,
    check_image: np.ndarray | None = None,
    transforms: Sequence[Mapping[str, Any]] | None = None,
    inference_helper: Mapping[str, Any] | None = None,
    previous: str | Path | None = None,
    trained_on: train_cases.TrainCases = None,
) -> Path:
    """Write `model` for inference backends, check it in each, and return the path of its deploy.yaml.

    Args:
        model: a network whose forward returns a list of logits, the main head first.
        task: what goes into deploy.yaml so that a prediction needs nothing else.
        save_dir: receives the model files and deploy.yaml.
        output_op: int32 labels ("argmax" of a softmax, "threshold" of sigmoids), probabilities ("softmax", "sigmoid")
            or "none" (logits); default: labels, or logits where the task's sliding window or restoring needs them.
        model_format: "paddle" (Paddle Inference), "onnx" (ONNX Runtime and OpenVINO) or "all".
        precision: "bf16" makes an error of what is otherwise noted: a backend's bfloat16 labels differ too much.
        input_shape: (N, C, X, Y, Z), or (N, C, H, W) of a network for images; None or -1 where any size is accepted. By
            default all but the channels; a network's `only_size` stands whatever is given here.
        check_image: a preprocessed input of the network to compare on; by default smooth noise.
        transforms: the `export.transforms` of the configuration, kept for PaddleSeg's tools; prediction does what the
            task says, and a warning names what that is not.
        inference_helper: the `export.inference_helper` of the configuration, kept likewise.
        previous: of the second network of a cascade, the deploy.yaml of the first, in `save_dir` or below.
        trained_on: names of the training cases, so that `infer` and `predict` can say that they score these.

    Raises:
        UserError: if the output operation, the input shape or `save_dir` is wrong.
        MissingDependencyError: if what the format needs is not installed.
        RunError: if the exported model cannot be written, or does not compute what the network computes.
    """
    check_network(model, task)
    check_helper(inference_helper, task)
    for note in notes(transforms, inference_helper, task):
        logger.warning("%s.", note)
    task = with_windows(task, model)
    shape = checked_shape(input_shape, task, getattr(model, "only_size", None))
    output_op = _checked_op(output_op, task)
    _check_choices(format=model_format, precision=precision)
    if model_format != "paddle":
        export_onnx.check_installed()
    x = image_like(check_shape(model, task, shape)) if check_image is None else check_image
    if hasattr(model, "check_input_shape"):
        model.check_input_shape(x.shape)
    save_dir = output_folder(save_dir)
    save_dir.mkdir(parents=True, exist_ok=True)
    with _main_head(model), tempfile.TemporaryDirectory(dir=save_dir, prefix=".tmp-export-") as name:
        folder = Path(name)
        finish = functools.partial(_Deployed, output_op=output_op, smallest_logit=task.decision.smallest_logit)
        files = _write_files(fold_batch_norms(model, x), finish, shape, folder, model_format)
        content = _describe(files, task, shape, output_op)
        content["inference_helper"] = dict(inference_helper) if inference_helper else None
        if trained_on is not None:
            content[train_cases.KEY] = sorted(trained_on)
        content["transforms"] = [dict(item) for item in transforms] if transforms else [{}]
        without_previous = dict(content)
        add_previous(content, previous, task, save_dir)
        write_description(folder / "deploy.yaml", without_previous)
        with paddle.no_grad():
            logits = model(paddle.to_tensor(x))[0].numpy()
        checks = check_backends(logits, x, folder / "deploy.yaml", sorted({"fp32", precision}))
        content["checks"] = [item.as_dict() for item in checks]
        write_description(folder / "deploy.yaml", content)
        earlier = named_files(save_dir)
        for file in (*files, folder / "deploy.yaml"):
            os.replace(file, save_dir / file.name)
        remove(earlier - {save_dir / file.name for file in files})
    return save_dir / "deploy.yaml"


def _check_choices(**chosen: str) -> None:
    allowed = {"format": FORMATS, "precision": PRECISIONS}
    for flag, value in chosen.items():
        if value not in allowed[flag]:
            raise UserError(f"--{flag} is one of {', '.join(allowed[flag])}, not '{value}'")


def _checked_op(output_op: str | None, task: TaskSpec) -> str:
    """The output operation; argmax stands for the labels of either head."""
    allowed = OUTPUT_OPS[task.head]
    if output_op is None:
        return "none" if needs_scores(task) else allowed[0]
    if output_op != "argmax" and output_op not in allowed:
        raise UserError(f"--output_op of a {task.head} head is one of {', '.join(allowed)}, not '{output_op}'")
    chosen = allowed[0] if output_op == "argmax" else output_op
    if chosen == allowed[0] and needs_scores(task):
        logger.warning(
            "--output_op %s gives labels, but the task's windows or restoring need scores: infer and predict will "
            "refuse this export; leave --output_op out", chosen,
        )  # fmt: skip
    return chosen


def needs_scores(task: TaskSpec) -> bool:
    """Whether labels can only be decided after the network: scores of windows or mirror images are averaged first, or
    scores are what is restored."""
    sliding = task.sliding or {}
    return bool(sliding.get("window") or sliding.get("mirror_axes")) or task.restoring == "scores"


@contextlib.contextmanager
def _main_head(model: nn.Layer) -> Iterator[None]:
    """Evaluation mode with the main head alone, put back afterwards."""
    training, alone = model.training, getattr(model, "main_head_only", None)
    model.eval()
    if alone is not None:
        model.main_head_only = True
    try:
        yield
    finally:
        if alone is not None:
            model.main_head_only = alone
        if training:
            model.train()


def _describe(files: Sequence[Path], task: TaskSpec, shape: Sequence[int | None], output_op: str) -> dict[str, Any]:
    keys = {".json": "model", ".pdmodel": "model", ".pdiparams": "params", ".onnx": "onnx"}
    return {
        **{keys[file.suffix]: file.name for file in files if file.suffix in keys},
        "input_shape": [-1 if size is None else size for size in shape],
        "output_op": output_op,
        "output_dtype": "int32" if output_op in ("argmax", "threshold") else "float32",
        "task": task.to_dict(),
        "versions": {"medicalseg": __version__, "paddle": paddle.__version__},
        "sha256": {file.name: file_hash(file) for file in files},
    }


def add_previous(content: dict[str, Any], previous: str | Path | None, task: TaskSpec, save_dir: Path) -> None:
    """Name the first network of a cascade in the description of the second, with its SHA-256.

    Raises:
        UserError: if it lies elsewhere than in `save_dir`, or gives other classes than the second takes.
    """
    if previous is None:
        if task.previous_classes:
            logger.warning("The network is the second of a cascade: without the first its export cannot be run.")
        return
    files = ModelFiles.read(previous)
    name = os.path.relpath(files.path, save_dir)
    if name.startswith(os.pardir):
        raise UserError(f"{files.path}: the first network of a cascade must be exported to {save_dir} or below it")
    given = TaskSpec.from_dict(files.description["task"]).num_ids - 1
    if given != task.previous_classes:
        raise UserError(
            f"{files.path} gives {given} classes, but the network takes {task.previous_classes} of an earlier one"
        )
    content["previous"] = name
    content["sha256"] = {**content["sha256"], name: file_hash(files.path)}


def write_description(file: Path, content: Mapping[str, Any]) -> None:
    text = yaml.safe_dump({"Deploy": dict(content)}, sort_keys=False, allow_unicode=True, default_flow_style=None)
    write_text(file, text)


def check_shape(model: nn.Layer, task: TaskSpec, shape: Sequence[int | None]) -> tuple[int, ...]:
    """A concrete input (1, C, X, Y, Z) for the check: the task's grid, or the smallest the network takes."""
    spatial = [size if size and size > 0 else None for size in shape[2:]]
    known = _known_grid(task)
    fitting = getattr(model, "next_input_shape", tuple)(known)
    wanted = [size or default for size, default in zip(spatial, fitting, strict=True)]
    batch = shape[0] if shape[0] and shape[0] > 0 else 1
    return (batch, task.network_channels, *wanted)


def _known_grid(task: TaskSpec) -> tuple[int, ...]:
    given = task.preprocessing.size
    usual = SMALLEST_CHECK if task.slices is None else USUAL_PLANE
    size = [usual] * 3 if given is None else [side or usual for side in given]
    window = (task.sliding or {}).get("window")
    if task.slices is None:
        return tuple(([window] * 3 if isinstance(window, int) else window) or size)
    columns, rows = (size[axis] for axis in task.slices.plane)
    return max(rows, SMALLEST_PLANE), max(columns, SMALLEST_PLANE)


def checked_shape(
    shape: Sequence[int | None] | None, task: TaskSpec, only_size: Sequence[int] | None = None
) -> list[int | None]:
    """An input shape as it was asked for, None where any size is accepted; by default all but the channels.

    Args:
        shape: what was asked for.
        task: of the network.
        only_size: the one spatial size that the network takes; None where more than one fits.

    Raises:
        UserError: if it is wrong.
    """
    channels, axes = task.network_channels, task.spatial_axes
    if shape is None:
        return [None, channels, *([None] * axes if only_size is None else only_size)]
    sizes = [None if size is None or size == -1 else int(size) for size in shape]
    if axes == 2 and len(sizes) == 5 and sizes[2] == 1 and 1 in sizes[:2]:
        logger.info("--input_shape %s is PaddleSeg3D's layout of slices; exported as N C H W, any N.", list(shape))
        sizes = [None, channels, *sizes[3:]]
    if len(sizes) != 2 + axes or any(size is not None and size < 1 for size in sizes):
        wanted = "five sizes N C X Y Z" if axes == 3 else "four sizes N C H W"
        raise UserError(f"--input_shape needs {wanted} (-1 = any), got {list(shape)}")
    if axes == 2 and any(size is not None and size < SMALLEST_PLANE for size in sizes[2:]):
        raise UserError(f"--input_shape: rows and columns are at least {SMALLEST_PLANE}, got {list(shape)}")
    if sizes[1] is not None and sizes[1] != channels:
        raise UserError(f"--input_shape has {sizes[1]} channels, the network takes {channels}")
    if only_size and any(size not in (None, only) for size, only in zip(sizes[2:], only_size, strict=True)):
        raise UserError(f"--input_shape: the network takes {list(only_size)} only, got {sizes[2:]}")
    return [sizes[0], channels, *(only_size or sizes[2:])]


def _write_files(
    model: nn.Layer, finish: Callable[[nn.Layer], nn.Layer], shape: Sequence[int | None], folder: Path, kind: str
) -> list[Path]:
    """The files of format `kind` in `folder`, which holds nothing else afterwards."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        graph = _write_model(finish(model), shape, Path(name) / "paddle")
        written = []
        if kind != "paddle":
            source = graph
            if any(isinstance(layer, nn.GroupNorm) for layer in model.sublayers()):
                composed = finish(compose_group_norms(model))
                source = _write_model(composed, shape, Path(name) / "composed")
            structure = next(file for file in source if file.suffix in (".json", ".pdmodel"))
            weights = next(file for file in source if file.suffix == ".pdiparams")
            export_onnx.write_onnx(structure, weights, folder / ONNX_FILE)
            written.append(folder / ONNX_FILE)
        if kind != "onnx":
            written += [file.replace(folder / file.name) for file in graph]
    return written


def _write_model(deployed: nn.Layer, shape: Sequence[int | None], folder: Path) -> list[Path]:
    deployed.eval()
    spec = [paddle.static.InputSpec(list(shape), "float32", name="x")]
    static = paddle.jit.to_static(deployed, input_spec=spec, full_graph=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Find variable `skips` defined in global scope", UserWarning)
        paddle.jit.save(static, str(folder / "model"))
    return sorted(folder.iterdir())
