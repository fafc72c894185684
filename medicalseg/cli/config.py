"""Print a configuration, merged and checked."""

from __future__ import annotations

import argparse
import logging

from medicalseg.utils.logger import logger

HELP = "Print a configuration with everything it inherits and every override, after checking it."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `medicalseg config`."""
    parser.add_argument("file", help="the .yml file")
    parser.add_argument("--sources", action="store_true", help="show the file and line that each value comes from")
    parser.add_argument("--learning_rate", type=float, help="replace the learning rate")
    parser.add_argument("--iters", type=int, help="replace the number of iterations")
    parser.add_argument("--epochs", type=int, help="replace the number of iterations by one of epochs")
    parser.add_argument("--max_time", metavar="TIME", help="replace the wall-clock budget: 30m, 1h30m")
    parser.add_argument("--grad_clip", type=float, metavar="NORM", help="replace the gradient clip")
    parser.add_argument("--batch_size", type=int, help="replace the batch size")
    parser.add_argument(
        "--opts", nargs="+", action="extend", metavar="KEY=VALUE", help="replace any value: model.num_classes=3"
    )


def run(args: argparse.Namespace) -> None:
    """Check and print; notes become YAML comments, so the output stays a valid file."""
    from medicalseg.cvlibs.config import Config
    from medicalseg.cvlibs.render import render

    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        config = Config(
            args.file,
            learning_rate=args.learning_rate,
            iters=args.iters,
            batch_size=args.batch_size,
            opts=args.opts,
            epochs=args.epochs,
            max_time=args.max_time,
            grad_clip=args.grad_clip,
        )
    finally:
        logger.setLevel(level)
    for note in config.notes:
        print(f"# note: {note}")
    print(render(config.tree, sources=args.sources), end="")
