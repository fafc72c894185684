"""A configuration as a tree whose every value remembers where it was written."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from medicalseg.errors import ConfigError

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Source:
    """Where a value was written: a file with a line, or an override with no line."""

    name: str
    line: int | None = None

    def __str__(self) -> str:
        return self.name if self.line is None else f"{self.name}:{self.line}"


@dataclass(frozen=True)
class Node:
    """A value with its source; a mapping holds nodes by key, a sequence a list of nodes, all else is a plain value."""

    value: Any
    source: Source

    @property
    def is_mapping(self) -> bool:
        """Whether the value is a mapping."""
        return isinstance(self.value, dict)

    @property
    def kind(self) -> str:
        """What the value is, for messages."""
        return kind_of(self.value)


class KeyPathError(ConfigError):
    """Something is wrong at one key; the reader of the file adds where that key was written."""

    def __init__(self, path: KeyPath, text: str) -> None:
        super().__init__(f"{format_path(path)}: {text}" if path else text)
        self.path, self.text = path, text


def kind_of(value: Any) -> str:
    """A value's kind in a user's words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    names = {dict: "a mapping", list: "a list", str: "a text", int: "a whole number", float: "a number"}
    return names.get(type(value), type(value).__name__)


def format_path(path: KeyPath) -> str:
    """`("train_dataset", "transforms", 1, "degrees")` as `train_dataset.transforms[1].degrees`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def nearest(name: object, candidates: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing if no candidate is near."""
    names = [str(candidate) for candidate in candidates]
    by_lower_case = {candidate.lower(): candidate for candidate in names}
    close = difflib.get_close_matches(str(name).lower(), by_lower_case, n=1, cutoff=0.6)
    return f"; did you mean '{by_lower_case[close[0]]}'?" if close else ""


def from_plain(value: Any, source: Source) -> Node:
    """A tree of plain mappings, lists and scalars, all from one source.

    Raises:
        ConfigError: if a value is of a kind that YAML cannot hold.
    """
    if isinstance(value, dict):
        return Node({key: from_plain(item, source) for key, item in value.items()}, source)
    if isinstance(value, (list, tuple)):
        return Node([from_plain(item, source) for item in value], source)
    if value is None or isinstance(value, (bool, int, float, str)):
        return Node(value, source)
    raise ConfigError(f"{source}: a configuration cannot hold {type(value).__name__}: {value!r}")


def to_plain(node: Node) -> Any:
    """The tree without its sources; a fresh copy at every call."""
    if isinstance(node.value, dict):
        return {key: to_plain(item) for key, item in node.value.items()}
    if isinstance(node.value, list):
        return [to_plain(item) for item in node.value]
    return node.value


def walk(node: Node, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Node]]:
    """Every node with its key path, parents first."""
    yield path, node
    for key, child in children(node):
        yield from walk(child, (*path, key))


def children(node: Node) -> list[tuple[str | int, Node]]:
    """A node's direct children with their keys or list positions."""
    if isinstance(node.value, dict):
        return list(node.value.items())
    if isinstance(node.value, list):
        return list(enumerate(node.value))
    return []


def source_of(root: Node, path: KeyPath) -> Source:
    """Where the key was written, or the nearest key above it that was written at all."""
    node = root
    for part in path:
        following = dict(children(node)).get(part)
        if following is None:
            break
        node = following
    return node.source


def is_override(source: Source) -> bool:
    """Whether a flag of the command line wrote it."""
    return source.line is None and source.name.startswith("--")


def readable(path: str | os.PathLike[str]) -> str:
    """A path as short as the user gave it, without `x/../`."""
    return os.path.normpath(os.fspath(path))
