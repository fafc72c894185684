"""Flags of the verbs that run an exported model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from medicalseg.errors import UserError

if TYPE_CHECKING:
    from medicalseg.inference.backends import RuntimeOptions

BACKENDS = ("paddle", "onnxruntime", "openvino", "auto")


def add_backend_arguments(group: argparse.ArgumentParser | argparse._ArgumentGroup, precisions: list[str]) -> None:
    """`--backend`, `--precision`, `--cpu_threads`."""
    add = group.add_argument
    add("--backend", choices=BACKENDS,
        help="what runs an exported model; auto: the fastest there is (default: paddle)")  # fmt: skip
    add("--precision", choices=precisions, default="fp32",
        help="bf16 on a CPU that has it, with --backend openvino or auto (default: fp32)")  # fmt: skip
    add("--cpu_threads", type=int, help="threads on the CPU (default: the cores of this process)")


def is_exported(config: str) -> bool:
    """Whether `--config` is an exported model: a deploy.yaml or a folder that holds one."""
    path = Path(config)
    return path.is_dir() or path.name == "deploy.yaml"


def choose_device(name: str | None, backend: str | None = None) -> str:
    """The device for an exported model; None and "auto" take a GPU if Paddle may be used and is built for one."""
    if name not in (None, "auto"):
        return str(name)
    if backend in ("onnxruntime", "openvino"):
        return "cpu"
    import importlib.util

    if importlib.util.find_spec("paddle") is None:
        return "cpu"
    import paddle

    return "gpu" if paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() else "cpu"


def options_from(args: argparse.Namespace) -> RuntimeOptions:
    """How to run an exported model, for verbs without TensorRT."""
    from medicalseg.inference.backends import RuntimeOptions

    return RuntimeOptions(
        device=choose_device(args.device, args.backend),
        backend=args.backend or "paddle",
        precision=args.precision,
        cpu_threads=args.cpu_threads,
    )


def refuse_for_checkpoint(args: argparse.Namespace) -> None:
    """Flags of exported models make no sense with a checkpoint.

    Raises:
        UserError: naming the flag.
    """
    for flag, given in (("backend", args.backend), ("precision", args.precision != "fp32")):
        if given:
            raise UserError(
                f"--{flag} needs an exported model: give its deploy.yaml (or folder) as --config, without --model_path"
            )
