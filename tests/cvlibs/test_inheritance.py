"""`_base_` and `_inherited_`."""

from __future__ import annotations

import pytest

from medicalseg.cvlibs.inheritance import load
from medicalseg.cvlibs.tree import source_of, to_plain
from medicalseg.errors import ConfigError


def plain(path):
    return to_plain(load(path))


def test_child_over_base_key_by_key(write):
    write({"a": 1, "m": {"x": 1, "y": {"z": 1}}, "l": [1, 2, 3]}, "base.yml")
    child = write({"_base_": "base.yml", "m": {"y": {"w": 2}}, "l": [9], "b": None})
    assert plain(child) == {"a": 1, "m": {"x": 1, "y": {"z": 1, "w": 2}}, "l": [9], "b": None}


def test_bases_are_relative_to_the_file_that_names_them(write):
    write({"a": 1}, "x/global.yml")
    write({"_base_": "../x/global.yml", "b": 2}, "y/middle.yml")
    assert plain(write({"_base_": "y/middle.yml", "c": 3})) == {"a": 1, "b": 2, "c": 3}


def test_the_first_listed_base_wins(write):
    write({"a": 1, "m": {"x": 1}}, "one.yml")
    write({"a": 2, "b": 2, "m": {"x": 2, "y": 2}}, "two.yml")
    assert plain(write({"_base_": ["one.yml", "two.yml"], "m": {"y": 3}})) == {"a": 1, "b": 2, "m": {"x": 1, "y": 3}}


def test_two_ways_to_one_base_are_no_cycle(write):
    write({"a": 1}, "ground.yml")
    write({"_base_": "ground.yml", "b": 1}, "one.yml")
    write({"_base_": "ground.yml", "c": 1}, "two.yml")
    assert plain(write({"_base_": ["one.yml", "two.yml"]})) == {"a": 1, "b": 1, "c": 1}


@pytest.mark.parametrize("bases", ["one.yml", ["one.yml", "two.yml"]])
def test_inherited_false_replaces(write, bases):
    write({"optimizer": {"type": "sgd", "momentum": 0.9}}, "one.yml")
    write({"optimizer": {"rho": 1}}, "two.yml")
    child = write({"_base_": bases, "optimizer": {"_inherited_": False, "type": "Adam"}})
    assert plain(child) == {"optimizer": {"type": "Adam"}}


def test_inherited_false_in_a_base_and_true_anywhere_leave_no_trace(write):
    write({"m": {"_inherited_": False, "x": 1}}, "one.yml")
    child = write({"_base_": "one.yml", "m": {"_inherited_": True, "y": 2}})
    assert plain(child) == {"m": {"x": 1, "y": 2}}


def test_scalars_and_lists_replace_mappings(write):
    write({"a": {"x": 1}, "b": {"x": 1}}, "one.yml")
    assert plain(write({"_base_": "one.yml", "a": None, "b": [1]})) == {"a": None, "b": [1]}


def test_a_mapping_replaces_null(write):
    write({"export": None}, "one.yml")
    assert plain(write({"_base_": "one.yml", "export": {"transforms": []}})) == {"export": {"transforms": []}}


@pytest.mark.parametrize(
    ("under", "kind"), [([1], "a list"), (3, "a whole number"), ("x", "a text"), (True, "true or")]
)
def test_a_mapping_over_another_kind_is_told(write, under, kind):
    write({"loss": {"types": under}}, "one.yml")
    with pytest.raises(
        ConfigError, match=rf"run\.yml:\d+: loss\.types: a mapping cannot be merged over {kind}.*one\.yml:"
    ):
        plain(write({"_base_": "one.yml", "loss": {"types": {"type": "A"}}}))
    child = write({"_base_": "one.yml", "loss": {"types": {"_inherited_": False, "type": "A"}}})
    assert plain(child) == {"loss": {"types": {"type": "A"}}}


def test_sources_go_through_the_bases(write, tmp_path):
    write("a: 1\nm:\n  x: 1\n", "one.yml")
    tree = load(write("_base_: one.yml\nm:\n  y: 2\n"))
    assert str(source_of(tree, ("a",))) == f"{tmp_path}/one.yml:1"
    assert str(source_of(tree, ("m", "x"))) == f"{tmp_path}/one.yml:3"
    assert str(source_of(tree, ("m", "y"))) == f"{tmp_path}/run.yml:3"


def test_a_cycle_is_shown(write):
    write({"_base_": "b.yml"}, "a.yml")
    write({"_base_": "c.yml"}, "b.yml")
    write({"_base_": "a.yml"}, "c.yml")
    with pytest.raises(ConfigError, match=r"forms a cycle: a\.yml -> b\.yml -> c\.yml -> a\.yml"):
        plain(write({"_base_": "a.yml"}))


def test_a_file_that_is_its_own_base(write):
    with pytest.raises(ConfigError, match=r"run\.yml -> run\.yml"):
        plain(write({"_base_": "run.yml"}))


def test_unreachable_base_names_the_nearest(write):
    write({"a": 1}, "_base_/global_configs.yml")
    with pytest.raises(ConfigError, match=r"run\.yml:1: _base_: no such file: .*did you mean 'global_configs\.yml'\?"):
        plain(write({"_base_": "_base_/global_config.yml"}))
    with pytest.raises(ConfigError, match="does not exist either"):
        plain(write({"_base_": "base/global_configs.yml"}))


@pytest.mark.parametrize("wrong", [3, [3], {"a": 1}, ""])
def test_base_of_another_kind(write, wrong):
    with pytest.raises(ConfigError, match="_base_ must be a file name or a list"):
        plain(write({"_base_": wrong}))


def test_inherited_of_another_kind(write):
    write({"m": {"a": 1}}, "one.yml")
    with pytest.raises(ConfigError, match="_inherited_ must be true or false"):
        plain(write({"_base_": "one.yml", "m": {"_inherited_": "no way"}}))


def test_files_that_cannot_be_configurations(tmp_path, write):
    write({}, "vnet.yml")
    with pytest.raises(ConfigError, match=r"no such file; did you mean 'vnet\.yml'\?"):
        plain(tmp_path / "vnett.yml")
    with pytest.raises(ConfigError, match="is a folder"):
        plain(tmp_path)
    with pytest.raises(ConfigError, match=r"must end in \.yml"):
        plain(write({}, "a.json"))
