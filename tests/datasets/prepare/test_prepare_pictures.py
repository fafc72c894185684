"""Pictures: a run that is interrupted leaves nothing that could be trained on."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from medicalseg.datasets.prepare import pictures
from medicalseg.datasets.prepare.pictures import Picture, PictureJob, PictureRecipe, PictureSource
from medicalseg.datasets.splits import holdout
from medicalseg.errors import UserError

from .conftest import contents


def paint(source: PictureSource, grey: int, stop_at: str = "") -> list[Picture]:
    if source.name == stop_at:
        raise KeyboardInterrupt
    return [Picture(source.name, np.full((4, 4), grey, np.uint8), np.ones((4, 4), np.uint8))]


def job_for(folder: Path, grey: int, stop_at: str = "") -> PictureJob:
    sources = []
    for name in "abcd":
        if not (folder / name).exists():
            folder.mkdir(exist_ok=True)
            (folder / name).touch()
        sources.append(PictureSource(name, (folder / name,)))
    recipe = PictureRecipe(folder / "out", partial(paint, grey=grey, stop_at=stop_at), {"grey": grey})
    return PictureJob(recipe, sources, partial(holdout, val_fraction=0.25), {0: "a"}, {"name": f"grey {grey}"})


def starts(output: Path) -> list[str]:
    return sorted(path.name for path in output.iterdir() if path.name.endswith(("_list.txt", "splits_final.json")))


ALL = ["splits_final.json", "test_list.txt", "train_list.txt", "val_list.txt"]


def test_interrupted_with_another_recipe(tmp_path: Path) -> None:
    output = tmp_path / "out"
    pictures.run(job_for(tmp_path, 1))
    assert starts(output) == ALL
    with pytest.raises(KeyboardInterrupt):
        pictures.run(job_for(tmp_path, 2, stop_at="c"))
    assert starts(output) == []
    (output / "masks" / ".tmp-1-2-d.png").write_bytes(b"half")
    pictures.run(job_for(tmp_path, 2))
    assert starts(output) == ALL
    pictures.run(job_for(tmp_path / "fresh", 2))
    found, expected = contents(output), contents(tmp_path / "fresh" / "out")
    assert set(found) == set(expected)
    assert all(digest == expected[name] for name, digest in found.items() if not name.startswith("cases/"))


def test_the_description_is_there_before_the_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures.run(job_for(tmp_path, 1))

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pictures, "write_splits", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pictures.run(job_for(tmp_path, 2))
    assert starts(tmp_path / "out") == []
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["name"] == "grey 2"


def test_a_wrong_split_takes_nothing_away(tmp_path: Path) -> None:
    pictures.run(job_for(tmp_path, 1))
    before = contents(tmp_path / "out")
    job = job_for(tmp_path, 1)
    with pytest.raises(UserError, match="nothing to train on"):
        pictures.run(PictureJob(job.recipe, job.sources, partial(holdout, val_fraction=0.9), {}, {}))
    assert contents(tmp_path / "out") == before
