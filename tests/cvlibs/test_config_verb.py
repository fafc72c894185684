"""`medicalseg config`."""

from __future__ import annotations

import yaml

from medicalseg.cli import main
from medicalseg.cvlibs.inheritance import load
from medicalseg.cvlibs.render import render
from medicalseg.cvlibs.tree import Source, from_plain, to_plain
from medicalseg.cvlibs.yaml_reader import parse


def test_prints_what_reads_back(write, run, capsys):
    path = write(run)
    assert main(["config", str(path), "--iters", "20"]) == 0
    out = capsys.readouterr().out
    shown = yaml.safe_load(out)
    run["iters"] = run["lr_scheduler"]["decay_steps"] = 20
    assert shown == run
    assert "# note: lr_scheduler.decay_steps follows --iters" in out


def test_sources(write, run, capsys):
    write(run, "base.yml")
    path = write("_base_: base.yml\nbatch_size: 1\n")
    assert main(["config", str(path), "--sources", "--opts", "model.width=3"]) == 0
    out = capsys.readouterr().out
    lines = {line.split(":")[0].strip(" -"): line for line in out.splitlines()}
    assert lines["batch_size"].endswith("run.yml:2")
    assert "base.yml:" in lines["iters"]
    assert lines["width"].endswith("# --opts model.width")
    run["batch_size"], run["model"]["width"] = 1, 3
    assert yaml.safe_load(out) == run


def test_errors_end_with_code_2_and_one_line(write, run, capsys):
    run["model"]["widht"] = 3
    assert main(["config", str(write(run))]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "model.widht: unknown argument of ToyNet" in captured.err


def test_awkward_values_survive():
    content = {
        "texts": ["1e-4", "true", "", "a: b", "# no", "null", "é", " x ", "'", '"', "-", "1:30", "[", "two\nlines"],
        "numbers": [1e-5, 1.0, 1, -0.0, 1e300],
        "nested": [[1, [2]], [{"a": []}, {}], {"b": {"c": None}}],
        "16 classes*": {},
        "on": True,
        3: "x",
    }
    text = render(from_plain(content, Source("x")), sources=True)
    assert to_plain(parse(text, "x")) == content


def test_every_shipped_file_survives(root):
    for path in sorted(root.glob("configs/*/*.yml")):
        tree = load(path)
        assert to_plain(parse(render(tree), "x")) == to_plain(tree)
