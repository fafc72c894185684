"""PaddleSeg3D's inference helpers by name."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage

from medicalseg.cvlibs import manager
from medicalseg.cvlibs.components import build
from medicalseg.errors import ConfigError, DataError
from medicalseg.inference import InferenceHelper, InferenceHelper2D, SliceSpec, TaskSpec
from medicalseg.inference.inference_helper import check_helper
from medicalseg.transforms import Compose, Resize3D


def test_slices_of_a_volume_become_a_batch(tmp_path: Path) -> None:
    volume = np.random.default_rng(0).random((5, 8, 6), np.float32)
    other = tmp_path / "other.npy"
    np.save(other, volume[:2])
    path = tmp_path / "volume.npy"
    np.save(path, volume)
    helper = build({"type": "InferenceHelper2D"}, "inference_helper")
    cfg = SimpleNamespace(transforms=Compose([Resize3D(size=[1, 4, 3])]))
    batch = helper.preprocess(cfg, [other, path], 1, 1)
    expected = [ndimage.zoom(plane, 0.5, order=1, mode="nearest") / plane.max() for plane in volume]
    np.testing.assert_allclose(batch, np.stack(expected)[:, None], atol=1e-6)
    assert helper.preprocess(cfg, [other, path], 1, 0).shape == (2, 1, 4, 3)


def test_labels_of_all_slices() -> None:
    logits = np.random.default_rng(1).standard_normal((5, 3, 1, 4, 4))
    labels = InferenceHelper2D().postprocess(logits)
    assert labels.shape == (1, 5, 1, 4, 4)
    np.testing.assert_array_equal(labels[0, 2], logits[2].argmax(0))


def test_what_is_no_volume(tmp_path: Path) -> None:
    cfg = SimpleNamespace(transforms=lambda image: (image, None))
    text, flat = tmp_path / "text.npy", tmp_path / "flat.npy"
    text.write_text("nothing")
    np.save(flat, np.zeros((4, 4)))
    helper = InferenceHelper2D()
    for path, said in (
        (text, "text.npy: cannot be read"),
        (flat, "flat.npy: expected a volume"),
        (tmp_path / "no", "no:"),
    ):
        with pytest.raises(DataError, match=said):
            helper.preprocess(cfg, [path], 1, 0)
    with pytest.raises(ConfigError, match="batch_size is 1, not 2"):
        helper.preprocess(cfg, [flat], 2, 0)


def test_a_helper_is_for_its_kind_of_task() -> None:
    flat, deep = TaskSpec(num_classes=2, slices=SliceSpec()), TaskSpec(num_classes=2)
    check_helper(None, deep)
    check_helper({"type": "InferenceHelper2D"}, flat)
    with pytest.raises(ConfigError, match="InferenceHelper2D is for networks for images"):
        check_helper({"type": "InferenceHelper2D"}, deep)
    with pytest.raises(ConfigError, match="did you mean 'InferenceHelper2D'"):
        check_helper({"type": "InferenceHelper2d"}, flat)


def test_own_helpers_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(InferenceHelper):
        """Of a plugin."""

    monkeypatch.setitem(manager.INFERENCE_HELPERS.components_dict, "Mine", Mine)
    check_helper({"type": "Mine"}, TaskSpec(num_classes=2))
    with pytest.raises(NotImplementedError):
        Mine().postprocess(np.zeros(1))
