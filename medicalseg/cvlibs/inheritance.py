"""`_base_` and `_inherited_`: a file on top of others.

Mappings merge key by key; anything else replaces what lies under it. Of several bases the one listed first wins.
`_inherited_: False` inside a mapping cuts it off from everything under it.
"""

from __future__ import annotations

from pathlib import Path

from medicalseg.cvlibs.tree import KeyPath, Node, format_path, nearest, readable
from medicalseg.cvlibs.yaml_reader import read_yaml
from medicalseg.errors import ConfigError

BASE_KEY = "_base_"
INHERITED_KEY = "_inherited_"


def load(path: str | Path) -> Node:
    """Read a file and everything it inherits from.

    Raises:
        ConfigError: if a file is missing or is no YAML, the bases form a cycle, or a mapping meets another kind.
    """
    return _without_markers(_load(Path(path), ()))


def merge(upper: Node, lower: Node, path: KeyPath = ()) -> Node:
    """`upper` over `lower`.

    Raises:
        ConfigError: if `upper` has a mapping where `lower` has a list or a single value.
    """
    if not isinstance(upper.value, dict) or not _inherits(upper) or lower.value is None:
        return upper
    if not isinstance(lower.value, dict):
        raise ConfigError(
            f"{upper.source}: {format_path(path)}: a mapping cannot be merged over {lower.kind} of {lower.source}; "
            f"add '{INHERITED_KEY}: False' to the mapping to replace it"
        )
    merged = dict(lower.value)
    for key, value in upper.value.items():
        merged[key] = merge(value, lower.value[key], (*path, key)) if key in lower.value else value
    return Node(merged, upper.source)


def _inherits(node: Node) -> bool:
    marker = node.value.get(INHERITED_KEY)
    if marker is not None and not isinstance(marker.value, bool):
        raise ConfigError(f"{marker.source}: {INHERITED_KEY} must be true or false, got {marker.value!r}")
    return marker is None or marker.value


def _load(path: Path, chain: tuple[Path, ...]) -> Node:
    _check_file(path)
    resolved = path.resolve()
    if resolved in chain:
        steps = " -> ".join(readable(step.name) for step in (*chain[chain.index(resolved) :], resolved))
        raise ConfigError(f"{readable(path)}: {BASE_KEY} forms a cycle: {steps}")
    node = read_yaml(path)
    bases = node.value.pop(BASE_KEY, None)
    for lower in _load_bases(bases, path, (*chain, resolved)):
        node = merge(node, lower)
    return node


def _load_bases(bases: Node | None, path: Path, chain: tuple[Path, ...]) -> list[Node]:
    if bases is None or bases.value is None:
        return []
    entries = bases.value if isinstance(bases.value, list) else [bases]
    loaded: list[Node] = []
    for entry in entries:
        if not isinstance(entry.value, str) or not entry.value:
            raise ConfigError(f"{entry.source}: {BASE_KEY} must be a file name or a list of them, got {entry.kind}")
        target = path.parent / entry.value
        if not target.is_file():
            raise ConfigError(
                f"{entry.source}: {BASE_KEY}: no such file: {readable(target)} (looked for from the folder of "
                f"{readable(path)}){_neighbour(target)}"
            )
        loaded.append(_load(target, chain))
    return [_fold(loaded)] if loaded else []


def _fold(nodes: list[Node]) -> Node:
    result = nodes[-1]
    for node in reversed(nodes[:-1]):
        result = merge(node, result)
    return result


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise ConfigError(f"{readable(path)}: is a folder; a configuration is a .yml file")
    if not path.is_file():
        raise ConfigError(f"{readable(path)}: no such file{_neighbour(path)}")
    if path.suffix.lower() not in (".yml", ".yaml"):
        raise ConfigError(f"{readable(path)}: a configuration must end in .yml or .yaml")


def _neighbour(path: Path) -> str:
    if not path.parent.is_dir():
        return f"; the folder {readable(path.parent)} does not exist either"
    return nearest(path.name, [item.name for item in path.parent.iterdir() if item.suffix in (".yml", ".yaml")])


def _without_markers(node: Node) -> Node:
    if isinstance(node.value, dict):
        kept = {key: _without_markers(value) for key, value in node.value.items() if key != INHERITED_KEY}
        return Node(kept, node.source)
    if isinstance(node.value, list):
        return Node([_without_markers(item) for item in node.value], node.source)
    return node
