"""The numbering of a spine's parts that agrees best with what the network said of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SLACK = 0.4
SKIP_COST = 1.5
LEAST_WEIGHT = 0.3


@dataclass(frozen=True)
class Chain:
    """Parts of a column from below upwards, and what is known of each.

    Attributes:
        positions: (n,) levels along the column, rising; one unit is the usual distance from a vertebra to the next.
        disc: (n,) whether a part is a disc.
        weight: (n,) how much its votes count, 0 to 1.
        votes: (n, ranks) the share of its voxels that the network gave each rank.
    """

    positions: np.ndarray
    disc: np.ndarray
    weight: np.ndarray
    votes: np.ndarray


def best_ranks(
    chain: Chain, rank_is_disc: np.ndarray, gap_penalty: float, anchor: float, free_first: bool = False
) -> np.ndarray:
    """Number the parts: ranks rise along the chain, in steps that fit the distances.

    Maximises, over all numberings, the votes for the ranks minus what steps cost: a step that differs from the
    distance of its two parts by more than 0.4 levels costs `gap_penalty` for every level beyond. A part may stay
    without a number, which costs 1.5 times its weight. Dynamic programming over (part, rank).

    Args:
        chain: the parts.
        rank_is_disc: (ranks,) whether a rank is a disc's; a part only gets a rank of its kind.
        gap_penalty: in votes.
        anchor: in votes, what it is worth that the lowest part gets the lowest rank of its kind. A piece of a weight
            up to 0.3 is no part in this sense, so that a false one below the column does not count as its end.
        free_first: the distance from a part of rank 0 to that of rank 1 says nothing (a sacrum).

    Returns:
        (n,) ranks, -1 = none.
    """
    count, ranks = chain.votes.shape
    fits = chain.disc[:, None] == rank_is_disc[None]
    gain = np.where(fits, chain.weight[:, None] * chain.votes, -np.inf)
    lowest = _lowest_part(chain)
    gain[lowest, np.flatnonzero(rank_is_disc == chain.disc[lowest])[:1]] += anchor
    level = np.arange(ranks) / (2 if rank_is_disc.any() else 1)
    skip = np.concatenate([[0.0], np.cumsum(SKIP_COST * chain.weight)])
    best, came_from = np.empty((count, ranks)), np.full((count, ranks, 2), -1)
    for part in range(count):
        best[part] = gain[part] - skip[part]
        for before in range(part):
            distance = chain.positions[part] - chain.positions[before]
            total = best[before][:, None] - _step_costs(level, distance, gap_penalty, free_first)
            total = total + gain[part][None] - (skip[part] - skip[before + 1])
            chosen = total.argmax(axis=0)
            value = total[chosen, np.arange(ranks)]
            better = value > best[part]
            best[part][better] = value[better]
            came_from[part][better] = np.stack([np.full(ranks, before), chosen], axis=1)[better]
    return _walk_back(best - (skip[-1] - skip[1:])[:, None], came_from)


def _lowest_part(chain: Chain) -> int:
    """Number of the first part from below that is large enough to be a body or a disc; 0 if none is."""
    return int((chain.weight > LEAST_WEIGHT).argmax())


def _step_costs(level: np.ndarray, distance: float, gap_penalty: float, free_first: bool) -> np.ndarray:
    """(from, to) cost of a step between ranks at these levels; infinite unless it rises."""
    steps = level[None] - level[:, None]
    costs = gap_penalty * np.maximum(np.abs(steps - distance) - SLACK, 0)
    if free_first and len(level) > 1:
        costs[0, 1] = 0
    return np.where(steps > 0, costs, np.inf)


def _walk_back(ends: np.ndarray, came_from: np.ndarray) -> np.ndarray:
    result = np.full(len(ends), -1)
    if not np.isfinite(ends).any():
        return result
    part, rank = np.unravel_index(int(ends.argmax()), ends.shape)
    while part >= 0:
        result[part] = rank
        part, rank = came_from[part, rank]
    return result
