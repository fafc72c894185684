"""A Paddle model on disk becomes an ONNX file.

paddle2onnx does the conversion. It is native code that ends its process where it cannot convert something, so it runs
in a child: `python -m medicalseg.core.export_onnx GRAPH WEIGHTS FILE`. What it writes is then simplified.
"""

from __future__ import annotations

import importlib.util
import inspect
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import paddle

from medicalseg.errors import MissingDependencyError, RunError, UserError
from medicalseg.inference.backends.runtime import first_line

OPSET = 17
PACKAGES = ("paddle2onnx", "onnx")


def check_installed() -> None:
    """Refuse before anything is computed where a package is missing.

    Raises:
        MissingDependencyError: names the package and the extra.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        python = "" if sys.version_info < (3, 13) else "; paddle2onnx has no release for Python 3.13: export with 3.12"
        raise MissingDependencyError(
            f"--format onnx needs the package {missing[0]}: pip install -e '.[onnx]' in the checkout{python}"
        )
    if paddle.__version__.startswith("2."):
        raise UserError(f"--format onnx needs Paddle 3, this is {paddle.__version__}: export with --format paddle")


def write_onnx(graph: Path, weights: Path, target: Path) -> None:
    """Convert an exported Paddle model.

    Args:
        graph: model.json or model.pdmodel.
        weights: model.pdiparams.
        target: the ONNX file, written whole or not at all.

    Raises:
        RunError: if paddle2onnx cannot convert it; carries what it said.
    """
    command = [sys.executable, "-m", "medicalseg.core.export_onnx", str(graph), str(weights), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode or not target.is_file():
        target.unlink(missing_ok=True)
        raise RunError(f"paddle2onnx cannot convert this network: {_reason(done)}; export it with --format paddle")


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    told = [line.split("]", 2)[-1].strip() for line in lines if line.startswith("[ERROR][Paddle2ONNX]")]
    if told:
        return told[0]
    told = [line for line in lines if "Error" in line]
    return (told or lines or [f"its process ended with code {done.returncode}"])[-1][:200]


def convert(graph: str, weights: str, target: str) -> None:
    """The child's work."""
    import paddle2onnx

    from medicalseg.core.onnx_slopes import repair_slopes
    from medicalseg.core.simplify_onnx import simplify

    options: dict[str, Any] = {"opset_version": OPSET, "enable_onnx_checker": True}
    if "optimize_tool" in inspect.signature(paddle2onnx.export).parameters:
        options["optimize_tool"] = None
    paddle2onnx.export(graph, weights, target, **options)
    repair_slopes(Path(graph), Path(target))
    simplify(Path(target))


def main(arguments: Sequence[str]) -> int:
    """0 if converted."""
    try:
        convert(*arguments)
    except Exception as error:  # noqa: BLE001 (the parent process reports whatever a converter raises)
        sys.stderr.write(f"{type(error).__name__}: {first_line(error)}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
