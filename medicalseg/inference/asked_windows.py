"""How volumes are asked to go through a network: a configuration's `test_config` and flags over what its task says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from medicalseg.errors import ConfigError
from medicalseg.inference.task import TaskSpec

MIRRORING = ("none", "task")


def sliding_arguments(
    test_config: Mapping[str, Any],
    task: TaskSpec,
    network: Any = None,
    sw_num: int | None = None,
    *,
    overlap: float | None = None,
    mirror: str | None = None,
) -> dict[str, Any]:
    """Arguments for `build_inferer`, in the form of `TaskSpec.sliding`; empty = in one piece, without mirroring.

    Arguments are those of `test_config.sliding`, each that is not there the task's `sliding`. Where the task has no
    window, it is `test_config.sliding.window`, else `crop_size` (PaddleSeg's `is_slide`), else the network's
    `img_shape`, else the task's preprocessing size.

    Args:
        test_config: the configuration's block: sliding, arguments of `SlidingWindow` or `SliceWise`, or is_slide,
            crop_size, stride, sw_num; mirror: "none" or "task". For a network for images the sizes are (columns, rows),
            and sliding: {batch} alone, or sw_num, is the number of slices at a time.
        task: of the network.
        network: may have an `img_shape`.
        sw_num: `--sw_num`: windows at a time; asks for a sliding window of a network for volumes.
        overlap: `--overlap`: of the windows.
        mirror: `--tta`: "none" mirrors nothing, whatever `mirror_axes` says.

    Raises:
        ConfigError: if a window is asked for and its size is not known, or an argument is wrong.
    """
    arguments = _arguments(test_config, task, network, sw_num)
    if overlap is not None:
        if not arguments.get("window"):
            raise ConfigError("--overlap is of a sliding window, and this network sees volumes in one piece")
        arguments["overlap"] = overlap
    mirror = mirror or test_config.get("mirror") or "task"
    if mirror not in MIRRORING:
        raise ConfigError(f"test_config.mirror: expected one of {list(MIRRORING)}, got {mirror!r}")
    if mirror == "none":
        arguments.pop("mirror_axes", None)
    return arguments


def with_sliding(
    task: TaskSpec,
    test_config: Mapping[str, Any],
    network: Any = None,
    sw_num: int | None = None,
    *,
    overlap: float | None = None,
    mirror: str | None = None,
) -> TaskSpec:
    """The task with these arguments as its `sliding`; arguments and errors are those of `sliding_arguments`."""
    arguments = sliding_arguments(test_config, task, network, sw_num, overlap=overlap, mirror=mirror)
    return replace(task, sliding=arguments or None)


def _arguments(test_config: Mapping[str, Any], task: TaskSpec, network: Any, sw_num: int | None) -> dict[str, Any]:
    block = test_config.get("sliding")
    asked = dict(block) if isinstance(block, Mapping) else {}
    count = sw_num or test_config.get("sw_num")
    arguments = {**(task.sliding or {}), **asked}
    arguments.pop("type", None)
    crop, stride = test_config.get("crop_size"), test_config.get("stride")
    sizes: Sequence[Any]
    if task.slices is None:
        windowed = bool(block or count or test_config.get("is_slide")) and set(asked) != {"mirror_axes"}
        sizes = (crop, getattr(network, "img_shape", None), task.preprocessing.size)
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
