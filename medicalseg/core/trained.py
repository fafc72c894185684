"""A trained network ready for use: the configuration's network, its weights, its way of seeing large volumes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medicalseg.core.only_size import check_window, with_windows
from medicalseg.errors import ConfigError
from medicalseg.inference import Inferer, TaskSpec, WholeVolume
from medicalseg.inference.slice_wise import build_inferer
from medicalseg.utils.checkpoint import load_model_weights, weights_file
from medicalseg.utils.pretrained import pretrained_keys

if TYPE_CHECKING:
    import paddle

    from medicalseg.cvlibs import Config

MIRRORING = ("none", "task")


def open_config(
    path: str | os.PathLike[str], model_path: str | os.PathLike[str], opts: Sequence[str] | None = None
) -> Config:
    """The configuration of a trained network; `pretrained` is not loaded, since `model_path` replaces it.

    Its notes are about the training and were told there.

    Raises:
        CheckpointError: if there are no weights at `model_path`; looked at first.
        ConfigError: if the configuration is wrong or has no model.
    """
    weights_file(model_path)
    return open_untrained(path, opts)


def open_untrained(path: str | os.PathLike[str], opts: Sequence[str] | None = None) -> Config:
    """The configuration of a network that needs no weights to start from: every `pretrained` is taken out.

    Raises:
        ConfigError: if the configuration is wrong or has no model.
    """
    from medicalseg.cvlibs import Config

    config = Config(path, opts=opts, log_notes=False)
    config.require("model")
    without = [f"{key}=None" for key in pretrained_keys(config.dic["model"], "model")]
    return Config(path, opts=[*(opts or ()), *without], log_notes=False) if without else config


def load_trained(config: Config, model_path: str | os.PathLike[str], cpu_accel: str | None = None) -> paddle.nn.Layer:
    """The configuration's network with the weights at `model_path`, in evaluation mode.

    Args:
        config: from `open_config`.
        model_path: a `.pdparams` file or the folder that holds it.
        cpu_accel: "auto" or "off"; None takes MEDICALSEG_CPU_ACCEL, or "auto".

    Raises:
        CheckpointError: if the weights do not fit.
    """
    from medicalseg.ops import accelerate

    model = config.model
    load_model_weights(model, model_path)
    model.eval()
    return accelerate(model, cpu_accel)


def sliding_from(
    test_config: Mapping[str, Any],
    task: TaskSpec,
    model: Any = None,
    sw_num: int | None = None,
    *,
    overlap: float | None = None,
    mirror: str | None = None,
) -> Inferer | None:
    """How volumes go through the network: None = as `inferer_for` has it, for a network for volumes in one piece.

    Arguments of the window are those of `test_config.sliding`, each that is not there the task's `sliding`. Where the
    task has none, the window is `test_config.sliding.window`, else `crop_size` (PaddleSeg's `is_slide`), else the
    network's `img_shape`, else the task's preprocessing size. A network for volumes of one size (`only_size`) sees
    windows of it, unless preprocessing brings every volume to that size.

    Args:
        test_config: the configuration's block: sliding: {window, overlap, weights, batch, mirror_axes, skip_empty}, or
            is_slide, crop_size, stride, sw_num; mirror: "none" or "task". For a network for images the sizes are
            (columns, rows), and sliding: {batch} alone, or sw_num, is the number of slices at a time.
        task: of the network.
        model: the network.
        sw_num: `--sw_num`: windows at a time; asks for a sliding window of a network for volumes.
        overlap: `--overlap`: of the windows.
        mirror: `--tta`: "none" mirrors nothing, whatever `mirror_axes` says.

    Raises:
        ConfigError: if a window is asked for and its size is not known, or an argument is wrong.
    """
    task = with_windows(task, model)
    arguments = _sliding_arguments(test_config, task, model, sw_num)
    check_window(task, model, arguments.get("window"))
    if overlap is not None:
        if not arguments.get("window"):
            raise ConfigError("--overlap is of a sliding window, and this network sees volumes in one piece")
        arguments["overlap"] = overlap
    mirror = mirror or test_config.get("mirror") or "task"
    if mirror not in MIRRORING:
        raise ConfigError(f"test_config.mirror: expected one of {list(MIRRORING)}, got {mirror!r}")
    if mirror == "none":
        arguments.pop("mirror_axes", None)
    if task.slices is None and not arguments:
        return None if task.sliding is None else WholeVolume()
    return build_inferer(task, arguments, "test_config.sliding")


def _sliding_arguments(
    test_config: Mapping[str, Any], task: TaskSpec, model: Any, sw_num: int | None
) -> dict[str, Any]:
    block = test_config.get("sliding")
    asked = dict(block) if isinstance(block, Mapping) else {}
    count = sw_num or test_config.get("sw_num")
    arguments = {**(task.sliding or {}), **asked}
    arguments.pop("type", None)
    crop, stride = test_config.get("crop_size"), test_config.get("stride")
    if task.slices is None:
        windowed = bool(block or count or test_config.get("is_slide")) and set(asked) != {"mirror_axes"}
        sizes: tuple[Any, ...] = (crop, getattr(model, "img_shape", None), task.preprocessing.size)
        hint = (
            "set test_config.sliding.window, as in --opts 'test_config={sliding: {window: [128, 128, 32]}}', "
            "or leave --sw_num out"
        )
    else:
        windowed = bool(test_config.get("is_slide")) or bool(set(asked) - {"batch", "mirror_axes"}) or block is True
        sizes = (crop,)
        hint = "set test_config.sliding.window to [columns, rows] of the slices"
    if windowed and not arguments.get("window"):
        arguments["window"] = next((list(size) for size in sizes if size and None not in size), None)
        if arguments["window"] is None:
            raise ConfigError(f"a sliding window is asked for, but its size is not known: {hint}")
    if windowed and crop and stride:
        arguments.setdefault("overlap", _overlap(crop, stride))
    if count:
        arguments["batch"] = count
    return arguments


def _overlap(crop: Any, stride: Any) -> float:
    sizes, steps = ([value] if isinstance(value, int) else list(value) for value in (crop, stride))
    if len(sizes) != len(steps):
        raise ConfigError(f"test_config: crop_size {crop} and stride {stride} have different lengths")
    return max(0.0, 1 - min(step / size for step, size in zip(steps, sizes, strict=True)))
