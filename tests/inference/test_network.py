"""The eager network: first head, no gradients, the mode put back."""

from __future__ import annotations

import numpy as np
import pytest

from medicalseg.errors import RunError
from medicalseg.inference import Decision, EagerNetwork
from medicalseg.inference.network import WithDecision, evaluation_mode

paddle = pytest.importorskip("paddle")


class TwoHeads(paddle.nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.conv = paddle.nn.Conv3D(2, 3, 1)
        self.dropout = paddle.nn.Dropout(0.5)
        self.frozen = paddle.nn.BatchNorm3D(3)

    def forward(self, x):  # type: ignore[no-untyped-def]
        main = self.frozen(self.dropout(self.conv(x)))
        return [main, -main]


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(0).random((2, 2, 5, 4, 3)).astype(np.float32)


def test_first_head_in_evaluation_mode_without_gradients(x: np.ndarray) -> None:
    model = TwoHeads()
    network = EagerNetwork(model)
    model.train()
    model.frozen.eval()
    tensor = network.forward(x)
    assert tensor.stop_gradient
    np.testing.assert_array_equal(network.logits(x), tensor.numpy())
    assert model.training
    assert model.dropout.training
    assert not model.frozen.training
    model.eval()
    np.testing.assert_allclose(model(paddle.to_tensor(x))[0].numpy(), network.logits(x), rtol=1e-6)


def test_probabilities_that_are_nan_are_refused() -> None:
    class Exported(WithDecision):
        decision, gives_probabilities = Decision(), True

        def logits(self, x: np.ndarray) -> np.ndarray:
            return np.full((1, 2, *x.shape[2:]), np.nan, np.float32)

    image = np.zeros((1, 1, 4, 4, 4), np.float32)
    for scores in ({}, {"weights": np.ones((4, 4, 4), np.float32)}):
        with pytest.raises(RunError, match="NaN"):
            Exported().probabilities_of(Exported().logits(image)[0], **scores)


def test_labels_are_the_argmax(x: np.ndarray) -> None:
    network = EagerNetwork(TwoHeads())
    labels = network(x)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, network.logits(x).argmax(axis=1))


def test_a_network_may_return_a_bare_tensor_or_have_a_shorter_road(x: np.ndarray) -> None:
    class Bare(paddle.nn.Layer):
        def forward(self, value):  # type: ignore[no-untyped-def]
            return value

    class Shorter(Bare):
        def inference_forward(self, value):  # type: ignore[no-untyped-def]
            return [2 * value]

    np.testing.assert_array_equal(EagerNetwork(Bare()).logits(x), x)
    np.testing.assert_array_equal(EagerNetwork(Shorter()).logits(x), 2 * x)


def test_the_mode_is_put_back_after_an_error() -> None:
    model = TwoHeads()
    model.train()
    with pytest.raises(ZeroDivisionError):
        _fail_in_evaluation_mode(model)
    assert model.dropout.training


def _fail_in_evaluation_mode(model: TwoHeads) -> None:
    with evaluation_mode(model):
        assert not model.dropout.training
        raise ZeroDivisionError
