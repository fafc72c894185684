"""Labels in the size of smaller heads."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
from scipy import ndimage

from medicalseg import losses
from medicalseg.errors import DataError
from medicalseg.losses import BCELoss, CrossEntropyLoss, DiceCELoss, DiceLoss, FocalLoss, MixedLoss, TverskyLoss
from medicalseg.losses.resized import label_for
from tests.losses.base import batch, value

SIZES = [((8, 12, 6), (4, 6, 6)), ((9, 7, 5), (5, 4, 3)), ((10, 4, 3), (4, 1, 1)), ((12, 12, 12), (3, 2, 6))]


@pytest.mark.parametrize("leading", [(2,), (2, 3), (2, 1)])
@pytest.mark.parametrize("kind", ["int64", "int32", "uint8", "bool"])
def test_the_middle_voxel(leading: tuple[int, ...], kind: str) -> None:
    rng = np.random.default_rng(0)
    for given, wanted in SIZES:
        label = rng.integers(0, 2, (*leading, *given)).astype(kind)
        found = label_for(wanted, paddle.to_tensor(label)).numpy()
        grids = [(np.arange(m) + 0.5) * n / m for n, m in zip(given, wanted, strict=True)]
        places = np.stack(np.meshgrid(*(np.floor(grid) for grid in grids), indexing="ij"))
        expected = [ndimage.map_coordinates(part.astype(float), places, order=0) for part in label.reshape(-1, *given)]
        assert found.dtype == label.dtype
        np.testing.assert_array_equal(found, np.reshape(expected, (*leading, *wanted)).astype(kind))


def test_the_same_size_is_the_same_tensor() -> None:
    label = paddle.zeros([2, 4, 6, 3], "int32")
    assert label_for((4, 6, 3), label) is label
    assert label_for((4, 6, 5), label) is label


def test_another_device_takes_the_same_voxels(monkeypatch: pytest.MonkeyPatch) -> None:
    label = paddle.to_tensor(np.random.default_rng(1).integers(0, 9, (2, 9, 6, 8)).astype("uint8"))
    here = label_for((5, 3, 8), label).numpy()
    monkeypatch.setattr(paddle, "in_dynamic_mode", lambda: False)
    monkeypatch.setattr("medicalseg.losses.resized.remembered", lambda objects, options, make: make())
    np.testing.assert_array_equal(label_for((5, 3, 8), label).numpy(), here)


def _heads(shape: tuple[int, ...], classes: int, smaller: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(2)
    return [rng.standard_normal((shape[0], classes, *size)) for size in (shape[1:], smaller)]


@pytest.mark.parametrize(
    "loss",
    [
        *(
            CrossEntropyLoss(),
            DiceLoss(),
            DiceCELoss(),
            DiceCELoss(per_image=True),
            FocalLoss(),
            TverskyLoss(),
            BCELoss(),
        ),
        MixedLoss([DiceLoss(), CrossEntropyLoss()], [1, 2]),
    ],
)
def test_small_heads_of_every_loss(loss: Any) -> None:
    _, label = batch(3, (2, 3, 8, 6, 4), ignored=30)
    heads = _heads(label.shape, 3, (4, 3, 4))
    settings = {"types": [loss, loss], "coef": [1, 0.5]}
    parts = losses.compute([paddle.to_tensor(head) for head in heads], paddle.to_tensor(label), settings)
    alone = [
        loss(paddle.to_tensor(head), paddle.to_tensor(np.ascontiguousarray(target)))
        for head, target in zip(heads, (label, label[:, 1::2, 1::2]), strict=True)
    ]
    expected = [
        factor * float(part)
        for factor, found in zip((1, 0.5), alone, strict=True)
        for part in (found if isinstance(found, list) else [found])
    ]
    assert [float(part) for part in parts] == pytest.approx(expected, rel=1e-12)


def test_small_heads_of_masks() -> None:
    masks = np.random.default_rng(4).integers(0, 2, (2, 3, 8, 6, 4)).astype("uint8")
    masks[0, 1, :3] = 255
    heads = _heads((2, 8, 6, 4), 3, (4, 3, 2))
    mixed = MixedLoss([DiceLoss(smooth=1e-5), BCELoss()], [1, 1])
    parts = losses.compute(
        [paddle.to_tensor(head) for head in heads],
        paddle.to_tensor(masks),
        {"types": [mixed, mixed], "coef": [1, 1]},
    )
    small = np.ascontiguousarray(masks[:, :, 1::2, 1::2, 1::2])
    assert float(parts[2]) == pytest.approx(value(DiceLoss(smooth=1e-5), heads[1], small), rel=1e-12)
    assert float(parts[3]) == pytest.approx(value(BCELoss(), heads[1], small), rel=1e-12)


def test_classes_on_the_last_axis() -> None:
    logits, label = batch(5)
    loss = CrossEntropyLoss(data_format="NDHWC")
    last = paddle.to_tensor(np.moveaxis(logits, 1, -1))
    parts = losses.compute([last, last], paddle.to_tensor(label), {"types": [loss, loss], "coef": [1, 1]})
    assert float(parts[0]) == float(parts[1]) == pytest.approx(value(CrossEntropyLoss(), logits, label))


def test_what_is_not_resized() -> None:
    logits, label = batch(6)
    small = logits[..., :1]
    settings = {"types": [DiceCELoss(), DiceCELoss()], "coef": [1, 1]}
    with pytest.raises(DataError, match="need a label of shape"):
        losses.compute([paddle.to_tensor(small), paddle.to_tensor(logits)], paddle.to_tensor(label), settings)
    larger = paddle.to_tensor(np.concatenate([logits, logits], axis=2))
    with pytest.raises(DataError, match="need a label of shape"):
        losses.compute([paddle.to_tensor(logits), larger], paddle.to_tensor(label), settings)
