"""A network as inference sees it: an array in, logits or labels out, whatever computes them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np

from medicalseg.errors import RunError
from medicalseg.inference.threads import for_each

if TYPE_CHECKING:
    import paddle

BLOCK_VOXELS = 1 << 15


class Network(Protocol):
    """What sliding windows, evaluation and prediction need of a network."""

    def logits(self, x: np.ndarray) -> np.ndarray:
        """(N, K, X, Y, Z) float32 for (N, C, X, Y, Z) float32."""

    def labels(self, x: np.ndarray) -> np.ndarray:
        """(N, X, Y, Z) int32 for (N, C, X, Y, Z) float32."""


class EagerNetwork:
    """A `paddle.nn.Layer` of a checkpoint: evaluation mode, no gradients, first head only.

    The layer is put back to the mode it was in after every call.

    Args:
        model: returns logits (N, K, X, Y, Z) or a list of them, the main head first.
    """

    def __init__(self, model: paddle.nn.Layer) -> None:
        self.model = model

    def forward(self, x: np.ndarray) -> paddle.Tensor:
        """Logits of the first head as a tensor (N, K, X, Y, Z)."""
        import paddle

        forward = getattr(self.model, "inference_forward", self.model)
        with evaluation_mode(self.model), paddle.no_grad():
            heads = forward(paddle.to_tensor(np.ascontiguousarray(x, dtype=np.float32)))
        return heads[0] if isinstance(heads, (list, tuple)) else heads

    def logits(self, x: np.ndarray) -> np.ndarray:
        """(N, K, X, Y, Z) float32."""
        return as_array(self.forward(x))

    def labels(self, x: np.ndarray) -> np.ndarray:
        """(N, X, Y, Z) int32: the class with the largest logit.

        Raises:
            RunError: if the network gives NaN.
        """
        return argmax_classes(self.logits(x), axis=1)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.labels(x)


def as_array(tensor: paddle.Tensor) -> np.ndarray:
    """The tensor's values as a float32 array."""
    return tensor.astype("float32").numpy()


@contextlib.contextmanager
def evaluation_mode(model: paddle.nn.Layer) -> Iterator[None]:
    """Evaluation mode inside the block; afterwards every layer is back in the mode it was in."""
    modes = [(layer, layer.training) for layer in model.sublayers(include_self=True)]
    model.eval()
    try:
        yield
    finally:
        for layer, training in modes:
            layer.training = training


def argmax_classes(logits: np.ndarray, axis: int = 0) -> np.ndarray:
    """Class with the largest logit, the first of equals; beside the result only small blocks are allocated.

    Args:
        logits: floats, classes along `axis`.
        axis: the axis of classes.

    Returns:
        int32, without that axis.

    Raises:
        RunError: if logits are NaN.
    """
    planes = np.moveaxis(logits, axis, 0)
    labels = np.empty(planes.shape[1:], np.int32)
    for_each(lambda block: _argmax_block(*block), list(_blocks(planes, labels)), logits.size)
    return labels


def _blocks(planes: np.ndarray, labels: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    if labels.size <= BLOCK_VOXELS or labels.ndim == 0:
        yield planes, labels
        return
    rows = len(labels)
    step = max(1, rows * BLOCK_VOXELS // labels.size)
    for start in range(0, rows, step):
        if step == 1:
            yield from _blocks(planes[:, start], labels[start])
        else:
            yield planes[:, start : start + step], labels[start : start + step]


def _argmax_block(planes: np.ndarray, labels: np.ndarray) -> None:
    best = planes[0].copy()
    winner = np.zeros(best.shape, np.min_scalar_type(len(planes)))
    better = np.empty(best.shape, bool)
    for index in range(1, len(planes)):
        np.greater(planes[index], best, out=better)
        np.copyto(winner, index, where=better)
        np.maximum(best, planes[index], out=best)
    if np.isnan(best).any():
        raise RunError("the network's output is NaN: its weights have diverged, or the image holds NaN")
    labels[...] = winner
