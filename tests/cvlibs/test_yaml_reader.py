"""Safe YAML with line numbers."""

from __future__ import annotations

import math

import pytest
import yaml

from medicalseg.cvlibs.tree import to_plain, walk
from medicalseg.cvlibs.yaml_reader import parse, parse_value, read_yaml
from medicalseg.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        ("-2.5e-3", -2.5e-3),
        ("1.0e-4", 1e-4),
        ("1.", 1.0),
        (".5", 0.5),
        ("0.1", 0.1),
        ("+3", 3),
        ("0", 0),
        ("15_000", 15000),
        ("0x1f", 31),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        ("true", True),
        ("False", False),
        ("null", None),
        ("Null", None),
        ("~", None),
        ("1:30", "1:30"),
        ("2024-10-18", "2024-10-18"),
        ("1e", "1e"),
        ("e5", "e5"),
        ("data/", "data/"),
        ("'1e-4'", "1e-4"),
        ("[1, 2e-1, a]", [1, 0.2, "a"]),
        ("{a: {b: [1]}}", {"a": {"b": [1]}}),
    ],
)
def test_values(text, value):
    found = parse_value(text, "here")
    assert found == value
    assert type(found) is type(value)


def test_nan():
    assert math.isnan(parse_value(".nan", "here"))


def test_agrees_with_pyyaml_on_an_ordinary_file(root):
    for path in root.glob("configs/*/*.yml"):
        assert to_plain(read_yaml(path)) == yaml.safe_load(path.read_text())


def test_every_value_knows_its_line():
    tree = parse("a: 1\nb:\n  - c: 2\n\n  - 3\n", "f.yml")
    lines = {path: str(node.source) for path, node in walk(tree)}
    assert lines[("a",)] == "f.yml:1"
    assert lines[("b", 0, "c")] == "f.yml:3"
    assert lines[("b", 1)] == "f.yml:5"


def test_anchors_and_merge_keys():
    tree = to_plain(parse("x: &x {a: 1, b: 2}\ny: *x\nz: {<<: *x, b: 3}\nw: {<<: [{a: 9}, *x]}\n", "f.yml"))
    assert tree["y"] == {"a": 1, "b": 2}
    assert tree["z"] == {"a": 1, "b": 3}
    assert tree["w"] == {"a": 9, "b": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", r"f\.yml:3: the key 'a' was already given near line 1"),
        ("m:\n  a: 1\n  a: 1\n", r"f\.yml:3: the key 'a'"),
        ("a: [1, 2\nb: 3\n", r"f\.yml:\d: not valid YAML"),
        ("a: !!python/object/apply:os.system ['true']", r"the tag '.*os\.system' is not allowed"),
        ("a: !!python/tuple [1, 2]", "is not allowed"),
        ("a: !mine 3", "is not allowed"),
        ("a: &a [*a]", "contains itself"),
        ("a: *b", "not valid YAML"),
        ("a: 1\n---\nb: 2\n", "not valid YAML"),
        ("[1]: 2", "a key must be a plain word"),
        ("a: {<<: 3}", "'<<' merges mappings"),
        ("a: \x00", "not valid YAML"),
        ("[" * 3000, "nested too deeply"),
    ],
)
def test_refused(text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        parse(text, "f.yml")
    assert "\n" not in str(caught.value)


def test_a_bomb_of_aliases_is_refused():
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]" for k in range(1, 9)]
    with pytest.raises(ConfigError, match="more than"):
        parse("\n".join(lines), "f.yml")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"- 1\n", "holds a list"), (b"text", "holds a text"), (b"\xff\xfe\x00", "not a UTF-8 text file")],
)
def test_files_that_are_no_mapping(tmp_path, content, message):
    path = tmp_path / "f.yml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_yaml(path)


def test_byte_order_mark_and_empty_file(tmp_path):
    path = tmp_path / "f.yml"
    path.write_bytes(b"\xef\xbb\xbfiters: 3\n")
    assert to_plain(read_yaml(path)) == {"iters": 3}
    path.write_text("# nothing\n")
    assert to_plain(read_yaml(path)) == {}
