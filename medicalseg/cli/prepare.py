"""`medicalseg prepare NAME`: raw volumes to training arrays; the same as tools/prepare_NAME.py."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from types import ModuleType

HELP = "Make training arrays, lists and a description from raw volumes. Input folders are only read."
NAMES = ("mri_spine_seg", "lung_coronavirus", "prostate", "abdomen", "acdc", "msd_brain_seg", "msd", "scoliosis", "ich")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one sub-command per dataset."""
    choices = parser.add_subparsers(dest="name", metavar="NAME", required=True)
    script = Path(sys.argv[0]).name
    for name in NAMES:
        module = _module(name)
        prog = script if script == f"prepare_{name}.py" else None
        sub = choices.add_parser(name, help=module.HELP, description=_sentence(module.HELP), prog=prog)
        module.add_arguments(sub)
        sub.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error"
        )


def run(args: argparse.Namespace) -> int:
    """Run the chosen preparation."""
    return int(_module(args.name).run(args))


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"medicalseg.datasets.prepare.{name}")


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}. Input folders are only read; a second run does only what is missing."
