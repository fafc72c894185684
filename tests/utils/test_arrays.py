"""NumPy arrays on tensors' memory."""

from __future__ import annotations

import gc

import numpy as np
import paddle
import pytest

from medicalseg.utils.arrays import host_array, is_host_array

KINDS = ["float32", "float64", "int64", "int32", "int16", "int8", "uint8", "bool"]


@pytest.mark.parametrize("kind", KINDS)
def test_elements_of_every_layout(kind: str) -> None:
    tensor = (paddle.arange(24).reshape([2, 3, 4]) % 2).astype(kind)
    for view in (tensor, tensor.transpose([2, 0, 1]), tensor[1], tensor[:, 1:], tensor[0, 1, 2]):
        array = host_array(view)
        assert array.dtype == view.numpy().dtype
        np.testing.assert_array_equal(array, view.numpy())


def test_writing_and_lifetime() -> None:
    tensor = paddle.zeros([1000])
    array = host_array(tensor)
    array[1] = 5
    assert tensor[1].item() == 5
    del tensor
    gc.collect()
    paddle.ones([1000])
    assert array.sum() == 5


def test_nothing_in_it() -> None:
    assert host_array(paddle.zeros([0, 3])).shape == (0, 3)


def test_what_can_be_computed_on_in_place() -> None:
    assert is_host_array(paddle.zeros([1]))
    assert is_host_array(paddle.zeros([1], "float64"))
    assert not is_host_array(paddle.zeros([1], "bfloat16"))
    assert not is_host_array(paddle.zeros([1], "int64"))
