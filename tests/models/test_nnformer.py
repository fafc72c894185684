"""nnFormer."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import ClassVar

import numpy as np
import paddle
import pytest

from medicalseg.errors import ConfigError, UserError
from medicalseg.models import nnFormer
from medicalseg.models.layers.nnformer_resampling import stage_sizes
from medicalseg.models.layers.nnformer_windows import (
    Windows,
    padded_at_end,
    position_index,
    published_index,
    table_rows,
)
from tests.models.base import ModelTests
from tests.models.golden import check_golden

TINY = {
    "crop_size": [6, 32, 32],
    "embedding_dim": 12,
    "num_classes": 3,
    "depths": [2, 1, 1, 1],
    "num_heads": [3, 3, 6, 6],
    "patch_size": [1, 4, 4],
    "window_size": [[4, 3, 3], [3, 3, 2], [3, 2, 2], [1, 1, 1]],
}


class TestNNFormer(ModelTests):
    """Windows that pad every axis, that shift, and that are the whole map."""

    name = "nnFormer"
    config = "acdc/nnformer_acdc_160_160_14_250k.yml"
    published = "nnformer_acdc"
    random = True
    other_channels = (3,)
    arguments: ClassVar = {"in_channels": 2, **TINY}
    shape = (2, 2, 6, 32, 32)
    heads = 3
    misfits = (((6, 32, 40), (6, 32, 32)), ((1, 1, 1), (6, 32, 32)))
    wrong_arguments = (
        ({"crop_size": [7, 32, 32]}, r"nnFormer.crop_size: \[7, 32, 32\].*next that fits is \[10, 32, 32\]"),
        ({"crop_size": [6, 32, 33]}, r"next that fits is \[6, 32, 64\]"),
        ({"crop_size": [6, 32]}, "nnFormer.crop_size"),
        ({"patch_size": [1, 3, 4]}, r"nnFormer.patch_size: .*\[1, 4, 4\], got \[1, 3, 4\]"),
        ({"window_size": [[3, 5, 5]] * 3}, "nnFormer.window_size: needs a list of 4"),
        ({"depths": [2, 2, 2]}, "nnFormer.depths: needs a list of 4 positive integers"),
        ({"num_heads": [5, 3, 6, 6]}, "nnFormer.num_heads: 5 does not divide the stage's 12 channels"),
        ({"embedding_dim": 7}, "nnFormer.embedding_dim: needs a positive even integer, got 7"),
        ({"embedding_dim": True}, "nnFormer.embedding_dim"),
        ({"down_stride": [1, 2]}, "nnFormer.down_stride"),
        ({"input_channels": 3}, "nnFormer.input_channels: 3 differs from in_channels, 2"),
        (
            {"window_size": [[1000, 1000, 1000]] * 4},
            r"nnFormer.window_size: .* at most 4096.* Stage 0 has 6x8x8 tokens",
        ),
        ({"deep_supervision": "false"}, "nnFormer.deep_supervision: needs true or false"),
    )

    def test_one_size(self, model: nnFormer) -> None:
        assert model.only_size == model.smallest_input == (6, 32, 32)
        assert model.img_shape == [6, 32, 32]
        with pytest.raises(UserError, match=r"model\.crop_size"):
            model(paddle.zeros([1, 2, 10, 32, 32]))


def test_numbers_of_paddleseg3d(shared_compat: Path) -> None:
    model = check_golden(shared_compat / "golden" / "nnformer.json", tolerance=1e-4)
    assert model.heads == ("final.0.up", "final.1.up", "final.2.up")
    types = {str(value.dtype).rpartition(".")[2] for key, value in model.state_dict().items() if "index" in key}
    assert types == {"int64"}


def test_defaults_build(caplog: pytest.LogCaptureFixture) -> None:
    """PaddleSeg3D's defaults, which it refuses in its first run, as their strides are not those of the patches."""
    with paddle.LazyGuard():
        model = nnFormer()
    assert (model.only_size, model.in_channels, model.num_classes) == ((14, 160, 160), 1, 4)
    small = nnFormer(**{**TINY, "patch_size": [2, 4, 4], "deep_supervision": False})
    assert [list(logits.shape) for logits in small(paddle.zeros([1, 1, 6, 32, 32]))] == [[1, 3, 6, 32, 32]]
    assert list(small.final[0].up.weight.shape[2:]) == [2, 4, 4]


def test_strides_that_are_not_used_are_named(caplog: pytest.LogCaptureFixture) -> None:
    right = [[1, 4, 4], [1, 8, 8], [2, 16, 16], [6, 32, 32]]
    logger = logging.getLogger("medicalseg")
    logger.addHandler(caplog.handler)
    try:
        nnFormer(**TINY, down_stride=right)
        assert not caplog.records
        nnFormer(**TINY, down_stride=[[1, 4, 4], [1, 8, 8], [2, 16, 16], [2, 32, 32]])
    finally:
        logger.removeHandler(caplog.handler)
    assert "6x8x8 6x4x4 3x2x2 1x1x1 tokens" in caplog.text


def test_sizes_of_the_stages() -> None:
    assert stage_sizes((14, 160, 160), (1, 4, 4)) == [(14, 40, 40), (14, 20, 20), (7, 10, 10), (3, 5, 5)]
    assert stage_sizes((6, 16, 64), (1, 2, 4))[0] == (6, 16, 16)
    with pytest.raises(ConfigError, match="multiples of 8 and 32"):
        stage_sizes((6, 20, 64), (1, 2, 4))


@pytest.mark.parametrize("shifted", [False, True])
def test_windows(shifted: bool) -> None:
    """Tokens go where a plain loop over windows takes them, and come back."""
    windows = Windows((5, 4, 6), (3, 2, 4), shifted)
    assert (windows.counts, windows.padding, windows.shift) == ((2, 2, 2), (1, 0, 2), [1, 1, 2] if shifted else None)
    x = np.random.default_rng(0).standard_normal((2, 5, 4, 6, 3)).astype(np.float32)
    padded = np.pad(x, [(0, 0), (0, 1), (0, 0), (0, 2), (0, 0)])
    rolled = np.roll(padded, [-1, -1, -2], axis=(1, 2, 3)) if shifted else padded
    expected = [
        rolled[n, d : d + 3, h : h + 2, w : w + 4].reshape(24, 3)
        for n in range(2)
        for d in (0, 3)
        for h in (0, 2)
        for w in (0, 4)
    ]
    parts = windows.split(paddle.to_tensor(x))
    np.testing.assert_array_equal(parts.numpy(), np.stack(expected))
    np.testing.assert_array_equal(windows.join(parts).numpy(), x)


def test_windows_that_do_not_shift() -> None:
    assert Windows((3, 4, 4), (3, 4, 4), shifted=True).shift is None
    assert Windows((6, 4, 4), (1, 4, 4), shifted=True).shift is None
    assert Windows((6, 4, 4), (3, 4, 4), shifted=True).shift == [1, 2, 2]
    x = paddle.ones([1, 1, 2, 2, 1])
    assert padded_at_end(x, (3, 0, 1)).numpy().sum() == 4


def test_rows_of_the_tables() -> None:
    """One row for each offset, as a loop over pairs counts them; PaddleSeg3D's where they fit."""
    window = (2, 3, 2)
    places = [(d, h, w) for d in range(2) for h in range(3) for w in range(2)]
    for index, steps in ((position_index(window), (15, 3, 1)), (published_index(window), (8, 5, 1))):
        assert index.dtype == np.int64
        for i, a in enumerate(places):
            for j, b in enumerate(places):
                offset = [p - q + n - 1 for p, q, n in zip(a, b, window, strict=True)]
                assert index[i, j] == sum(o * step for o, step in zip(offset, steps, strict=True))
    assert len(np.unique(position_index(window))) == table_rows(window) == 45
    flat = (1, 5, 1)
    assert published_index(flat).max() < table_rows(flat)


def test_every_stage_has_its_drop_rates() -> None:
    model = nnFormer(**{**TINY, "depths": [1, 2, 3, 1]})
    down, up = list(model.model_down.layers), list(model.decoder.layers)[::-1]
    for stages, counts in ((down, [1, 2, 3, 1]), (up, [3, 2, 1])):
        rates = [block.drop_path.rate for stage in stages for block in stage.blocks]
        np.testing.assert_allclose(rates, np.linspace(0, 0.2, sum(counts)))
        assert [len(stage.blocks) for stage in stages] == counts
