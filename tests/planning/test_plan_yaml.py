"""The commented YAML reads back as what was planned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from medicalseg.cvlibs.tree import to_plain
from medicalseg.cvlibs.yaml_reader import read_yaml
from medicalseg.planning.reasoned import WIDTH, Alias, Because, plain, to_yaml

VALUES = [
    0,
    -3,
    1.0,
    1e-5,
    0.1 + 0.2,
    1e300,
    True,
    None,
    "text",
    "1e-4",
    "1:30",
    "yes",
    "null",
    "",
    "a: b # c",
    "Grüße 左",
    "*x",
    "10%",
    "[1, 2]",
    [1, 2, [3, 4.5]],
    [],
    {},
    {"a": [1, {"b": None}]},
    list(range(80)),
    [{"type": "A", "list": list(range(60))}, {"type": "B"}],
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_read_back(tmp_path: Path, value: Any) -> None:
    tree = {"key": Because(value, "because"), "block": {"inner": value, "more": Because({"deep": value}, "so")}}
    path = tmp_path / "file.yml"
    path.write_text(to_yaml(tree, ["head", ""]), encoding="utf-8")
    read = to_plain(read_yaml(path))
    assert read == plain(tree) == {"key": value, "block": {"inner": value, "more": {"deep": value}}}
    assert repr(read) == repr(plain(tree))


def test_odd_keys_read_back(tmp_path: Path) -> None:
    tree = {"labels": {"true": 1, "1": 2, "L4/L5": 3, "a: b": 4, "null": 5}}
    path = tmp_path / "file.yml"
    path.write_text(to_yaml(tree), encoding="utf-8")
    assert to_plain(read_yaml(path)) == tree


def test_blocks_are_merged_and_overridden(tmp_path: Path) -> None:
    tree = {
        "first": Because({"type": "A", "list": [Because({"x": 1, "y": Because(2, "two")}, "item")]}, anchor="data"),
        "second": {"<<": Alias("data"), "type": "B"},
    }
    text = to_yaml(tree)
    path = tmp_path / "file.yml"
    path.write_text(text, encoding="utf-8")
    assert to_plain(read_yaml(path)) == plain(tree)
    assert plain(tree)["second"] == {"type": "B", "list": [{"x": 1, "y": 2}]}
    assert "&data" in text
    assert "<<: *data" in text


def test_short_reasons_stand_beside_long_ones_above() -> None:
    text = to_yaml({"a": Because(1, "short"), "b": {"c": Because(2, "long " * 40)}})
    assert "a: 1" + " " * 42 + "  # short\n" in text
    above = text.splitlines()[2:-1]
    assert all(line.startswith("  # long") for line in above)
    assert max(map(len, text.splitlines())) <= WIDTH + 2
    assert text.splitlines()[-1] == "  c: 2"
