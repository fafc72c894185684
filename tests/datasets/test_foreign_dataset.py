"""Datasets that were written for PaddleSeg3D: those that need no change, and what the others are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medicalseg.cvlibs import build, effective, manager
from medicalseg.datasets import MedicalDataset
from medicalseg.datasets.case import Case
from medicalseg.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
        np.save(tmp_path / part / "c0.npy", np.ones((4, 4, 4), np.float32 if part == "images" else np.int32))
    for mode in ("train", "val"):
        (tmp_path / f"{mode}_list.txt").write_text("images/c0.npy labels/c0.npy\n")
    return tmp_path


class Named(MedicalDataset):
    """As PaddleSeg3D's LungCoronavirus."""

    NUM_CLASSES = 2

    def __init__(
        self,
        dataset_root: str,
        result_dir: str,
        transforms: Any,
        num_classes: int,
        mode: str = "train",
        ignore_index: int = 255,
        dataset_json_path: str = "",
    ) -> None:
        super().__init__(
            dataset_root, result_dir, transforms, num_classes, mode, ignore_index, "", dataset_json_path, repeat_times=1
        )


class Indexed(Named):
    """As PaddleSeg3D's Abdomen."""

    def __getitem__(self, idx):  # type: ignore[no-untyped-def]
        image, label = self.file_list[idx]
        return self.transforms(im=np.load(image), label=np.load(label))


class Below(Indexed):
    """Inherits the way."""


class OwnList(Named):
    """Has a list of its own, so it is left alone."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.file_list = [case.images[0] for case in self.cases]

    def __getitem__(self, idx):  # type: ignore[no-untyped-def]
        return self.file_list[idx]


class OwnProperty(Indexed):
    """Gives the list itself, the natural way of an old dataset."""

    @property
    def file_list(self) -> list[tuple[Path, Path | None]]:
        return [(case.images[0], case.label) for case in self.cases]


class Loading(Named):
    """What the error says to write."""

    def load(self, case: Case) -> tuple[np.ndarray, np.ndarray | None]:
        return np.load(case.images[0])[:2], None if case.label is None else np.load(case.label)[:2]


def test_constructors_stay_as_they_are(folder: Path) -> None:
    assert Named(str(folder), "", [], 2)[0][0].shape == (1, 4, 4, 4)
    assert Loading(str(folder), "", [], 2)[0][0].shape == (1, 2, 4, 4)
    assert OwnList(str(folder), "", [], 2)[0].name == "c0.npy"
    assert len(OwnProperty(str(folder), "", [], 2).file_list[0]) == 2


def test_arguments_of_a_class_of_ones_own_are_its_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(manager.DATASETS.components_dict, "Mine", Named)
    block = {"type": "Mine", "dataset_root": str(folder), "result_dir": "/out", "transforms": [], "num_classes": 2}
    kept, notes = effective.dataset({"train_dataset": block}, "train_dataset")
    assert kept["result_dir"] == "/out"
    assert not notes
    assert len(build(kept, "train_dataset")) > 0


@pytest.mark.parametrize("kind", [Indexed, Below])
def test_items_of_a_file_list_are_refused_at_once(
    folder: Path, kind: type[MedicalDataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(manager.DATASETS.components_dict, "Mine", kind)
    block = {"type": "Mine", "dataset_root": str(folder), "result_dir": "", "transforms": [], "num_classes": 2}
    with pytest.raises(ConfigError, match=r"train_dataset: .*Indexed.__getitem__ reads self.file_list.*load\(case\)"):
        build(block, "train_dataset")
