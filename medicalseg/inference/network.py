"""A network as inference sees it: an array in, logits or labels out, whatever computes them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np

from medicalseg.inference.argmax import refuse_nan
from medicalseg.inference.decision import Decision
from medicalseg.inference.probabilities import to_probabilities

if TYPE_CHECKING:
    import paddle


class Network(Protocol):
    """What sliding windows, evaluation and prediction need of a network.

    A network for images takes and gives arrays with (H, W) in place of (X, Y, Z).

    Attributes:
        decision: how its output becomes labels.
        gives_probabilities: whether `logits` gives probabilities.
    """

    decision: Decision
    gives_probabilities: bool

    def logits(self, x: np.ndarray) -> np.ndarray:
        """(N, K, X, Y, Z) float32 for (N, C, X, Y, Z) float32."""

    def labels(self, x: np.ndarray) -> np.ndarray:
        """(N, X, Y, Z) int32 for (N, C, X, Y, Z) float32: class ids, or codes (see `Decision`)."""

    def decide(self, logits: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """(...) int32 labels of what `logits` gives, (K, ...), or of sums of it with the `weights` (...)."""

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """(N, K, X, Y, Z) float32 for (N, C, X, Y, Z) float32."""

    def probabilities_of(self, logits: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """Probabilities (K, ...) of what `decide` takes, which may be overwritten."""


class WithDecision:
    """What follows for a network from its `logits` and its decision."""

    decision: Decision
    gives_probabilities: bool = False

    def logits(self, x: np.ndarray) -> np.ndarray:
        """(N, K, X, Y, Z) float32."""
        raise NotImplementedError

    def labels(self, x: np.ndarray) -> np.ndarray:
        """(N, X, Y, Z) int32: the class with the largest logit, or the code of the structures that are present.

        Raises:
            RunError: if the network gives NaN.
        """
        return self.decision.labels(self.logits(x), axis=1, probabilities=self.gives_probabilities)

    def decide(self, logits: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """Labels of logits (K, ...), or of sums of them with the weights (...)."""
        return self.decision.labels(logits, weights=weights, probabilities=self.gives_probabilities)

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """(N, K, X, Y, Z) float32."""
        scores = self.logits(x)
        scores = scores if scores.flags.writeable else scores.copy()
        for sample in scores:
            sample[...] = self.probabilities_of(sample)
        return scores

    def probabilities_of(self, logits: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """Probabilities of logits (K, ...), or of sums of them with the weights (...); in their place.

        Raises:
            RunError: if one is NaN.
        """
        if not logits.flags.writeable:
            logits = logits.copy()
        if not self.gives_probabilities:
            return to_probabilities(logits, self.decision.head, weights)
        refuse_nan(logits)
        return logits if weights is None else np.divide(logits, weights, out=logits)


class EagerNetwork(WithDecision):
    """A `paddle.nn.Layer` of a checkpoint: evaluation mode, no gradients, first head only.

    The layer is put back to the mode it was in after every call.

    Args:
        model: returns logits (N, K, X, Y, Z) or a list of them, the main head first.
        decision: how logits become labels; default: the largest class.
    """

    def __init__(self, model: paddle.nn.Layer, decision: Decision | None = None) -> None:
        self.model = model
        self.decision = decision or Decision()

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
