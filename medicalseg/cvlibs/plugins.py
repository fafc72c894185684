"""Components from outside the package: the top-level key `plugins` names the Python code that registers them.

Importing is running, so this is the one place where a configuration can run code; see SECURITY.md.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from medicalseg.cvlibs.schema import plugin_names
from medicalseg.cvlibs.tree import KeyPath, KeyPathError, Node, readable
from medicalseg.errors import MedicalSegError

KEY = "plugins"
PREFIX = "medicalseg_plugin_"


def load_plugins(root: Node) -> list[str]:
    """Import what the merged configuration's `plugins` list names; returns a note for each.

    An item that ends in `.py` is a file, relative to the configuration file that lists it (to the current folder if
    it comes from `--opts`); any other is the dotted name of an installed module. A module is imported once a process.

    Args:
        root: the merged configuration.

    Raises:
        KeyPathError: if the list is malformed, a file or module does not exist, or importing it fails.
    """
    listed = root.value.get(KEY)
    if listed is None or listed.value is None:
        return []
    plugin_names([item.value for item in listed.value] if isinstance(listed.value, list) else listed.value, (KEY,))
    return [_load(item, (KEY, position)) for position, item in enumerate(listed.value)]


def _load(item: Node, path: KeyPath) -> str:
    name = item.value
    if not name.endswith(".py"):
        _guarded(lambda: _import_module(name, path), f"module {name}", path)
        return f"plugin imported: {name}"
    file = Path(name) if item.source.line is None else Path(item.source.name).parent / name
    if not file.is_file():
        raise KeyPathError(path, f"no such file: {readable(file)} (a path starts at the folder of its .yml file)")
    _guarded(lambda: _import_file(file), readable(file), path)
    return f"plugin imported: {readable(file)}"


def _import_module(name: str, path: KeyPath) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise KeyPathError(path, f"no installed module '{name}'; install it, or give the path of a .py file") from error


def _import_file(file: Path) -> ModuleType:
    location = file.resolve()
    name = f"{PREFIX}{file.stem}_{hashlib.sha256(str(location).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, location)
    if spec is None or spec.loader is None:
        raise ImportError("Python has no loader for it")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _guarded(work: Callable[[], ModuleType], what: str, path: KeyPath) -> None:
    """Turn what the plugin's own code raises into one line that names its file and line."""
    try:
        work()
    except MedicalSegError:
        raise
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "paddle":
            raise
        detail = " ".join(str(error).split()) or "no message"
        raise KeyPathError(
            path, f"{what} cannot be imported: {type(error).__name__}{_line(error)}: {detail}"
        ) from error


def _line(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if "importlib" not in frame.filename and frame.filename != __file__]
    return f" in {Path(inside[-1].filename).name}:{inside[-1].lineno}" if inside else ""
