"""Safe YAML with line numbers.

Three differences from PyYAML's safe loader: a key written twice in one mapping is an error, `1e-4` is a number as
YAML 1.2 has it, and `1:30` is a text, not ninety.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from medicalseg.cvlibs.tree import Node, Source, readable, to_plain
from medicalseg.errors import ConfigError

MAX_VALUES = 100_000

_FLOAT = re.compile(
    r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?"
    r"|[0-9][0-9_]*[eE][-+]?[0-9]+|\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
)
_INT = re.compile(r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]+|0|[1-9][0-9_]*)$")


def use_yaml_1_2_numbers(kind: Any) -> None:
    """Make a PyYAML loader or dumper class tell numbers from texts as YAML 1.2 does."""
    kind.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] not in ("float", "int")]
        for first, resolvers in kind.yaml_implicit_resolvers.items()
    }
    kind.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
    kind.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the numbers of YAML 1.2."""

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        """Also numbers with an exponent and no dot."""
        text = str(self.construct_scalar(node)).replace("_", "").lower()
        return float(text.replace(".inf", "inf").replace(".nan", "nan"))


use_yaml_1_2_numbers(_Loader)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_yaml_float)


def read_yaml(path: str | Path) -> Node:
    """Read one file into a tree, without its `_base_` files.

    Raises:
        ConfigError: if the file cannot be read, is not YAML, repeats a key or is not a mapping.
    """
    name = readable(path)
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: not a UTF-8 text file ({error.reason} at byte {error.start})") from error
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror}") from error
    tree = parse(text, name)
    if not tree.is_mapping:
        raise ConfigError(f"{name}: holds {tree.kind} where a mapping of keys such as 'model:' is expected")
    return tree


def parse(text: str, name: str) -> Node:
    """Parse YAML text into a tree; `name` stands for the file in messages and sources."""
    try:
        return _parse(text, name)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{name}{line}: not valid YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not valid YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise ConfigError(f"{name}: nested too deeply") from error


def _parse(text: str, name: str) -> Node:
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        return Node({}, Source(name, 1)) if root is None else _Builder(loader, name).build(root)
    finally:
        loader.dispose()


def parse_value(text: str, name: str) -> Any:
    """Parse one YAML value, such as the right side of an override."""
    return to_plain(parse(text, name)) if text.strip() else ""


class _Builder:
    """Turns PyYAML's nodes into ours."""

    def __init__(self, loader: _Loader, name: str) -> None:
        self._loader = loader
        self._name = name
        self._open: set[int] = set()
        self._count = 0

    def build(self, node: yaml.Node) -> Node:
        self._count += 1
        source = Source(self._name, node.start_mark.line + 1)
        if id(node) in self._open:
            raise ConfigError(f"{source}: an alias that contains itself")
        if self._count > MAX_VALUES:
            raise ConfigError(f"{self._name}: more than {MAX_VALUES} values")
        self._open.add(id(node))
        try:
            return Node(self._value(node, source), source)
        finally:
            self._open.discard(id(node))

    def _value(self, node: yaml.Node, source: Source) -> Any:
        if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return self._mapping(node)
        if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            return [self.build(item) for item in node.value]
        if isinstance(node, yaml.ScalarNode) and node.tag.startswith("tag:yaml.org,2002:"):
            return self._scalar(node, source)
        raise ConfigError(f"{source}: the tag '{node.tag}' is not allowed; use plain mappings, lists and values")

    def _scalar(self, node: yaml.ScalarNode, source: Source) -> Any:
        try:
            value = self._loader.construct_object(node)
        except (ValueError, yaml.YAMLError) as error:
            raise ConfigError(f"{source}: cannot be read as a value: {node.value!r}") from error
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        return node.value

    def _mapping(self, node: yaml.MappingNode) -> dict[Hashable, Node]:
        merged: dict[Hashable, Node] = {}
        own: dict[Hashable, Node] = {}
        for key_node, value_node in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                merged = {**self._merge_key(value_node), **merged}
                continue
            key = self._key(key_node)
            if key in own:
                first = own[key].source
                line = key_node.start_mark.line + 1
                raise ConfigError(f"{self._name}:{line}: the key '{key}' was already given near line {first.line}")
            own[key] = self.build(value_node)
        return {**merged, **own}

    def _key(self, node: yaml.Node) -> Hashable:
        source = Source(self._name, node.start_mark.line + 1)
        if not isinstance(node, yaml.ScalarNode):
            raise ConfigError(f"{source}: a key must be a plain word")
        key = self._scalar(node, source)
        if not isinstance(key, Hashable):
            raise ConfigError(f"{source}: a key must be a plain word")
        return key

    def _merge_key(self, node: yaml.Node) -> dict[Hashable, Node]:
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[Hashable, Node] = {}
        for part in parts:
            built = self.build(part)
            if not isinstance(built.value, dict):
                raise ConfigError(f"{built.source}: '<<' merges mappings, got {built.kind}")
            merged = {**built.value, **merged}
        return merged
