"""What the command line and the environment change in a configuration."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable, Container, Sequence
from typing import Any

from medicalseg.cvlibs.tree import Node, Source, format_path, from_plain, kind_of, nearest, to_plain
from medicalseg.cvlibs.yaml_reader import parse_value
from medicalseg.errors import ConfigError

DATA_ROOT_VARIABLE = "MEDICALSEG_DATA_ROOT"
LENGTH_KEYS = ("decay_steps", "T_max", "total_steps")
LENGTHS = ("iters", "epochs")

_PART = re.compile(r"([^.\[\]]+)|\[(-?\d+)\]")


def with_environment(root: Node) -> Node:
    """`data_root` from the environment variable, if it is set."""
    folder = os.environ.get(DATA_ROOT_VARIABLE)
    if not folder:
        return root
    return set_value(root, ("data_root",), folder, Source(f"environment variable {DATA_ROOT_VARIABLE}"))


def with_opts(root: Node, opts: Sequence[str] | None, note: Callable[[str], None]) -> Node:
    """Apply `--opts key.path=value …`; of a key given twice the last counts.

    The value is a Python literal or, if it is none, a YAML value. Keys on the way must exist, list positions count
    from 0, the last key may be new.

    Raises:
        ConfigError: if an item is not `key=value` or a key on the way does not exist.
    """
    pairs = [_split(item) for item in opts or ()]
    before = to_plain(root).get("iters")
    given = {path for path, _ in pairs}
    for path, value in pairs:
        root = set_value(root, path, value, Source(f"--opts {format_path(path)}"))
    if ("iters",) in given:
        root = _follow_iters(root, before, Source("--opts iters"), note, keep=given)
    for key in LENGTHS:
        if (key,) in given and dict(pairs)[key,] is not None:
            root = _only_length(root, key, Source(f"--opts {key}"), note, given, before)
    return root


def with_flags(
    root: Node,
    *,
    learning_rate: float | None,
    iters: int | None,
    epochs: int | None,
    batch_size: int | None,
    note: Callable[[str], None],
) -> Node:
    """Apply `--learning_rate`, `--iters`, `--epochs` and `--batch_size`; None leaves the file's value."""
    if iters is not None and epochs is not None:
        raise ConfigError("--iters and --epochs: give one of them")
    before = to_plain(root).get("iters")
    if batch_size is not None:
        root = set_value(root, ("batch_size",), batch_size, Source("--batch_size"))
    if iters is not None:
        root = set_value(root, ("iters",), iters, Source("--iters"))
        root = _follow_iters(root, before, Source("--iters"), note)
        root = _only_length(root, "iters", Source("--iters"), note, (), before)
    if epochs is not None:
        root = set_value(root, ("epochs",), epochs, Source("--epochs"))
        root = _only_length(root, "epochs", Source("--epochs"), note, (), before)
    if learning_rate is not None:
        root = _set_learning_rate(root, learning_rate)
    return root


def with_run_flags(
    root: Node,
    *,
    max_time: str | None = None,
    grad_clip: float | None = None,
    fold: int | str | None = None,
    num_folds: int | None = None,
) -> Node:
    """Apply `--max_time`, `--grad_clip`, `--num_folds` and the fold of `--folds`; None leaves the file's value."""
    if max_time is not None:
        root = set_value(root, ("max_time",), max_time, Source("--max_time"))
    if grad_clip is not None:
        if not grad_clip > 0:
            raise ConfigError(f"--grad_clip {grad_clip}: must be above 0")
        clip = {"name": "ClipGradByGlobalNorm", "clip_norm": grad_clip}
        root = set_value(root, ("optimizer", "grad_clip_cfg"), clip, Source("--grad_clip"))
    if num_folds is not None and num_folds < 2:
        raise ConfigError(f"--num_folds {num_folds}: must be at least 2")
    for name, value, flag in (("fold", fold, "--folds"), ("num_folds", num_folds, "--num_folds")):
        for key in ("train_dataset", "val_dataset", "test_dataset"):
            if value is not None and isinstance(to_plain(root).get(key), dict):
                root = set_value(root, (key, name), value, Source(flag))
    return root


def set_value(root: Node, path: Sequence[str | int], value: Any, source: Source) -> Node:
    """A new tree with one value replaced; the given one stays as it was.

    Raises:
        ConfigError: if a key on the way does not exist or is not a mapping or a list.
    """
    return _set(root, tuple(path), 0, from_plain(value, source))


def _set(node: Node, path: tuple[str | int, ...], depth: int, new: Node) -> Node:
    if depth == len(path):
        return new
    last = depth == len(path) - 1
    key = _child_key(node, path, depth, may_be_new=last, source=new.source)
    if isinstance(node.value, list):
        items = list(node.value)
        items[int(key)] = _set(items[int(key)], path, depth + 1, new)
        return Node(items, node.source)
    old = node.value.get(key, Node(None, new.source))
    return Node({**node.value, key: _set(old, path, depth + 1, new)}, node.source)


def _child_key(node: Node, path: tuple[str | int, ...], depth: int, *, may_be_new: bool, source: Source) -> Any:
    part, where = path[depth], format_path(path[:depth]) or "the configuration"
    if isinstance(node.value, list):
        return _position(node.value, part, where, source)
    if not isinstance(node.value, dict):
        raise ConfigError(f"{source}: {where} is {node.kind} ({node.value!r}), so it has no '{part}'")
    for key in node.value:
        if str(key) == str(part):
            return key
    if may_be_new:
        return part
    allowed = ", ".join(map(str, node.value)) or "nothing"
    raise ConfigError(f"{source}: {where} has no '{part}'; it has: {allowed}{nearest(part, map(str, node.value))}")


def _position(items: list[Node], part: str | int, where: str, source: Source) -> int:
    try:
        position = int(part)
    except ValueError:
        raise ConfigError(
            f"{source}: {where} is a list, so a position 0 to {len(items) - 1} is needed, not '{part}'"
        ) from None
    if not -len(items) <= position < len(items):
        raise ConfigError(f"{source}: {where} has {len(items)} items, there is no [{position}]")
    return position % len(items)


def _split(item: str) -> tuple[tuple[str | int, ...], Any]:
    key, separator, text = item.partition("=")
    if not separator or not key.strip():
        raise ConfigError(f"--opts {item}: expected key=value, for example --opts model.num_classes=3")
    if "=" in text and text.lstrip()[:1] not in ("'", '"', "[", "{"):
        raise ConfigError(f"--opts {item}: expected exactly one '='; put a value that contains one in quotes")
    return _parse_path(key.strip(), item), _parse_text(text.strip(), item)


def _parse_path(key: str, item: str) -> tuple[str | int, ...]:
    parts = [name or int(position) for name, position in _PART.findall(key)]
    if not parts or format_path(tuple(parts)) != key:
        raise ConfigError(f"--opts {item}: '{key}' is no key path such as train_dataset.transforms[0].degrees")
    return tuple(parts)


def _parse_text(text: str, item: str) -> Any:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = parse_value(text, f"--opts {item}")
    if isinstance(value, (set, bytes, complex)) or value is Ellipsis:
        raise ConfigError(f"--opts {item}: a configuration cannot hold {kind_of(value)}")
    return value


def _follow_iters(root: Node, before: Any, source: Source, note: Callable[[str], None], keep: Any = ()) -> Node:
    """Move schedule lengths that were equal to the old number of iterations."""
    after = to_plain(root).get("iters")
    if before is None or before == after:
        return root
    for path in _length_keys(to_plain(root).get("lr_scheduler"), ("lr_scheduler",), before):
        if path not in keep:
            root = set_value(root, path, after, source)
            note(f"{format_path(path)} follows {source}: {before} -> {after}")
    return root


def _only_length(
    root: Node, key: str, source: Source, note: Callable[[str], None], given: Container[Any], before: Any
) -> Node:
    """Take `epochs` out where `iters` is given, and the other way round."""
    other = LENGTHS[1 - LENGTHS.index(key)]
    if to_plain(root).get(other) is None or (other,) in given:
        return root
    root = set_value(root, (other,), None, source)
    note(f"{other} is left aside: {source}")
    if other == "iters":
        for path in _length_keys(to_plain(root).get("lr_scheduler"), ("lr_scheduler",), before):
            if path not in given:
                root = set_value(root, path, None, source)
                note(f"{format_path(path)} follows {source}")
    return root


def _length_keys(block: Any, path: tuple[str | int, ...], value: Any) -> list[tuple[str | int, ...]]:
    if not isinstance(block, dict):
        return []
    found = [(*path, key) for key in LENGTH_KEYS if key in block and block[key] == value]
    for key, child in block.items():
        found += _length_keys(child, (*path, key), value)
    return found


def _set_learning_rate(root: Node, value: float) -> Node:
    plain, source = to_plain(root), Source("--learning_rate")
    scheduler, old = plain.get("lr_scheduler"), plain.get("learning_rate")
    if isinstance(scheduler, dict):
        path: tuple[str, ...] = ("lr_scheduler", "learning_rate")
        while isinstance(_at(plain, path), dict):
            path = (*path, "learning_rate")
        return set_value(root, path, value, source)
    if isinstance(old, dict):
        return set_value(root, ("learning_rate", "value"), value, source)
    if old is not None:
        return set_value(root, ("learning_rate",), value, source)
    raise ConfigError(f"{source}: the configuration has neither lr_scheduler nor learning_rate to change")


def _at(plain: Any, path: Sequence[str]) -> Any:
    for part in path:
        plain = plain.get(part) if isinstance(plain, dict) else None
    return plain
