"""Components named by `type`: find, check the arguments against the constructor, build.

The keys beside `type` are the constructor's arguments. A value that is a mapping with `type`, and each such item of a
list, is a component itself and is built first; the steps of `postprocessing` are checked, and handed on as they are.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from medicalseg.cvlibs import manager
from medicalseg.cvlibs.manager import ComponentManager
from medicalseg.cvlibs.tree import KeyPath, KeyPathError, kind_of, nearest
from medicalseg.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    MedicalSegError,
    MissingDependencyError,
    UserError,
)

SEARCH_ORDER = (manager.MODELS, manager.BACKBONES, manager.DATASETS, manager.TRANSFORMS, manager.LOSSES)

FOREIGN = "paddleseg."

_BY_KEY = {
    "model": manager.MODELS,
    "backbone": manager.BACKBONES,
    "train_dataset": manager.DATASETS,
    "val_dataset": manager.DATASETS,
    "test_dataset": manager.DATASETS,
    "transforms": manager.TRANSFORMS,
    "losses": manager.LOSSES,
    "inference_helper": manager.INFERENCE_HELPERS,
    "optimizer": manager.OPTIMIZERS,
    "postprocessing": manager.POSTPROCESSING,
}
_HANDED_ON = ("postprocessing",)

_FAILURES = (
    AssertionError,
    TypeError,
    ValueError,
    KeyError,
    IndexError,
    AttributeError,
    ArithmeticError,
    OSError,
    RuntimeError,
)


def build(config: Mapping[str, Any], where: str | KeyPath = "component") -> Any:
    """Build the component that `config` describes; the mapping itself is not changed.

    Args:
        config: `type` and the constructor's arguments.
        where: the key path of this block, for messages. Its last name (`model`, `transforms`, …) also says which
            kind of component is meant; other names look through all kinds.

    Raises:
        ConfigError: if `type` is unknown, an argument is wrong or missing, or the constructor refuses its arguments.

    Example:
        >>> build({"type": "RandomFlip3D", "prob": 0.5}, where="transforms")  # doctest: +SKIP
    """
    path = (where,) if isinstance(where, str) else where
    check(config, path)
    return _build(copy.deepcopy(dict(config)), path, registry_of(path))


def check(config: Any, path: KeyPath, registry: ComponentManager | None = None) -> Callable[..., Any]:
    """Check a block and all blocks inside it without building anything; returns the class or function it names.

    Raises:
        KeyPathError: at the first thing that is wrong.
    """
    component = find(config, path, registry or registry_of(path))
    arguments = {key: value for key, value in config.items() if key != "type"}
    check_arguments(component, arguments, path, title=str(config["type"]))
    for child_path, child in _children(arguments, path):
        check(child, child_path)
    return component


def find(config: Any, path: KeyPath, registry: ComponentManager | None = None) -> Callable[..., Any]:
    """The class or function that a block's `type` names.

    Raises:
        KeyPathError: if the block is no mapping, has no `type`, or `type` is unknown.
    """
    if not isinstance(config, Mapping):
        raise KeyPathError(path, f"expected a mapping with 'type', got {kind_of(config)}: {config!r}")
    if "type" not in config:
        raise KeyPathError(path, f"has no 'type'; it has: {', '.join(map(str, config)) or 'nothing'}")
    name = config["type"]
    if isinstance(name, str) and name.startswith(FOREIGN):
        return _find_foreign(name, path, registry)
    registries = SEARCH_ORDER if registry is None else (registry,)
    for candidate in registries:
        if isinstance(name, str) and name in candidate:
            return candidate[name]
    raise KeyPathError((*path, "type"), _unknown_type(name, registry, registries))


def _find_foreign(name: str, path: KeyPath, registry: ComponentManager | None) -> Callable[..., Any]:
    from medicalseg.models import paddleseg_bridge

    try:
        return paddleseg_bridge.component(name, registry)
    except ConfigError as error:
        raise KeyPathError((*path, "type"), str(error)) from error


def _unknown_type(name: object, registry: ComponentManager | None, registries: tuple[ComponentManager, ...]) -> str:
    known = sorted({item for candidate in registries for item in candidate})
    what = registry.name if registry is not None else "components"
    for other in SEARCH_ORDER:
        if registry is not None and other is not registry and name in other:
            return f"'{name}' is one of the {other.name}, not of the {what}: {', '.join(known) or 'none'}"
    return f"'{name}' is not among the {what}: {', '.join(known) or 'none'}{nearest(name, known)}"


def parameters(component: Callable[..., Any]) -> tuple[dict[str, inspect.Parameter], bool]:
    """A component's keyword parameters by name, and whether it takes any other keyword as well."""
    try:
        found = inspect.signature(component).parameters.values()
    except (TypeError, ValueError):
        return {}, True
    named = {p.name: p for p in found if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return named, any(p.kind is p.VAR_KEYWORD for p in found)


def accepts(component: Callable[..., Any], argument: str) -> bool:
    """Whether the component has a parameter of this name (a catch-all `**kwargs` does not count)."""
    return argument in parameters(component)[0]


def check_arguments(
    component: Callable[..., Any], arguments: Mapping[str, Any], path: KeyPath, *, title: str | None = None
) -> None:
    """Compare arguments with the constructor's parameters.

    Raises:
        KeyPathError: if an argument is unknown or a required one is missing.
    """
    name = title or getattr(component, "__name__", "component")
    named, takes_any = parameters(component)
    allowed = ", ".join(named) or "no arguments"
    for key in arguments:
        if not isinstance(key, str):
            raise KeyPathError((*path, str(key)), f"an argument of {name} must be a word; allowed: {allowed}")
        if key not in named and not takes_any:
            raise KeyPathError((*path, key), f"unknown argument of {name}; allowed: {allowed}{nearest(key, named)}")
    missing = [key for key, p in named.items() if p.default is p.empty and key not in arguments]
    if missing:
        raise KeyPathError(path, f"{name} needs {', '.join(missing)}; allowed: {allowed}")


def registry_of(path: KeyPath) -> ComponentManager | None:
    """Which kind of component a key path asks for, or None for any."""
    names = [part for part in path if isinstance(part, str)]
    if len(path) >= 2 and path[0] == "loss" and path[1] == "types" and len(names) == 2:
        return manager.LOSSES
    return _BY_KEY.get(names[-1].rpartition(".")[2]) if names else None


def _children(arguments: Mapping[str, Any], path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    for key, value in arguments.items():
        if isinstance(value, Mapping) and "type" in value:
            yield (*path, key), value
        elif isinstance(value, list):
            for position, item in enumerate(value):
                child = (*path, key, position)
                if isinstance(item, Mapping) and ("type" in item or registry_of(child) is not None):
                    yield child, item


def _build(config: dict[str, Any], path: KeyPath, registry: ComponentManager | None) -> Any:
    component = find(config, path, registry)
    name = config.pop("type")
    own = {key: value for key, value in config.items() if key not in _HANDED_ON}
    for child_path, child in list(_children(own, path)):
        built = _build(child, child_path, registry_of(child_path))
        if isinstance(child_path[-1], int):
            config[str(child_path[-2])][child_path[-1]] = built
        else:
            config[child_path[-1]] = built
    return call(component, config, path, str(name))


def call(component: Callable[..., Any], arguments: Mapping[str, Any], path: KeyPath, name: str) -> Any:
    """Call a constructor; what it refuses becomes an error that names the component and its key path.

    Raises:
        KeyPathError: if the constructor raises one of Python's errors or a general `UserError`.
    """
    try:
        return component(**arguments)
    except (DataError, CheckpointError, MissingDependencyError, KeyPathError):
        raise
    except UserError as error:
        if type(error) not in (UserError, ConfigError):
            raise
        raise KeyPathError(path, f"{name}: {error}") from error
    except MedicalSegError:
        raise
    except ModuleNotFoundError:
        raise
    except _FAILURES as error:
        detail = " ".join(str(error).split()) or "no message"
        raise KeyPathError(path, f"{name} could not be built: {type(error).__name__}: {detail}") from error
