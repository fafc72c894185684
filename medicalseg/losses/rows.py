"""The sums over voxels that losses are made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Row:
    """A sum over voxels, one number per class; t is the one-hot label, p the probability.

    Attributes:
        kind: "entropy": Σ -t log p; "joint": Σ p t; "sum": Σ p; "squares": Σ p².
        sigmoid: p is the sigmoid of the logits; False: their softmax.
        gamma: the entropy's terms are multiplied by (1 - p)^gamma.
        pooled: the entropy of all classes together stands at class 0, the others have 0; less work.
    """

    kind: str
    sigmoid: bool = False
    gamma: float = 0.0
    pooled: bool = False


def entropy_row(weighted: bool, gamma: float = 0.0) -> Row:
    """Cross-entropy, by class only where the classes have weights."""
    return Row("entropy", gamma=gamma, pooled=not weighted)


def overlap_rows(sigmoid: bool, squared: bool) -> tuple[Row, Row]:
    """Σ p t, and Σ p² or Σ p."""
    return Row("joint", sigmoid), Row("squares" if squared else "sum", sigmoid)
