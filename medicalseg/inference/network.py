"""A network as inference sees it: an array in, logits or labels out, whatever computes them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np

from medicalseg.errors import RunError

if TYPE_CHECKING:
    import paddle


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
    """Class with the largest logit, the first of equals; beside the result only two planes are allocated.

    Args:
        logits: floats, classes along `axis`.
        axis: the axis of classes.

    Returns:
        int32, without that axis.

    Raises:
        RunError: if logits are NaN.
    """
    planes = np.moveaxis(logits, axis, 0)
    best = planes[0].copy()
    labels = np.zeros(best.shape, np.int32)
    for index in range(1, len(planes)):
        better = planes[index] > best
        np.copyto(best, planes[index], where=better)
        labels[better] = index
    if np.isnan(best).any():
        raise RunError("the network's output is NaN: its weights have diverged, or the image holds NaN")
    return labels
