"""Detection of separate structures, such as lesions: connected parts of the reference that the prediction finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import generate_binary_structure, label
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from medicalseg.errors import UserError

MATCHING = ("iou", "overlap")
NEIGHBOURS = {1: "faces", 2: "faces and edges", 3: "faces, edges and corners"}


@dataclass(frozen=True)
class DetectionRule:
    """When a part counts as found.

    Attributes:
        matching: "iou": parts are paired one to one, so that the most pairs have an IoU of at least `threshold`; the
            paired are found. "overlap": a part is found if at least the share
            `threshold` of its voxels lies in the other mask, whatever part; several may share one.
        threshold: above 0, at most 1.
        connectivity: voxels of one part touch at faces (1), also edges (2), also corners (3).
        min_volume_mm3: smaller parts are left out on both sides.

    Raises:
        UserError: if a value is wrong.
    """

    matching: str = "iou"
    threshold: float = 0.1
    connectivity: int = 3
    min_volume_mm3: float = 0.0

    def __post_init__(self) -> None:
        if self.matching not in MATCHING:
            raise UserError(f"detection matching: expected one of {list(MATCHING)}, got {self.matching!r}")
        if not 0 < self.threshold <= 1:
            raise UserError(f"detection threshold: expected a number above 0, at most 1, got {self.threshold!r}")
        if self.connectivity not in NEIGHBOURS:
            raise UserError(f"detection connectivity: expected 1, 2 or 3, got {self.connectivity!r}")
        if self.min_volume_mm3 < 0:
            raise UserError(f"detection min_volume_mm3: expected a volume from 0 on, got {self.min_volume_mm3!r}")

    def __str__(self) -> str:
        how = (
            f"parts are paired one to one by IoU of at least {self.threshold:g}"
            if self.matching == "iou"
            else f"a part is found if at least {self.threshold:g} of its voxels lie in the other mask"
        )
        least = f"; parts below {self.min_volume_mm3:g} mm³ are left out" if self.min_volume_mm3 else ""
        return f"{how}; voxels are connected by {NEIGHBOURS[self.connectivity]}{least}"


@dataclass(frozen=True)
class Detection:
    """Parts found, invented and missed. With the rule "overlap" `found` of both sides may differ.

    Attributes:
        found: parts of the reference that were found.
        missed: the others.
        right: parts of the prediction that found something.
        invented: the others.
    """

    found: int
    missed: int
    right: int
    invented: int

    @property
    def precision(self) -> float:
        """Share of the predicted parts that are right; NaN without any part, 0 where none was predicted."""
        return _share(self.right, self.right + self.invented, self._empty)

    @property
    def recall(self) -> float:
        """Share of the reference's parts that were found; NaN without any part, 0 where the reference has none."""
        return _share(self.found, self.found + self.missed, self._empty)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; NaN without any part, 0 where one side has none."""
        if self._empty:
            return float("nan")
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0

    def __add__(self, other: Detection) -> Detection:
        return Detection(
            self.found + other.found,
            self.missed + other.missed,
            self.right + other.right,
            self.invented + other.invented,
        )

    @property
    def _empty(self) -> bool:
        return self.found + self.missed + self.right + self.invented == 0


def detect(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    rule: DetectionRule | None = None,
) -> Detection:
    """Compare the connected parts of two masks.

    Args:
        prediction: booleans, (X, Y, Z) or (X, Y).
        reference: booleans, same shape.
        spacing: mm, one per axis; only for `min_volume_mm3`.
        rule: when a part is found; default: one-to-one pairs by IoU of at least 0.1.

    Example:
        >>> detect(np.array([[1, 0, 1]]), np.array([[1, 0, 0]]), (1, 1)).precision
        0.5
    """
    rule = rule or DetectionRule()
    voxel = float(np.prod(spacing)) if rule.min_volume_mm3 else 1.0
    predicted, sizes = _parts(prediction, rule, voxel)
    true, true_sizes = _parts(reference, rule, voxel)
    if not sizes.size or not true_sizes.size:
        return Detection(0, int(true_sizes.size), 0, int(sizes.size))
    rows, columns, shared = _shared(predicted, true, len(true_sizes))
    if rule.matching == "overlap":
        found = _large_enough(np.bincount(columns, shared, len(true_sizes)), true_sizes, rule.threshold)
        right = _large_enough(np.bincount(rows, shared, len(sizes)), sizes, rule.threshold)
        return Detection(found, len(true_sizes) - found, right, len(sizes) - right)
    fits = shared >= rule.threshold * (sizes[rows] + true_sizes[columns] - shared)
    graph = csr_matrix((fits[fits], (rows[fits], columns[fits])), (len(sizes), len(true_sizes)))
    pairs = int(np.count_nonzero(maximum_bipartite_matching(graph) >= 0))
    return Detection(pairs, len(true_sizes) - pairs, pairs, len(sizes) - pairs)


def _parts(mask: np.ndarray, rule: DetectionRule, voxel: float) -> tuple[np.ndarray, np.ndarray]:
    """Part numbers from 1 on, 0 elsewhere, and sizes in voxels, without parts that are too small."""
    mask = np.asarray(mask, bool)
    parts, _ = label(mask, generate_binary_structure(mask.ndim, min(rule.connectivity, mask.ndim)))
    sizes = np.bincount(parts.ravel())[1:]
    kept = sizes * voxel >= rule.min_volume_mm3
    if not kept.all():
        numbers = np.zeros(len(sizes) + 1, parts.dtype)
        numbers[1:][kept] = np.arange(1, np.count_nonzero(kept) + 1)
        parts = numbers[parts]
    return parts, sizes[kept]


def _shared(predicted: np.ndarray, true: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parts of both sides, from 0 on, that share voxels, and how many; `count` is that of the true parts."""
    inside = (predicted > 0) & (true > 0)
    pairs, voxels = np.unique((predicted[inside].astype(np.int64) - 1) * count + true[inside] - 1, return_counts=True)
    return pairs // count, pairs % count, voxels


def _large_enough(shared: np.ndarray, sizes: np.ndarray, threshold: float) -> int:
    return int(np.count_nonzero(shared >= threshold * sizes))


def _share(part: int, whole: int, empty: bool) -> float:
    if empty:
        return float("nan")
    return part / whole if whole else 0.0
