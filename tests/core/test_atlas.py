"""The majority-label atlas."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import paddle
import pytest

from medicalseg.core.atlas import MajorityAtlas
from medicalseg.errors import DataError


class Labels(SimpleNamespace):
    """A dataset of labels without images."""

    def __getitem__(self, index: int) -> tuple[None, np.ndarray, str]:
        return None, self.cases[index], f"case{index}"


def test_every_voxel_gets_its_most_frequent_label() -> None:
    cases = [np.array([[[0, 1, 2, 255]]]), np.array([[[0, 1, 1, 2]]]), np.array([[[2, 0, 2, 2]]])]
    atlas = MajorityAtlas(Labels(cases=cases, num_classes=3))
    np.testing.assert_array_equal(atlas.labels, [[[0, 1, 2, 2]]])
    logits = atlas(paddle.zeros([2, 1, 1, 1, 4]))[0]
    np.testing.assert_array_equal(logits.argmax(axis=1).numpy(), np.stack([atlas.labels] * 2))


def test_cases_on_different_grids_are_refused() -> None:
    with pytest.raises(DataError, match="case1"):
        MajorityAtlas(Labels(cases=[np.zeros((2, 2, 2), int), np.zeros((2, 2, 3), int)], num_classes=2))


def test_an_empty_dataset_is_refused() -> None:
    with pytest.raises(DataError, match="empty"):
        MajorityAtlas(Labels(cases=[], num_classes=2))


def test_an_image_on_another_grid_is_refused() -> None:
    atlas = MajorityAtlas(Labels(cases=[np.zeros((2, 2, 2), int)], num_classes=2))
    with pytest.raises(DataError, match="grid"):
        atlas(paddle.zeros([1, 1, 4, 4, 4]))
