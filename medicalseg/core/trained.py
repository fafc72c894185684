"""A trained network ready for use: the configuration's network, its weights, its way of seeing large volumes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medicalseg.core.only_size import check_window, with_windows
from medicalseg.inference import TaskSpec
from medicalseg.inference.asked_windows import with_sliding
from medicalseg.inference.slice_wise import build_inferer
from medicalseg.utils.checkpoint import load_model_weights, weights_file
from medicalseg.utils.pretrained import pretrained_keys

if TYPE_CHECKING:
    import paddle

    from medicalseg.cvlibs import Config

WHERE = "test_config.sliding"


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


def asked_task(
    test_config: Mapping[str, Any],
    task: TaskSpec,
    model: Any = None,
    sw_num: int | None = None,
    *,
    overlap: float | None = None,
    mirror: str | None = None,
) -> TaskSpec:
    """The task with a `sliding` that says how volumes are asked to go through the network; see
    `medicalseg.inference.asked_windows.sliding_arguments`.

    A network for volumes of one size (`only_size`) sees windows of it, unless preprocessing brings every volume to that
    size.

    Raises:
        ConfigError: if a window is asked for and its size is not known or does not fit, or an argument is wrong.
    """
    task = with_sliding(with_windows(task, model), test_config, model, sw_num, overlap=overlap, mirror=mirror)
    check_window(task, model, (task.sliding or {}).get("window"))
    build_inferer(task, task.sliding or {}, WHERE)
    return task
