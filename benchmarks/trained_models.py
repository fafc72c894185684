"""What the modules that make the timed networks share: where their files are kept, and the weights for the twin."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.process import ROOT

TORCH_NAMES = {"_mean": "running_mean", "_variance": "running_var", "_weight": "weight", "scale": "weight"}


def prepared(module: str, name: str) -> Path:
    """The folder that `python -m benchmarks.MODULE FOLDER NAME` fills, in a process of its own if it is not there."""
    folder = Path(tempfile.gettempdir()) / f"medicalseg-{module}-{_made_by()[:12]}"
    if not (folder / f"{name}.npz").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", f"benchmarks.{module}", str(folder), name]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return folder


def save_weights(network: Any, folder: Path, name: str) -> None:
    """Write NAME.npz, the weights under PyTorch's names; the last file of a network, because it means all is there."""
    weights = {_torch_name(key): value.numpy() for key, value in network.state_dict().items()}
    np.savez(folder / f"{name}.tmp.npz", **weights)
    (folder / f"{name}.tmp.npz").rename(folder / f"{name}.npz")


def _made_by() -> str:
    """Hash of what such a network comes from: code that builds, trains and exports it, and versions of packages."""
    names = ("paddlepaddle", "paddlepaddle-gpu", "paddle2onnx", "onnx")
    found = {name: metadata.version(name) for name in names if any(metadata.distributions(name=name))}
    digest = hashlib.sha256(repr(found).encode())
    library = ROOT / "medicalseg"
    sources = [*Path(__file__).parent.glob("*_models.py"), *(library / "models").rglob("*.py")]
    sources += [*(library / "core").glob("export*.py"), *(library / "core").glob("*onnx*.py")]
    for file in sorted(sources):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _torch_name(name: str) -> str:
    parent, _, last = name.rpartition(".")
    return f"{parent}.{TORCH_NAMES.get(last, last)}" if parent else name
