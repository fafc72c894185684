"""Signal of each tissue on a T2-weighted turbo spin echo image, and the mottle inside them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.sparse import csr_matrix


@dataclass(frozen=True)
class Signals:
    """Mean signals in scanner units (air 0, fluid about 2000)."""

    marrow: float
    cortex: float
    disc_healthy: float
    disc_dry: float
    annulus: float
    fluid: float
    cord: float
    roots: float
    fat: float
    muscle: float
    organ: float
    vessel: float
    ligament: float


def sample_signals(rng: np.random.Generator) -> Signals:
    """Draw one scan's contrast: echo time and marrow fat differ from patient to patient."""

    def around(value: float, spread: float = 0.12) -> float:
        return float(value * np.exp(rng.normal(0, spread)))

    return Signals(
        marrow=around(650, 0.22),
        cortex=around(110, 0.2),
        disc_healthy=around(1150, 0.15),
        disc_dry=around(260, 0.2),
        annulus=around(170, 0.2),
        fluid=around(1950, 0.1),
        cord=around(640),
        roots=around(900),
        fat=around(1280, 0.15),
        muscle=around(250, 0.2),
        organ=around(480, 0.2),
        vessel=around(90, 0.3),
        ligament=around(130, 0.2),
    )


class Mottle:
    """Smooth random fields (zero mean, unit spread), the same for every image size."""

    def __init__(self, values: np.ndarray) -> None:
        self._values = np.ascontiguousarray(np.moveaxis(values, 2, 0), np.float32)

    @classmethod
    def draw(cls, rng: np.random.Generator, nodes: tuple[int, int, int]) -> Mottle:
        """A field with `nodes` independent values along each axis."""
        return cls(rng.standard_normal(nodes))

    def plane(self, shape: tuple[int, int], across: float) -> np.ndarray:
        """Field on a plane of `shape` pixels at the position `across` (0..1, first to last slice)."""
        values = self._values
        position = across * (len(values) - 1)
        weight = np.exp(-(((position - np.arange(len(values))) / 0.75) ** 2))
        weight = (weight / np.linalg.norm(weight)).astype(np.float32)
        layer = sum(part * values[index] for index, part in enumerate(weight) if part > 1e-3)
        rows = _weights(shape[0], values.shape[1]) @ layer
        return np.ascontiguousarray((_weights(shape[1], values.shape[2]) @ rows.T).T)


@lru_cache(maxsize=16)
def _weights(samples: int, nodes: int) -> csr_matrix:
    """Gaussian interpolation matrix (samples, nodes); rows have unit length, so the spread of the nodes is kept.

    Sparse, since that is quicker than a dense product and does not set BLAS threads against other processes.
    """
    position = (np.arange(samples) + 0.5) / samples * (nodes - 1)
    matrix = np.exp(-(((position[:, None] - np.arange(nodes)) / 0.75) ** 2))
    matrix[matrix < 1e-3] = 0
    return csr_matrix((matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32))
