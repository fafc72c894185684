"""--opts, --iters, --learning_rate, --batch_size and the environment."""

from __future__ import annotations

import pytest

from medicalseg.cvlibs import Config
from medicalseg.cvlibs.overrides import with_opts
from medicalseg.cvlibs.tree import Source, from_plain, to_plain
from medicalseg.errors import ConfigError

PLAIN = {"iters": 10, "model": {"type": "A", "size": [1, [2, 3]]}, "transforms": [{"type": "T", "degrees": 1}], "x": 1}


def changed(*opts):
    return to_plain(with_opts(from_plain(PLAIN, Source("f.yml")), opts, lambda note: None))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1e-4", 1e-4),
        ("True", True),
        ("true", True),
        ("None", None),
        ("null", None),
        ("[1, 2]", [1, 2]),
        ("(1, 2)", [1, 2]),
        ("[a, b]", ["a", "b"]),
        ("{'type': 'B'}", {"type": "B"}),
        ("{type: B}", {"type": "B"}),
        ("output/run", "output/run"),
        ("'a=b'", "a=b"),
        ("", ""),
        ("1:30", "1:30"),
        ("__import__('os')", "__import__('os')"),
    ],
)
def test_values(text, value):
    assert changed(f"x={text}")["x"] == value


def test_key_paths():
    assert changed("model.type=B")["model"]["type"] == "B"
    assert changed("model.new=1")["model"]["new"] == 1
    assert changed("fresh=1")["fresh"] == 1
    assert changed("transforms.0.degrees=5")["transforms"] == [{"type": "T", "degrees": 5}]
    assert changed("transforms[0].degrees=5")["transforms"] == [{"type": "T", "degrees": 5}]
    assert changed("transforms[-1].degrees=5")["transforms"] == [{"type": "T", "degrees": 5}]
    assert changed("model.size[1][0]=5")["model"]["size"] == [1, [5, 3]]
    assert changed("x=1", "x=2")["x"] == 2


def test_the_original_stays():
    tree = from_plain(PLAIN, Source("f.yml"))
    with_opts(tree, ["model.type=B", "transforms[0].degrees=9"], lambda note: None)
    assert to_plain(tree) == PLAIN


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("x", "expected key=value"),
        ("=3", "expected key=value"),
        ("x=1=2", "exactly one '='"),
        ("a..b=1", "no key path"),
        ("modle.type=B", "the configuration has no 'modle'; .*did you mean 'model'"),
        ("model.size.a=1", "a position 0 to 1 is needed, not 'a'"),
        ("transforms[3].degrees=1", r"transforms has 1 items, there is no \[3\]"),
        ("x.y=1", r"x is a whole number \(1\), so it has no 'y'"),
        ("x={1, 2}", "cannot hold set"),
        ("x=b'1'", "cannot hold bytes"),
        ("x=[1,", "not valid YAML"),
    ],
)
def test_refused(item, message):
    with pytest.raises(ConfigError, match=message) as caught:
        changed(item)
    assert "--opts" in str(caught.value)


def test_flags(write, run):
    config = Config(write(run), learning_rate=0.5, iters=20, batch_size=1)
    assert (config.iters, config.batch_size) == (20, 1)
    assert config.dic["lr_scheduler"]["learning_rate"] == 0.5
    assert config.dic["lr_scheduler"]["decay_steps"] == 20
    assert any("decay_steps follows --iters: 15000 -> 20" in note for note in config.notes)
    assert str(config.source("iters")) == "--iters"
    assert str(config.source("lr_scheduler", "decay_steps")) == "--iters"


def test_decay_steps_of_another_length_stay(write, run):
    run["lr_scheduler"]["decay_steps"] = 9000
    config = Config(write(run), iters=20)
    assert config.dic["lr_scheduler"]["decay_steps"] == 9000
    assert any("decay_steps is 9000" in note for note in config.notes)


def test_iters_by_opts_moves_decay_steps_unless_told(write, run):
    path = write(run)
    assert Config(path, opts=["iters=20"]).dic["lr_scheduler"]["decay_steps"] == 20
    assert Config(path, opts=["iters=20", "lr_scheduler.decay_steps=7"]).dic["lr_scheduler"]["decay_steps"] == 7


def test_opts_come_after_flags(write, run):
    assert Config(write(run), batch_size=2, opts=["batch_size=5"]).batch_size == 5


@pytest.mark.parametrize(
    ("old", "found"),
    [(0.1, 0.7), ({"value": 0.1, "decay": {"type": "poly"}}, {"value": 0.7, "decay": {"type": "poly"}})],
)
def test_learning_rate_of_the_old_block(write, run, old, found):
    del run["lr_scheduler"]
    run["learning_rate"] = old
    assert Config(write(run), learning_rate=0.7).dic["learning_rate"] == found


def test_learning_rate_without_a_schedule(write, run):
    del run["lr_scheduler"]
    with pytest.raises(ConfigError, match="--learning_rate: the configuration has neither"):
        Config(write(run), learning_rate=0.7)


@pytest.mark.parametrize("flags", [{"iters": 0}, {"iters": -3}, {"batch_size": 0}])
def test_wrong_flags_are_told_with_their_name(write, run, flags):
    (name,) = flags
    with pytest.raises(ConfigError, match=f"--{name}: must be a whole number above 0"):
        Config(write(run), **flags)


def test_environment_replaces_data_root_but_not_opts(write, run, monkeypatch):
    path = write(run)
    monkeypatch.setenv("MEDICALSEG_DATA_ROOT", "elsewhere")
    config = Config(path)
    assert config.data_root == "elsewhere"
    assert config.train_dataset.dataset_root == "elsewhere/toy/phase0"
    assert "MEDICALSEG_DATA_ROOT" in str(config.source("data_root"))
    assert Config(path, opts=["data_root=third"]).data_root == "third"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"max_time": "soon"}, "--max_time: 'soon' is not a duration such as 90s, 30m, 2h or 1h30m"),
        ({"iters": 0}, "--iters: must be a whole number above 0, got a whole number: 0"),
        ({"opts": ["optimiser=1"]}, "--opts optimiser: unknown key; allowed: "),
        ({"opts": ["ema={decay: 2}"]}, "--opts ema: ema.decay: must lie between 0 and 1, got 2"),
    ],
)
def test_a_key_is_named_once(write, run, flags, message):
    with pytest.raises(ConfigError) as error:
        Config(write(run), **flags)
    assert str(error.value).startswith(message)
