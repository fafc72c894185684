"""`medicalseg model-info`."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from medicalseg.errors import UserError

HELP = (
    "Show what a configuration's network costs: parameters, multiply-accumulates (MACs), activations, weights, per "
    "layer. Nothing is computed, and no weights or data are needed."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    add = parser.add_argument
    add("config", help="YAML file that has the network")
    add("--input_shape", type=int, nargs="+", metavar="N",
        help="X Y Z or H W, or with batch and channels (default: the size that the file tells)")  # fmt: skip
    add("--mode", choices=("plain", "torchprofile"), default="plain",
        help="true MACs (default), or as torchprofile counts the reference implementation")  # fmt: skip
    add("--phase", choices=("train", "eval"),
        help="as trained, with all heads, or as evaluated (default: eval; for torchprofile train)")  # fmt: skip
    add("--depth", type=int, default=2, metavar="N", help="levels of layers in the table (default: 2)")
    add("--json", type=Path, metavar="FILE", help="also write everything to this file, every layer")
    add("--opts", nargs="+", action="extend", metavar="KEY=VALUE", help="replace any value of the file")


def run(args: argparse.Namespace) -> None:
    """Build the network, trace it, print."""
    from medicalseg import ops

    ops.configure_process()
    from medicalseg.complexity import inspect_model
    from medicalseg.complexity.from_config import input_shape
    from medicalseg.complexity.render import render_info
    from medicalseg.core.trained import open_untrained
    from medicalseg.utils.files import write_json

    if args.depth < 0:
        raise UserError(f"--depth must be at least 0, got {args.depth}")
    config = open_untrained(args.config, args.opts)
    model = config.model
    shape, source = input_shape(config, model, args.input_shape)
    training = None if args.phase is None else args.phase == "train"
    counted = inspect_model(model, shape, args.mode, training)
    info = dataclasses.replace(counted, network=str(config.dic["model"]["type"]))
    print(render_info(info, args.depth))
    if args.input_shape is None:
        print(f"size from    {source}; another one with --input_shape")
    if args.json is not None:
        write_json(args.json, {"config": str(args.config), "size_from": source, **info.to_dict()})
