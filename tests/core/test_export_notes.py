"""What `export.transforms` and `export.inference_helper` ask for and prediction does not do is announced."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from medicalseg.core.export import export
from medicalseg.core.export_notes import notes
from medicalseg.cvlibs import manager
from medicalseg.inference import InferenceHelper2D, Preprocessing, SliceSpec, TaskSpec
from medicalseg.models.unet3d import UNet3D

RESIZE = {"type": "Resize3D", "size": [32, 32, 32]}
SLICES = {"type": "Resize3D", "size": [1, 224, 192]}


def task(size: Any = None, spacing: Any = None, slices: SliceSpec | None = None) -> TaskSpec:
    return TaskSpec(num_classes=2, preprocessing=Preprocessing(size=size, spacing=spacing), slices=slices)


def test_transforms_that_the_task_does_need_no_word() -> None:
    flat = SliceSpec(axis=0)
    assert notes(None, None, task()) == []
    assert notes([{}], None, task()) == []
    assert notes([RESIZE], None, task((32, 32, 32))) == []
    assert notes([{"type": "Resize3D", "size": 32}], None, task((32, 40, 64))) == []
    assert notes([SLICES], {"type": "InferenceHelper2D"}, task((None, 192, 224), slices=flat)) == []


@pytest.mark.parametrize(
    ("item", "given"),
    [
        (RESIZE, task()),
        (RESIZE, task((32, 32, 16))),
        ({"type": "Resize3D", "size": 32}, task((48, 40, 64))),
        (SLICES, task((None, 224, 224), slices=SliceSpec(axis=0))),
        (SLICES, task(slices=SliceSpec(axis=0))),
    ],
)
def test_a_size_that_the_task_does_not_have(item: dict[str, Any], given: TaskSpec) -> None:
    (said,) = notes([{}, item], None, given)
    assert said.startswith("export.transforms[1]: Resize3D to ")
    assert str(item["size"]) in said
    assert "is not done" in said
    assert "preprocess" in said


def test_other_transforms_are_never_run() -> None:
    (said,) = notes([{"type": "GammaTransform"}], None, task())
    assert said.startswith("export.transforms[0]: GammaTransform is not done")


def test_own_helpers_are_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(InferenceHelper2D):
        """Of a plugin."""

    monkeypatch.setitem(manager.INFERENCE_HELPERS.components_dict, "Mine", Mine)
    (said,) = notes(None, {"type": "Mine"}, task(slices=SliceSpec()))
    assert said.startswith("export.inference_helper: Mine")
    assert "never called" in said


def test_the_helper_of_hearts_needs_their_voxel_size() -> None:
    block = {"type": "NNFormerInferenceHelper"}
    assert notes(None, block, task(spacing=(6.35, 1.52, 1.52))) == []
    (said,) = notes(None, block, task())
    assert "6.35" in said
    assert "spacing" in said


def test_export_says_it_and_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = UNet3D(in_channels=1, num_classes=2, base_channels=2, depth=2)
    with caplog.at_level(logging.WARNING, logger="medicalseg"):
        written = export(model, task(), tmp_path, transforms=[RESIZE])
    assert "export.transforms[0]: Resize3D to [32, 32, 32] is not done" in caplog.text
    assert yaml.safe_load(written.read_text(encoding="utf-8"))["Deploy"]["transforms"] == [RESIZE]
