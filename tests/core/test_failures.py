"""Failures of the machine, told in one line."""

import errno

import paddle
import pytest
from paddle.autograd import PyLayer

from medicalseg.core.failures import STOPPED, StoppedError, as_run_error


class Interrupted(PyLayer):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, gradient):
        raise StoppedError(STOPPED)


def test_a_signal_during_a_layers_backward_is_a_stop():
    x = paddle.ones([2])
    x.stop_gradient = False
    with pytest.raises(Exception, match="stopped by SIGTERM") as caught:
        Interrupted.apply(x).sum().backward()
    known = as_run_error(caught.value)
    assert isinstance(known, StoppedError)
    assert str(known) == STOPPED


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (RuntimeError("ResourceExhaustedError: Fail to alloc memory"), "out of memory"),
        (MemoryError(), "out of memory"),
    ],
)
def test_known_failures(error, words):
    assert words in str(as_run_error(error))


def test_an_unknown_failure_stays_what_it_is():
    assert as_run_error(RuntimeError("something else")) is None
