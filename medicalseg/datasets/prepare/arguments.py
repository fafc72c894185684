"""Flags that all preparations share."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from medicalseg.datasets.splits import GroupOf, Split, holdout, leaking_tail
from medicalseg.errors import UserError


def add_common(parser: argparse.ArgumentParser, dataset_root: str) -> None:
    """Add the flags about output, split and work."""
    parser.add_argument(
        "--dataset_root", type=Path, default=Path(dataset_root), help=f"folder of the result (default: {dataset_root})"
    )
    parser.add_argument(
        "--val_fraction", type=float, default=0.2, help="part of the cases held out (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the split (default: 0)")
    parser.add_argument("--num_workers", type=int, default=2, help="cases prepared at once (default: 2)")
    parser.add_argument(
        "--force", action="store_true", help="do finished cases again; replace data of another origin (real, phantom)"
    )


def add_archives(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say where the raw data comes from."""
    parser.add_argument("--raw_dir", type=Path, help="folder with the raw volumes; only read")
    parser.add_argument("--archive", type=Path, nargs="+", help="zip or tar file(s) with the raw volumes")
    parser.add_argument("--url", nargs="+", help="http(s) address(es) of the archive(s); a broken download is resumed")
    parser.add_argument("--checksum", nargs="+", help="sha256:HEX or md5:HEX, one for each --url or --archive")


def add_picture_size(parser: argparse.ArgumentParser, default: Sequence[int]) -> None:
    """Add the flag about the size that pictures are brought to."""
    shown = " ".join(map(str, default))
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=list(default),
        metavar=("COLUMNS", "ROWS"),
        help=f"size of the pictures (default: {shown})",
    )


def add_three_parts(parser: argparse.ArgumentParser, val: float, test: float, help_text: str) -> None:
    """Add the flag about the part for test, and set that for validation."""
    parser.set_defaults(val_fraction=val)
    parser.add_argument("--test_fraction", type=float, default=test, help=f"{help_text} (default: {test:g})")


def add_size(parser: argparse.ArgumentParser, default: Sequence[int] | None) -> None:
    """Add the flag about the grid that volumes are brought to."""
    shown = "128 128 128, or as --spacing gives" if default is None else " ".join(map(str, default))
    kept = None if default is None else list(default)
    parser.add_argument(
        "--size", type=int, nargs=3, default=kept, metavar=("X", "Y", "Z"), help=f"grid (default: {shown})"
    )


def check_common(args: argparse.Namespace) -> None:
    """Refuse numbers out of range.

    Raises:
        UserError: names the flag.
    """
    if not 0 < args.val_fraction < 1:
        raise UserError(f"--val_fraction {args.val_fraction}: give a number between 0 and 1")
    if not 0 <= getattr(args, "test_fraction", 0) < 1:
        raise UserError(f"--test_fraction {args.test_fraction}: give a number from 0 to below 1")
    if args.size is not None and min(args.size) < 1:
        raise UserError(f"--size {args.size}: give {len(args.size)} positive numbers")
    if args.num_workers < 0:
        raise UserError(f"--num_workers {args.num_workers}: give 0 or more")
    if args.seed < 0:
        raise UserError(f"--seed {args.seed}: give 0 or more")


def make_split(names: Iterable[str], args: argparse.Namespace, group_of: GroupOf | None = None) -> Split:
    """The honest split by case, or by patient with `group_of`; or PaddleSeg3D's on request."""
    if getattr(args, "leaking_split", False):
        return leaking_tail(names, args.val_fraction)
    return holdout(names, args.val_fraction, seed=args.seed, group_of=group_of)
