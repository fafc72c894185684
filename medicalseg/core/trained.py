"""A trained network ready for use: the configuration's network, its weights, its way of seeing large volumes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medicalseg.errors import ConfigError
from medicalseg.inference import Inferer, SliceWise, SlidingWindow, TaskSpec
from medicalseg.utils.checkpoint import load_model_weights, weights_file
from medicalseg.utils.pretrained import pretrained_keys

if TYPE_CHECKING:
    import paddle

    from medicalseg.cvlibs import Config


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
    test_config: Mapping[str, Any], task: TaskSpec, model: Any = None, sw_num: int | None = None
) -> Inferer | None:
    """How volumes go through the network: None = in one piece; a network for images always gets `SliceWise`.

    The window is `test_config.sliding.window`, else `crop_size` (PaddleSeg's `is_slide`), else the network's
    `img_shape`, else the task's preprocessing size.

    Args:
        test_config: the configuration's block: sliding: {window, overlap, weights, batch}, or is_slide, crop_size,
            stride, sw_num. For a network for images the sizes are (columns, rows), and sliding: {batch} alone, or
            sw_num, is the number of slices at a time.
        task: of the network.
        model: the network.
        sw_num: `--sw_num`: windows at a time; asks for a sliding window of a network for volumes.

    Raises:
        ConfigError: if a window is asked for and its size is not known, or an argument is wrong.
    """
    block = test_config.get("sliding")
    count = sw_num or test_config.get("sw_num")
    if task.slices is not None:
        return _slice_wise(test_config, task, count)
    if not (block or count or test_config.get("is_slide")):
        return None
    arguments = dict(block) if isinstance(block, Mapping) else {}
    arguments.pop("type", None)
    crop, stride = test_config.get("crop_size"), test_config.get("stride")
    sizes = (crop, getattr(model, "img_shape", None), task.preprocessing.size)
    arguments.setdefault("window", next((list(size) for size in sizes if size), None))
    if arguments["window"] is None:
        raise ConfigError(
            "a sliding window is asked for, but its size is not known: set test_config.sliding.window, "
            "as in --opts 'test_config={sliding: {window: [128, 128, 32]}}', or leave --sw_num out"
        )
    if crop and stride:
        arguments.setdefault("overlap", _overlap(crop, stride))
    if count:
        arguments["batch"] = count
    try:
        return SlidingWindow(**arguments)
    except TypeError as error:
        raise ConfigError(f"test_config.sliding: {error}; allowed: window, overlap, weights, batch") from error


def _slice_wise(test_config: Mapping[str, Any], task: TaskSpec, count: int | None) -> SliceWise:
    block = test_config.get("sliding")
    arguments = dict(block) if isinstance(block, Mapping) else {}
    arguments.pop("type", None)
    crop, stride = test_config.get("crop_size"), test_config.get("stride")
    asked = test_config.get("is_slide") or (bool(block) and set(arguments) != {"batch"})
    if asked and arguments.setdefault("window", crop) is None:
        raise ConfigError(
            "a sliding window is asked for, but its size is not known: set test_config.sliding.window to "
            "[columns, rows] of the slices"
        )
    if asked and crop and stride:
        arguments.setdefault("overlap", _overlap(crop, stride))
    if count:
        arguments["batch"] = count
    try:
        return SliceWise(task.slices, **arguments)
    except TypeError as error:
        raise ConfigError(f"test_config.sliding: {error}; allowed: window, overlap, weights, batch") from error


def _overlap(crop: Any, stride: Any) -> float:
    sizes, steps = ([value] if isinstance(value, int) else list(value) for value in (crop, stride))
    if len(sizes) != len(steps):
        raise ConfigError(f"test_config: crop_size {crop} and stride {stride} have different lengths")
    return max(0.0, 1 - min(step / size for step, size in zip(steps, sizes, strict=True)))
