"""From a volume to its labels, with a network that needs no Paddle."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform

from medicalseg.errors import UserError
from medicalseg.inference import Decision, Preprocessing, SlidingWindow, TaskSpec, Timings, segment
from medicalseg.inference.network import WithDecision
from medicalseg.io import Volume


class Threshold(WithDecision):
    """Class 1 where the first channel is above 0.5."""

    decision = Decision()

    def logits(self, x: np.ndarray) -> np.ndarray:
        return np.stack([0.5 - x[:, 0], x[:, 0] - 0.5], axis=1)


def ball(shape: tuple[int, int, int] = (20, 24, 14)) -> np.ndarray:
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    return ((grid + 0.2) ** 2).sum(axis=0) < 0.4


def stored(axcodes: str) -> Volume:
    """The ball in another axis order; its affine says so."""
    affine = np.diag([1.0, 1.2, 3.0, 1.0])
    change = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(tuple(axcodes)))
    array = apply_orientation(ball().astype(np.float32), change)
    return Volume(array, affine @ inv_ornt_aff(change, ball().shape))


TASK = TaskSpec(2, preprocessing=Preprocessing(orientation="RAS", divisor=(8, 8, 8)))


@pytest.mark.parametrize("axcodes", ["".join(order) for order in itertools.permutations("LPI")] + ["RAS", "RSP"])
def test_labels_are_on_the_grid_of_the_image(axcodes: str) -> None:
    volume = stored(axcodes)
    result = segment(volume, TASK, Threshold())
    np.testing.assert_array_equal(result.array, volume.array)
    np.testing.assert_allclose(result.affine, volume.affine)
    assert result.is_label
    assert result.array.dtype.kind == "u"


@pytest.mark.parametrize(
    "preprocessing",
    [
        Preprocessing(spacing=(0.8, 0.9, 1.5)),
        Preprocessing(size=(40, 40, 20)),
        Preprocessing(size=(30, 30, 30), fit="pad"),
        Preprocessing(orientation="ASL", spacing=(1, 1, 1), divisor=(4, 4, 4)),
    ],
)
def test_resampling_there_and_back_keeps_the_shape(preprocessing: Preprocessing) -> None:
    volume = stored("LPS")
    result = segment(volume, TaskSpec(2, preprocessing=preprocessing), Threshold(), SlidingWindow(16))
    assert result.shape == volume.shape
    truth = volume.array > 0.5
    assert 2 * (truth & (result.array == 1)).sum() / (truth.sum() + (result.array == 1).sum()) > 0.93


def test_timings() -> None:
    timings = Timings()
    for _ in range(2):
        segment(stored("RAS"), TASK, Threshold(), timings=timings)
    assert list(timings.mean()) == ["pre", "run", "post"]
    assert all(len(seconds) == 2 and min(seconds) >= 0 for seconds in timings.seconds.values())
    assert timings.line().startswith("ms per case: pre ")


def test_wrong_number_of_channels_names_the_file() -> None:
    volume = Volume(np.zeros((3, 4, 4, 4)), np.eye(4), path="scan.nii.gz")
    with pytest.raises(
        UserError, match=r"scan.nii.gz has 3 channels, the network takes 1: convert it to grey, .*grey: True"
    ):
        segment(volume, TASK, Threshold())
