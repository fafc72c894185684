"""One process: everything is the identity. Several: tests/core/test_train_distributed.py."""

from __future__ import annotations

import paddle
import pytest

from medicalseg.errors import UserError
from medicalseg.utils import distributed


def test_one_process():
    tensor = paddle.ones([2])
    assert (distributed.rank(), distributed.world_size(), distributed.is_main()) == (0, 1, True)
    assert distributed.all_reduce_sum(tensor) is tensor
    assert distributed.gather_objects({"a": 1}) == [{"a": 1}]
    assert distributed.shard([1, 2, 3]) == [1, 2, 3]
    distributed.barrier()
    distributed.init()
    assert not distributed.is_active()


def test_gradients_and_buffers_are_left_alone():
    norm = paddle.nn.BatchNorm1D(2)
    norm(paddle.randn([4, 2])).square().mean().backward()
    before = norm.weight.grad.numpy()
    distributed.average_gradients(norm.parameters())
    distributed.synchronize(norm)
    distributed.average_buffers(norm)
    assert (norm.weight.grad.numpy() == before).all()


def test_wrong_backend(monkeypatch):
    with pytest.raises(UserError, match="--backend mpi"):
        distributed.init("mpi")
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    with pytest.raises(UserError, match="nccl does not work on device 'cpu'"):
        distributed.init("nccl", "cpu")
