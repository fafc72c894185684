"""Class sums of a batch in NumPy, block by block, and their gradient.

A block of voxels stays in the cache while it goes through all operations. Sums within a block are in the logits' type,
over blocks in float64 and in the order of the blocks, so that the number of threads does not change a bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from medicalseg.losses.rows import Row
from medicalseg.ops.process import openmp_threads

BLOCK = 1 << 17
RUN = 1 << 10
SMALLEST = 1e-7


@dataclass
class Task:
    """What to sum.

    Attributes:
        rows: R sums.
        label: (N, ...) ids of any integer type, all of them classes or `ignore_index`; or masks (N, K, ...) of 0, 1
            and `ignore_index`, which have sums of sigmoids only.
        ignore_index: id to leave out, or None.
        masks: whether the label is of masks.
    """

    rows: tuple[Row, ...]
    label: np.ndarray
    ignore_index: int | None
    masks: bool = False

    @property
    def uses_softmax(self) -> bool:
        """Whether softmax probabilities are summed."""
        return any(not row.sigmoid for row in self.rows)

    def sums(self, logits: np.ndarray, softmax: np.ndarray | None = None, per_image: bool = False) -> np.ndarray:
        """(R, K) float64, or (R, N, K) per image.

        Args:
            logits: (N, K, ...) floats.
            softmax: receives the softmax, with 0 in ignored voxels; `gradient` takes it.
            per_image: keep the images apart.
        """
        parts: dict[tuple[int, int], np.ndarray] = {}

        def work(block: _Block) -> None:
            parts[block.case, block.first] = np.stack(_block_sums(block, self.rows))

        self._each(logits, softmax, work)
        if per_image:
            images = [[parts[key] for key in sorted(parts) if key[0] == case] for case in range(len(logits))]
            return np.stack([np.sum(image, axis=0, dtype=np.float64) for image in images], axis=1)
        return np.asarray(np.sum([parts[key] for key in sorted(parts)], axis=0, dtype=np.float64))

    def gradient(self, logits: np.ndarray, weights: np.ndarray, result: np.ndarray, known: bool = False) -> None:
        """The gradient of Σ weights * sums.

        Args:
            logits: (N, K, ...) floats.
            weights: (R, K), or (R, N, K) per image.
            result: receives it; like the logits, and contiguous.
            known: whether `result` holds the softmax that `sums` has kept.
        """
        columns = weights.astype(logits.dtype)[..., None]

        def work(block: _Block) -> None:
            column = dict(zip(self.rows, columns if weights.ndim == 2 else columns[:, block.case], strict=True))
            of_softmax = {row: weight for row, weight in column.items() if not row.sigmoid}
            of_sigmoid = {row: weight for row, weight in column.items() if row.sigmoid}
            if of_softmax:
                if not known:
                    block.softmax()
                _softmax_gradient(block, of_softmax)
            if of_sigmoid and of_softmax:
                block.plane += _sigmoid_gradient(block, of_sigmoid)
            elif of_sigmoid:
                block.plane[:] = _sigmoid_gradient(block, of_sigmoid)

        self._each(logits, result, work)

    def _each(self, logits: np.ndarray, planes: np.ndarray | None, work: Callable[[_Block], None]) -> None:
        """Call `work` on every block, in as many threads as OpenMP has."""
        cases, classes = logits.shape[:2]
        given = logits.reshape(cases, classes, -1)
        kept = None if planes is None else planes.reshape(given.shape)
        label = self.label.reshape((cases, classes, -1) if self.masks else (cases, -1))
        kind = _MaskBlock if self.masks else _Block
        step = max(1, BLOCK // classes)
        places = [(case, first) for case in range(cases) for first in range(0, given.shape[2], step)]

        def share(mine: Sequence[tuple[int, int]]) -> None:
            scratch = _Scratch(classes, step, logits.dtype)
            with np.errstate(all="ignore"):
                for case, first in mine:
                    voxels = slice(first, first + step)
                    plane = None if kept is None else kept[case]
                    work(kind(case, first, given[case, :, voxels], label[case, ..., voxels], self, scratch, plane))

        threads = min(openmp_threads(), len(places))
        if threads < 2:
            share(places)
            return
        with ThreadPoolExecutor(threads - 1) as pool:
            others = [pool.submit(share, places[number::threads]) for number in range(1, threads)]
            share(places[::threads])
            for other in others:
                other.result()


class _Scratch:
    """Memory that the blocks of one thread use one after the other."""

    def __init__(self, classes: int, voxels: int, dtype: np.dtype) -> None:
        self.planes = np.empty((2, classes * voxels), dtype)
        self.positions = np.arange(voxels)
        self.index = np.empty(voxels, np.intp)


@dataclass
class _Block:
    """Logits (K, V) and labels (V,) of a few voxels, and where to compute.

    Attributes:
        case: which case.
        first: its voxel that is the block's first.
        logits: (K, V).
        label: (V,).
        task: what is computed.
        scratch: memory.
        kept: (K, voxels of the case) for the softmax or the gradient; None puts the softmax into the scratch memory.
        plane: (K, V) softmax, or gradient.
    """

    case: int
    first: int
    logits: np.ndarray
    label: np.ndarray
    task: Task
    scratch: _Scratch
    kept: np.ndarray | None
    plane: np.ndarray = field(init=False)
    valid: np.ndarray | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        classes, voxels = self.logits.shape
        if self.task.ignore_index is not None:
            valid = self.label != self.task.ignore_index
            self.valid = valid.astype(self.logits.dtype)
            self.label = np.where(valid, self.label, 0)
        self.label = self.label.astype(np.intp, copy=False)
        if self.kept is None:
            self.plane = self.scratch.planes[0, : self.logits.size].reshape(classes, voxels)
            self.flat, self.start = self.scratch.planes[0], 0
        else:
            self.plane = self.kept[:, self.first : self.first + voxels]
            self.flat, self.start = self.kept.reshape(-1), self.first
        self.index = self.positions(self.start, self.flat.size // classes if self.kept is not None else voxels)

    def positions(self, start: int, stride: int) -> np.ndarray:
        """(V,) where the values of the voxels' own classes are in a flat array of planes."""
        voxels = len(self.label)
        index = np.multiply(self.label, stride, out=self.scratch.index[:voxels])
        index += self.scratch.positions[:voxels]
        if start:
            index += start
        return index

    def own(self) -> np.ndarray:
        """(V,) values of the voxels' own classes in `plane`."""
        return np.asarray(self.flat.take(self.index))

    def per_class(self, values: np.ndarray) -> np.ndarray:
        """(K,) sums of (V,)."""
        return np.bincount(self.label, weights=values, minlength=len(self.logits))

    def only_valid(self, values: np.ndarray) -> np.ndarray:
        """Values (..., V), set to 0 in place where ignored."""
        if self.valid is not None:
            values *= self.valid
        return values

    def softmax(self) -> np.ndarray:
        """Write the probabilities, 0 where ignored, to `plane`; gives (V,) -log p of the label, 0 where ignored."""
        powers = np.subtract(self.logits, self.logits.max(axis=0), out=self.plane)
        own = self.own()
        np.exp(powers, out=powers)
        total = powers.sum(axis=0)
        entropy = np.log(total)
        entropy -= own
        powers *= self.only_valid(np.reciprocal(total, out=total))
        return self.only_valid(entropy)

    def joint(self, p: np.ndarray) -> np.ndarray:
        """(K,) sums of p t."""
        return self.per_class(p.reshape(-1).take(self.positions(0, p.shape[1])))

    def add_where_class(self, values: np.ndarray, amounts: np.ndarray) -> None:
        """Add amounts (K, 1) to (K, V), in place, where t is 1."""
        values.reshape(-1)[self.positions(0, values.shape[1])] += amounts[:, 0].take(self.label)

    def half_tangent(self, plane: int) -> np.ndarray:
        """(K, V) of h = tanh(z / 2), in scratch memory; the sigmoid of z is (1 + h) / 2."""
        out = self.scratch.planes[plane, : self.logits.size].reshape(self.logits.shape)
        return np.tanh(np.multiply(self.logits, self.logits.dtype.type(0.5), out=out), out=out)


class _MaskBlock(_Block):
    """Logits (K, V) and masks (K, V) of a few voxels."""

    def __post_init__(self) -> None:
        voxels = self.logits.shape[1]
        if self.task.ignore_index is not None:
            self.valid = (self.label != self.task.ignore_index).astype(self.logits.dtype)
        self.label = (self.label == 1).astype(self.logits.dtype)
        if self.valid is not None:
            self.label *= self.valid
        if self.kept is None:
            self.plane = self.scratch.planes[0, : self.logits.size].reshape(self.logits.shape)
        else:
            self.plane = self.kept[:, self.first : self.first + voxels]

    def joint(self, p: np.ndarray) -> np.ndarray:
        """(K,) sums of p t."""
        return _products(p, self.label)

    def add_where_class(self, values: np.ndarray, amounts: np.ndarray) -> None:
        """Add amounts (K, 1) to (K, V), in place, where t is 1."""
        values += amounts * self.label


def _block_sums(block: _Block, rows: Sequence[Row]) -> list[np.ndarray]:
    """(K,) for each row."""
    made: dict[Row, np.ndarray] = {}
    of_softmax = [row for row in rows if not row.sigmoid]
    if of_softmax:
        entropy = block.softmax()
        for row in of_softmax:
            if row.kind == "entropy":
                terms = _focused(entropy, row.gamma)
                made[row] = _pooled(terms, len(block.logits)) if row.pooled else block.per_class(terms)
        made |= _overlap(block.plane, lambda: block.per_class(block.own()), of_softmax)
    of_sigmoid = [row for row in rows if row.sigmoid]
    if of_sigmoid:
        p = block.half_tangent(1)
        p *= p.dtype.type(0.5)
        p += p.dtype.type(0.5)
        block.only_valid(p)
        made |= _overlap(p, lambda: block.joint(p), of_sigmoid)
    return [made[row] for row in rows]


def _pooled(values: np.ndarray, classes: int) -> np.ndarray:
    """(K,) with the sum at class 0."""
    result = np.zeros(classes)
    result[0] = values.sum()
    return result


def _overlap(p: np.ndarray, joint: Callable[[], np.ndarray], rows: Sequence[Row]) -> dict[Row, np.ndarray]:
    made: dict[Row, np.ndarray] = {}
    for row in rows:
        if row.kind == "joint":
            made[row] = joint()
        elif row.kind == "sum":
            made[row] = p.sum(axis=1)
        elif row.kind == "squares":
            made[row] = _products(p, p)
    return made


def _products(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(K,) sums of products of (K, V); einsum adds one by one, hence in runs."""
    whole = one.shape[1] // RUN * RUN
    runs, more = (values[:, :whole].reshape(len(values), -1, RUN) for values in (one, other))
    sums = np.einsum("krv,krv->kr", runs, more).sum(axis=1, dtype=np.float64)
    return np.asarray(sums + np.einsum("kv,kv->k", one[:, whole:], other[:, whole:]))


def _focused(entropy: np.ndarray, gamma: float) -> np.ndarray:
    """(V,) entropy times (1 - p)^gamma."""
    if not gamma:
        return entropy
    wrong = np.maximum(-np.expm1(-entropy), SMALLEST)
    return np.asarray(entropy * wrong**gamma)


def _focused_slope(own: np.ndarray, gamma: float) -> np.ndarray:
    """(V,) derivative of `_focused` by the entropy, from p of the label."""
    wrong = np.maximum(1 - own, SMALLEST)
    entropy = -np.log(np.maximum(own, np.finfo(own.dtype).tiny))
    return np.asarray(wrong ** (gamma - 1) * (wrong + gamma * entropy * own))


def _softmax_gradient(block: _Block, weights: dict[Row, np.ndarray]) -> None:
    """Replace the softmax in `plane` by the gradient, from weights (K, 1) of each row.

    With a = dL/dp it is p (a - Σ a p); that of the entropy is p - t.
    """
    p = block.plane
    joint, plain, squares = (weights.get(Row(kind)) for kind in ("joint", "sum", "squares"))
    pull = np.zeros(p.shape[1], p.dtype) if joint is None else joint[:, 0].take(block.label) * block.own()
    for row, weight in weights.items():
        if row.kind == "entropy":
            slope = np.full_like(pull, weight[0, 0]) if row.pooled else weight[:, 0].take(block.label)
            if row.gamma:
                slope *= _focused_slope(block.own(), row.gamma)
            pull -= block.only_valid(slope)
    if squares is not None:
        slopes = np.multiply(p, 2 * squares, out=block.scratch.planes[1, : p.size].reshape(p.shape))
        if plain is not None:
            slopes += plain
        slopes -= np.einsum("kv,kv->v", slopes, p) + pull
        p *= slopes
    elif plain is not None:
        slopes = np.einsum("k,kv->v", plain[:, 0], p) + pull
        p *= np.subtract(plain, slopes, out=block.scratch.planes[1, : p.size].reshape(p.shape))
    else:
        p *= -pull
    block.flat[block.index] += pull


def _sigmoid_gradient(block: _Block, weights: dict[Row, np.ndarray]) -> np.ndarray:
    """(K, V) in scratch memory: with a = dL/dp it is p (1 - p) a, and p = (1 + h) / 2."""
    joint, plain, squares = (weights.get(Row(kind, sigmoid=True)) for kind in ("joint", "sum", "squares"))
    h = block.half_tangent(0)
    slopes = block.scratch.planes[1, : h.size].reshape(h.shape)
    level = np.zeros_like(next(iter(weights.values()))) if plain is None else plain
    if squares is None:
        slopes[:] = level / 4
    else:
        np.multiply(h, squares / 4, out=slopes)
        slopes += (squares + level) / 4
    if joint is not None:
        block.add_where_class(slopes, joint / 4)
    h *= h
    np.subtract(1, h, out=h)
    slopes *= block.only_valid(h)
    return slopes
