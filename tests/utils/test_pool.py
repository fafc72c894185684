"""Work on many items in processes of their own."""

from __future__ import annotations

import math
import os

import pytest

from medicalseg.errors import DataError, RunError
from medicalseg.utils.pool import run_all


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_is_the_result_of_its_item(workers):
    results = dict(run_all(math.sqrt, [4, -1, 9], workers))
    assert (results[4], results[9]) == (2, 3)
    assert isinstance(results[-1], DataError)


def test_dead_worker_is_told():
    with pytest.raises(RunError, match="worker process died"):
        list(run_all(os._exit, [3, 3], 2))
