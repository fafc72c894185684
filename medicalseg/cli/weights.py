"""`medicalseg weights list`, `medicalseg weights get NAME`."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from medicalseg.utils.weights_table import PublishedWeights

HELP = (
    "Weights that PaddleSeg3D and PaddleSeg publish. A download that breaks off is continued; size and SHA-256 are "
    "recorded at the first one and compared at every use."
)
LEGEND = (
    "DICE: percent, as published: soft Dice on PaddleSeg3D's terms, of nnU-Net hard Dice of five folds together. "
    "HERE: megabytes on this machine."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the two sub-commands."""
    choices = parser.add_subparsers(dest="action", metavar="list|get", required=True)
    text = "names, networks, data, published Dice, and what is here already"
    choices.add_parser("list", help=text, description=f"Show {text}.")
    text = "download weights, or check those that are here, and print where the file is"
    get = choices.add_parser("get", help=text, description=f"{text[0].upper()}{text[1:]}.")
    get.add_argument("names", nargs="+", metavar="NAME", help="names of the list, or patterns such as 'nnunet_2d_*'")
    get.add_argument(
        "--mirror",
        metavar="ADDRESS",
        help="take them from a copy of the download folder at this address (default: $MEDICALSEG_WEIGHTS_MIRROR)",
    )
    get.add_argument(
        "--refresh", action="store_true", help="download again, and forget the size and SHA-256 of the earlier file"
    )
    for sub in choices.choices.values():
        sub.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Print the table, or fetch; standard output holds nothing but the table or the paths."""
    from medicalseg.utils import weights_table

    if args.action == "list":
        print(_table(weights_table.PUBLISHED))
        return 0
    for path in _fetched(args):
        print(path)
    return 0


def _fetched(args: argparse.Namespace) -> list[Path]:
    from medicalseg.core import published
    from medicalseg.utils import weights
    from medicalseg.utils.logger import logger

    paths = []
    with contextlib.redirect_stdout(sys.stderr):
        for entry in weights.chosen(args.names):
            path = weights.fetch(entry, refresh=args.refresh, mirror=args.mirror)
            arrays = [value for value in _state(entry, path).values() if hasattr(value, "shape")]
            numbers = sum(int(array.size) for array in arrays)
            published.describe(entry, path)
            fits = f", network of {entry.config}" if entry.config else ""
            logger.info("%s: %d tensors, %s numbers%s", entry.name, len(arrays), f"{numbers:,}", fits)
            paths.append(path)
    return paths


def _state(entry: PublishedWeights, path: Path) -> dict[str, Any]:
    from medicalseg.errors import CheckpointError
    from medicalseg.utils import checkpoint

    try:
        return checkpoint.load_state(path)
    except CheckpointError as error:
        raise CheckpointError(f"{error}; `medicalseg weights get {entry.name} --refresh` fetches it anew") from error


def _table(entries: Sequence[PublishedWeights]) -> str:
    rows = [("NAME", "NETWORK", "DATA", "DICE", "HERE")]
    rows += [(entry.name, entry.network, entry.data, entry.dice or "-", _here(entry.url)) for entry in entries]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, "", LEGEND])


def _here(url: str) -> str:
    from medicalseg.utils.weights_store import place_of

    path = place_of(url)
    return f"{path.stat().st_size / 1e6:.1f}" if path.is_file() else "-"
