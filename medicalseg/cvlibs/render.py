"""A configuration as YAML text, on request with the source of every value as a comment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from medicalseg.cvlibs.tree import Node, to_plain
from medicalseg.cvlibs.yaml_reader import use_yaml_1_2_numbers


class _Dumper(yaml.SafeDumper):
    """Quotes texts that our reader would take for numbers."""


use_yaml_1_2_numbers(_Dumper)


def render(root: Node, *, sources: bool = False) -> str:
    """YAML text that reads back as the same configuration.

    Args:
        root: the merged tree.
        sources: put `# file:line` behind every value.
    """
    lines = list(_mapping(root, 0)) or [("{}", root)]
    if not sources:
        return "".join(f"{text}\n" for text, _ in lines)
    width = min(max(len(text) for text, _ in lines), 60)
    return "".join(f"{text:<{width}}  # {node.source}\n" if node else f"{text}\n" for text, node in lines)


def _mapping(node: Node, depth: int) -> Iterator[tuple[str, Node | None]]:
    for key, child in node.value.items():
        head = f"{'  ' * depth}{_scalar(key)}:"
        if _is_block(child):
            yield head, None
            yield from _block(child, depth + 1)
        else:
            yield f"{head} {_inline(child)}", child


def _block(node: Node, depth: int) -> Iterator[tuple[str, Node | None]]:
    if node.is_mapping:
        yield from _mapping(node, depth)
        return
    for item in node.value:
        if not _is_block(item):
            yield f"{'  ' * depth}- {_inline(item)}", item
            continue
        inner = list(_block(item, depth + 1))
        first, source = inner[0]
        yield f"{'  ' * depth}- {first[2 * (depth + 1) :]}", source
        yield from inner[1:]


def _is_block(node: Node) -> bool:
    if node.is_mapping:
        return bool(node.value)
    return isinstance(node.value, list) and any(_is_block(item) for item in node.value)


def _inline(node: Node) -> str:
    return _scalar(to_plain(node))


def _scalar(value: Any) -> str:
    text = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, width=float("inf"), allow_unicode=True)
    return text.removesuffix("\n").removesuffix("...").strip()
