"""Parse, call the verb, turn errors into one line and an exit code: 0 done, 1 the run failed, 2 the input is wrong."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from types import ModuleType

from medicalseg import __version__
from medicalseg.cli.parser import Parser, unknown_verb
from medicalseg.errors import MedicalSegError, MissingDependencyError
from medicalseg.utils import logger

VERBS = {
    "prepare": "make training arrays from raw volumes",
    "verify": "check a dataset: pairs, geometry, labels, intensities",
    "plan": "look at a dataset and write configurations that fit it",
    "config": "print a configuration, merged and checked",
    "model-info": "parameters, operations and memory of a network, per layer",
    "train": "train a network",
    "crossval": "train every fold, predict its validation cases, sum up",
    "val": "evaluate a checkpoint",
    "evaluate": "score label maps of anybody's against references",
    "compare": "several runs in one table and picture",
    "weights": "weights that PaddleSeg3D publishes: list, download, check",
    "export": "write a model for Paddle Inference",
    "predict": "segment images with a checkpoint",
    "infer": "segment images with an exported model",
}
REQUIRED_MODULES = ("numpy", "scipy", "SimpleITK", "nibabel", "yaml", "matplotlib", "visualdl")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the `medicalseg` command."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in VERBS:
        return run_verb(arguments[0], arguments[1:], prog=f"medicalseg {arguments[0]}")
    if arguments and not arguments[0].startswith("-"):
        print(f"error: {unknown_verb(arguments[0], VERBS)}", file=sys.stderr)
        return 2
    return _overview(arguments)


def run_verb(verb: str, argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run one verb with its arguments and return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    _quiet_libraries()
    try:
        module = module_of(verb)
        parsed = _parser(module, prog).parse_all(arguments)
        logger.setup()
        return int(module.run(parsed) or 0)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 1
    except Exception as error:
        return _report(error, debug)


def module_of(verb: str) -> ModuleType:
    """The module with HELP, add_arguments and run of a verb."""
    return importlib.import_module(f"medicalseg.cli.{verb.replace('-', '_')}")


def _quiet_libraries() -> None:
    """Keep what libraries say of themselves out of the terminal; a GLOG_minloglevel of the user's is obeyed."""
    os.environ.setdefault("GLOG_minloglevel", "2")
    warnings.filterwarnings("ignore", message="No ccache found")
    warnings.filterwarnings("ignore", message="The behavior of affine_transform with a 1-D array")


def _parser(module: ModuleType, prog: str | None) -> Parser:
    parser = Parser(prog=prog, description=module.HELP)
    module.add_arguments(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _overview(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="medicalseg",
        description="From labelled medical volumes to a deployed segmenter with PaddlePaddle.",
        epilog="`medicalseg VERB --help` explains a verb.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"medicalseg {__version__}")
    verbs = parser.add_subparsers(title="verbs", dest="verb", metavar="VERB", required=True)
    for name, summary in VERBS.items():
        verbs.add_parser(name, help=summary)
    if not arguments:
        parser.print_help()
        return 2
    try:
        parser.parse_args(arguments)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    return 2


def _report(error: Exception, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    known = error if isinstance(error, MedicalSegError) else _missing_dependency(error)
    if known is not None:
        print(f"error: {known}", file=sys.stderr)
        return known.exit_code
    hint = "" if debug else " (run again with --debug for the traceback)"
    text = " ".join(f"{type(error).__name__}: {error}".split())
    print(f"error: {text}{hint}", file=sys.stderr)
    return 1


def _missing_dependency(error: Exception) -> MedicalSegError | None:
    name = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if name == "paddle":
        return MissingDependencyError(
            "PaddlePaddle is not installed: run `pip install -e '.[cpu]'` in the checkout (extra cpu), "
            "or `pip install -e '.[gpu]'` for a CUDA machine (extra gpu)"
        )
    if name in REQUIRED_MODULES:
        return MissingDependencyError(
            f"{name} is not installed for {sys.executable}: activate the environment that has medicalseg, "
            "or run `pip install -e '.[cpu]'` in the checkout"
        )
    return None
