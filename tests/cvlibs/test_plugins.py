"""`plugins`: code from outside the package, imported because the configuration says so and for no other reason."""

from __future__ import annotations

import sys

import numpy as np
import paddle
import pytest

from medicalseg.cvlibs import Config, manager
from medicalseg.cvlibs.plugins import PREFIX
from medicalseg.errors import ConfigError, UserError

COMPONENT = """
from medicalseg.cvlibs import manager

@manager.MODELS.add_component
class {name}:
    def __init__(self, width=2):
        self.width = width
"""


@pytest.fixture
def folder(tmp_path):
    """A folder for files; afterwards what they registered and imported is gone."""
    registered = dict(manager.MODELS.components_dict)
    modules = set(sys.modules)
    yield tmp_path
    manager.MODELS.components_dict.clear()
    manager.MODELS.components_dict.update(registered)
    for name in set(sys.modules) - modules:
        if name.startswith((PREFIX, "outside_")):
            del sys.modules[name]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_file_is_relative_to_the_configuration_that_lists_it(folder):
    write(folder / "code/net.py", COMPONENT.format(name="OutsideNet"))
    write(folder / "base/base.yml", "plugins: [../code/net.py]\n")
    config = Config(write(folder / "top/run.yml", "_base_: ../base/base.yml\nmodel: {type: OutsideNet}\n"))
    assert type(config.model).__name__ == "OutsideNet"
    assert any("plugin imported: " in note and note.endswith("net.py") for note in config.notes)


def test_file_is_imported_once_a_process(folder):
    write(folder / "net.py", COMPONENT.format(name="OutsideNet"))
    path = write(folder / "run.yml", "plugins: [net.py]\nmodel: {type: OutsideNet}\n")
    assert type(Config(path).model) is type(Config(path).model)


def test_files_of_one_name_do_not_meet(folder):
    for part, name in (("a", "OutsideA"), ("b", "OutsideB")):
        write(folder / part / "net.py", COMPONENT.format(name=name))
    path = write(folder / "run.yml", "plugins: [a/net.py, b/net.py]\nmodel: {type: OutsideB}\n")
    assert type(Config(path).model).__name__ == "OutsideB"
    assert "OutsideA" in manager.MODELS


def test_installed_module(folder, monkeypatch):
    write(folder / "site/outside_package/__init__.py", COMPONENT.format(name="OutsideNet"))
    monkeypatch.syspath_prepend(str(folder / "site"))
    path = write(folder / "run.yml", "plugins: [outside_package]\nmodel: {type: OutsideNet}\n")
    assert type(Config(path).model).__module__ == "outside_package"


def test_override_is_relative_to_the_current_folder(folder, monkeypatch):
    write(folder / "here/net.py", COMPONENT.format(name="OutsideNet"))
    path = write(folder / "elsewhere/run.yml", "iters: 1\n")
    monkeypatch.chdir(folder / "here")
    Config(path, opts=["plugins=['net.py']"])
    assert "OutsideNet" in manager.MODELS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("plugins: net.py", r"run\.yml:1: plugins: must be a list"),
        ("plugins: {a: 1}", r"plugins: must be a list"),
        ("plugins: [net.py, 3]", r"plugins\[1\]: must be a text"),
        ("plugins:\n  - missing.py", r"run\.yml:2: plugins\[0\]: no such file: .*missing\.py"),
        ("plugins: [outside_nowhere]", r"plugins\[0\]: no installed module 'outside_nowhere'"),
        ("plugins: [outside_nowhere.sub]", r"no installed module 'outside_nowhere\.sub'"),
        ("plugins: [broken.py]", r"broken\.py cannot be imported: ZeroDivisionError in broken\.py:2"),
        ("plugins: [wrong.py]", r"wrong\.py cannot be imported: SyntaxError"),
        ("plugins: [needs.py]", r"ModuleNotFoundError in needs\.py:1: No module named 'outside_nowhere'"),
        ("plugins: ['']", r"plugins\[0\]: must be a text that is not empty|plugins\[0\]: must be a text"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(folder, content, message):
    write(folder / "net.py", COMPONENT.format(name="OutsideNet"))
    write(folder / "broken.py", "x = 0\ny = 1 / x\n")
    write(folder / "wrong.py", "def (:\n")
    write(folder / "needs.py", "import outside_nowhere\n")
    with pytest.raises(ConfigError, match=message) as caught:
        Config(write(folder / "run.yml", content + "\n"))
    assert "\n" not in str(caught.value)


def test_failed_import_leaves_nothing_behind(folder):
    write(folder / "net.py", "raise RuntimeError('first time')\n")
    path = write(folder / "run.yml", "plugins: [net.py]\nmodel: {type: OutsideNet}\n")
    with pytest.raises(ConfigError, match="first time"):
        Config(path)
    write(folder / "net.py", COMPONENT.format(name="OutsideNet"))
    assert type(Config(path).model).__name__ == "OutsideNet"


def test_an_error_of_ours_passes_unchanged(folder):
    write(folder / "net.py", "from medicalseg.errors import UserError\nraise UserError('set X')\n")
    with pytest.raises(UserError, match=r"^set X$"):
        Config(write(folder / "run.yml", "plugins: [net.py]\n"))


@pytest.mark.parametrize("key", ["plugin", "imports", "_base_"])
def test_no_other_key_imports_python(folder, key):
    write(folder / "net.py", "raise SystemExit('ran')\n")
    with pytest.raises(ConfigError):
        Config(write(folder / "run.yml", f"{key}: net.py\n"))


@pytest.fixture
def example(root, folder, monkeypatch):
    """The shipped example with toy data, as its README makes them."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(root / "examples/plugin"))
    import make_data

    monkeypatch.setattr(sys, "argv", ["make_data.py", "data/plugin_example", "--cases", "4"])
    make_data.main()
    registered = set(manager.DATASETS.components_dict)
    yield Config(root / "examples/plugin/plugin.yml")
    for name in set(manager.DATASETS.components_dict) - registered:
        del manager.DATASETS.components_dict[name]


def test_shipped_example(example):
    train, val = example.train_dataset, example.val_dataset
    assert (len(train), len(val)) == (3, 1)
    assert not {case.name for case in train.cases} & {case.name for case in val.cases}
    image, label, name = val[0]
    assert image.shape == (1, 24, 21, 24)
    assert label.shape == (24, 21, 24)
    assert name == val.cases[0].name
    assert set(np.unique(label)) == {0, 1, 2}
    logits = example.model(paddle.to_tensor(image[None]))
    assert [tuple(item.shape) for item in logits] == [(1, 3, 24, 21, 24)]
    assert val.to_original(label, 0).shape == val.reference(0).shape == (32, 28, 24)
