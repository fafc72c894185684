"""Which samples each training step sees: a function of the seed and the iteration, so a run can start anywhere."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from medicalseg.errors import DataError, UserError

Index = tuple[int, int]


class IterationSampler:
    """Batches by iteration: an epoch is a seeded permutation, cut into full global batches.

    Iteration k (from 0) belongs to epoch k // iters_per_epoch. The last batch of an epoch is filled up from the
    epoch's beginning. Rank r takes the r-th part of each global batch, so the same global batch gives the same steps
    whatever the number of ranks is.

    Args:
        length: samples in the dataset.
        batch_size: samples per step and rank.
        iters: iterations of the whole run.
        seed: seed of the permutations.
        start: first iteration to yield (from 0); what was done before a resume.
        rank: this process.
        ranks: number of processes.

    Raises:
        DataError: the dataset is empty.
        UserError: the batch size is not positive.
    """

    def __init__(
        self, length: int, batch_size: int, iters: int, seed: int = 0, start: int = 0, rank: int = 0, ranks: int = 1
    ) -> None:
        if length < 1:
            raise DataError("the training dataset is empty: its list names no case")
        if batch_size < 1:
            raise UserError(f"batch_size {batch_size}: must be at least 1")
        self.length, self.batch_size, self.iters = length, batch_size, iters
        self.seed, self.start, self.rank, self.ranks = seed, start, rank, ranks
        self.iters_per_epoch = -(-length // (batch_size * ranks))
        self._epoch = -1
        self._order = np.zeros(0, dtype=np.int64)

    def __len__(self) -> int:
        return max(0, self.iters - self.start)

    def __iter__(self) -> Iterator[list[Index]]:
        for iteration in range(self.start, self.iters):
            yield self.batch(iteration)

    def epoch(self, iteration: int) -> int:
        """Epoch of an iteration, both from 0."""
        return iteration // self.iters_per_epoch

    def batch(self, iteration: int) -> list[Index]:
        """(epoch, index) of this rank's samples in an iteration (from 0)."""
        epoch = self.epoch(iteration)
        order = self._permutation(epoch)
        first = (iteration % self.iters_per_epoch * self.ranks + self.rank) * self.batch_size
        return [(epoch, int(order[k % self.length])) for k in range(first, first + self.batch_size)]

    def _permutation(self, epoch: int) -> np.ndarray:
        if epoch != self._epoch:
            self._order = np.random.default_rng([self.seed & 0xFFFFFFFF, epoch]).permutation(self.length)
            self._epoch = epoch
        return self._order
