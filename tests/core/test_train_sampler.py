"""Data order: full global batches, seeded epochs, any start."""

from __future__ import annotations

import pytest

from medicalseg.core.sampler import IterationSampler
from medicalseg.errors import DataError, UserError


def test_exactly_iters_full_batches():
    batches = list(IterationSampler(length=5, batch_size=2, iters=8))
    assert len(batches) == 8
    assert all(len(batch) == 2 for batch in batches)
    assert [batch[0][0] for batch in batches] == [0, 0, 0, 1, 1, 1, 2, 2]


def test_an_epoch_sees_every_sample_and_wraps_around():
    sampler = IterationSampler(length=5, batch_size=2, iters=3)
    order = [index for batch in sampler for _, index in batch]
    assert sorted(order[:5]) == [0, 1, 2, 3, 4]
    assert order[5] == order[0]


def test_start_is_the_same_as_skipping():
    whole = list(IterationSampler(length=7, batch_size=3, iters=20, seed=4))
    assert list(IterationSampler(length=7, batch_size=3, iters=20, seed=4, start=11)) == whole[11:]


def test_seed_changes_the_order():
    orders = [list(IterationSampler(20, 4, 5, seed=seed)) for seed in (0, 1)]
    assert orders[0] != orders[1]


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_share_the_global_batch(ranks):
    one = list(IterationSampler(length=7, batch_size=2 * ranks, iters=9, seed=1))
    parts = [list(IterationSampler(7, 2, 9, seed=1, rank=rank, ranks=ranks)) for rank in range(ranks)]
    assert [[index for part in parts for index in part[k]] for k in range(9)] == one


def test_batch_larger_than_the_dataset():
    sampler = IterationSampler(length=2, batch_size=5, iters=2)
    assert sampler.iters_per_epoch == 1
    assert [len(batch) for batch in sampler] == [5, 5]


def test_bad_input():
    with pytest.raises(DataError, match="empty"):
        IterationSampler(length=0, batch_size=1, iters=1)
    with pytest.raises(UserError, match="batch_size"):
        IterationSampler(length=1, batch_size=0, iters=1)
