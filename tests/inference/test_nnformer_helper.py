"""PaddleSeg3D's helper for nnFormer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medicalseg.cvlibs import manager
from medicalseg.errors import ConfigError
from medicalseg.inference import NNFormerInferenceHelper, SliceSpec, TaskSpec
from medicalseg.inference.inference_helper import check_helper
from medicalseg.io import Volume, write_volume


@pytest.fixture
def heart(tmp_path: Path) -> Path:
    """24 x 20 x 4 voxels of 3.04 x 3.04 x 12.7 mm: twice as many of each on the network's grid."""
    path = tmp_path / "heart.nii.gz"
    array = np.random.default_rng(0).integers(0, 500, (24, 20, 4)).astype(np.int16)
    write_volume(Volume(array, np.diag([-3.04, -3.04, 12.7, 1.0])), path)
    return path


def test_input_is_upstream_s(heart: Path) -> None:
    resize = pytest.importorskip("skimage.transform").resize
    helper = manager.INFERENCE_HELPERS["NNFormerInferenceHelper"]()
    x = helper.preprocess(None, [heart, heart], 1, 1)
    assert (x.shape, x.dtype) == ((1, 1, 8, 48, 40), np.float32)
    from medicalseg.io import read_volume

    array = read_volume(heart).array.astype(float)
    expected = resize(array, (48, 40, 8), 3, mode="edge", clip=False, anti_aliasing=False).transpose(2, 0, 1)
    np.testing.assert_allclose(x[0, 0], (expected - expected.mean()) / expected.std(), atol=1e-4)


def test_labels_are_on_the_volume_s_grid(heart: Path) -> None:
    helper = NNFormerInferenceHelper()
    helper.preprocess(None, [heart], 1, 0)
    coarse = np.random.default_rng(1).integers(0, 4, (4, 24, 20))
    fine = coarse.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    logits = np.moveaxis(np.eye(4)[fine], -1, 0)[None]
    labels = helper.postprocess(logits)
    np.testing.assert_array_equal(labels, coarse.transpose(1, 2, 0)[None])


def test_wrong_use(heart: Path) -> None:
    with pytest.raises(ConfigError, match="batch_size is 1, not 2"):
        NNFormerInferenceHelper().preprocess(None, [heart], 2, 0)
    with pytest.raises(ConfigError, match="call preprocess first"):
        NNFormerInferenceHelper().postprocess(np.zeros((1, 2, 3, 3, 3)))
    block = {"type": "NNFormerInferenceHelper"}
    check_helper(block, TaskSpec(4))
    with pytest.raises(ConfigError, match="the datasets give slices"):
        check_helper(block, TaskSpec(4, slices=SliceSpec(axis=0)))
