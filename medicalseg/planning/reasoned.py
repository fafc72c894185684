"""A configuration whose values carry the reason for them, and its YAML text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from medicalseg.cvlibs.yaml_reader import use_yaml_1_2_numbers

WIDTH = 118
COLUMN = 46
MERGE = "<<"


@dataclass(frozen=True)
class Because:
    """A value and why it is so.

    Attributes:
        value: plain, or mappings and lists that may hold further `Because`.
        reason: one sentence, without line breaks.
        anchor: name by which a later block refers to it.
    """

    value: Any
    reason: str = ""
    anchor: str = ""


@dataclass(frozen=True)
class Alias:
    """A reference to an anchored value; as a block's key `<<` it is merged into the block."""

    anchor: str


class _Dumper(yaml.SafeDumper):
    """Quotes texts that our reader would take for numbers."""


use_yaml_1_2_numbers(_Dumper)


def to_yaml(tree: Mapping[str, Any], head: Sequence[str] = ()) -> str:
    """YAML text with the reasons as comments.

    Args:
        tree: mappings, lists, plain values, `Because` around any of them.
        head: comment lines at the top.
    """
    lines = [f"# {line}".rstrip() for line in head]
    lines += [""] if head else []
    for key, value in tree.items():
        lines += _entry(key, value, 0)
        if _inner(value)[0] is not None and isinstance(_inner(value)[0], Mapping):
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def plain(tree: Any, anchors: dict[str, Any] | None = None) -> Any:
    """The values alone, aliases resolved, as a reader of the YAML text gets them."""
    anchors = {} if anchors is None else anchors
    value, _, anchor = _inner(tree)
    if isinstance(value, Alias):
        return anchors[value.anchor]
    if isinstance(value, Mapping):
        result: dict[str, Any] = {}
        for key, item in value.items():
            found = plain(item, anchors)
            result.update(found if key == MERGE else {key: found})
        value = result
    elif isinstance(value, (list, tuple)):
        value = [plain(item, anchors) for item in value]
    if anchor:
        anchors[anchor] = value
    return value


def _inner(item: Any) -> tuple[Any, str, str]:
    return (item.value, item.reason, item.anchor) if isinstance(item, Because) else (item, "", "")


def _entry(key: Any, item: Any, depth: int) -> Iterator[str]:
    value, reason, anchor = _inner(item)
    pad = "  " * depth
    head = f"{pad}{key if key == MERGE else _scalar(key)}:" + (f" &{anchor}" if anchor else "")
    if _is_flow(value):
        yield from _with_reason(f"{head} {_flow(value)}", reason, pad)
        return
    yield from _with_reason(head, reason, pad)
    yield from _block(value, depth + 1)


def _block(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _entry(key, item, depth)
        return
    pad = "  " * depth
    for item in value:
        inner, reason, _ = _inner(item)
        if _is_flow(inner):
            yield from _with_reason(f"{pad}- {_flow(inner)}", reason, pad)
            continue
        if reason:
            yield from _above(reason, pad)
        lines = list(_block(inner, depth + 1))
        first = next(number for number, line in enumerate(lines) if not line.lstrip().startswith("#"))
        yield from lines[:first]
        yield f"{pad}- {lines[first].lstrip()}"
        yield from lines[first + 1 :]


def _with_reason(line: str, reason: str, pad: str) -> Iterator[str]:
    if not reason:
        yield line
        return
    beside = f"{line:<{COLUMN}}  # {reason}"
    if len(beside) <= WIDTH:
        yield beside
        return
    yield from _above(reason, pad)
    yield line


def _above(reason: str, pad: str) -> Iterator[str]:
    for part in textwrap.wrap(reason, WIDTH - len(pad) - 2):
        yield f"{pad}# {part}"


def _is_flow(value: Any) -> bool:
    """Whether it is written on one line: plain values, lists and mappings of them without reasons inside."""
    if isinstance(value, Mapping):
        return not value or (_quiet(value) and len(_flow(value)) <= 90 and MERGE not in value)
    if isinstance(value, (list, tuple)):
        return _quiet(value) and (len(_flow(value)) <= 90 or not any(isinstance(i, (Mapping, list)) for i in value))
    return True


def _quiet(value: Any) -> bool:
    if isinstance(value, Because):
        return False
    if isinstance(value, Mapping):
        return all(_quiet(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return all(_quiet(item) for item in value)
    return True


def _flow(value: Any) -> str:
    if isinstance(value, Alias):
        return f"*{value.anchor}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    text = yaml.dump([value], Dumper=_Dumper, default_flow_style=True, width=float("inf"), allow_unicode=True)
    return text.strip().removeprefix("[").removesuffix("]")
