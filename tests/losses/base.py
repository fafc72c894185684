"""One test class for what every loss must do; each loss's test file inherits it."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest

from medicalseg.errors import ConfigError, DataError

SHAPE = (2, 3, 4, 3, 2)


def batch(seed: int = 0, shape: tuple[int, ...] = SHAPE, ignored: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits float64 (N, K, ...) and labels int64 (N, ...), the first `ignored` voxels being 255."""
    generator = np.random.default_rng(seed)
    logits = 2 * generator.standard_normal(shape)
    label = generator.integers(0, shape[1], (shape[0], *shape[2:]))
    label.reshape(-1)[:ignored] = 255
    return logits, label


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def one_hot(label: np.ndarray, classes: int) -> np.ndarray:
    return np.stack([label == c for c in range(classes)], axis=1).astype(np.float64)


def kept(values: np.ndarray, label: np.ndarray) -> np.ndarray:
    """(N, K, ...) to (K, voxels that are not ignored)."""
    return np.moveaxis(values, 1, 0).reshape(values.shape[1], -1)[:, label.reshape(-1) != 255]


def value(loss: Any, logits: np.ndarray, label: np.ndarray) -> float:
    return loss(paddle.to_tensor(logits), paddle.to_tensor(label)).item()


def gradient(loss: Any, logits: np.ndarray, label: np.ndarray) -> np.ndarray:
    tensor = paddle.to_tensor(logits, stop_gradient=False)
    loss(tensor, paddle.to_tensor(label)).backward()
    return tensor.grad.numpy()


class LossTests:
    """Set `variants` (argument dicts), write `build` and the independent `reference` in float64."""

    variants: tuple[dict[str, Any], ...] = ({},)

    def build(self, **arguments: Any) -> Any:
        raise NotImplementedError

    def reference(self, logits: np.ndarray, label: np.ndarray, **arguments: Any) -> float:
        raise NotImplementedError

    @pytest.mark.parametrize("ignored", [0, 7])
    def test_formula(self, ignored: int) -> None:
        logits, label = batch(1, ignored=ignored)
        for arguments in self.variants:
            expected = self.reference(logits, label, **arguments)
            assert value(self.build(**arguments), logits, label) == pytest.approx(expected, rel=1e-9), arguments
            single = value(self.build(**arguments), logits.astype(np.float32), label)
            assert single == pytest.approx(expected, rel=2e-6), arguments

    def test_gradient_is_the_slope(self) -> None:
        logits, label = batch(2, ignored=5)
        for arguments in self.variants:
            loss = self.build(**arguments)
            slope = gradient(loss, logits, label)
            for index in [(0, 1, 3, 2, 1), (1, 0, 0, 0, 0), (1, 2, 2, 1, 0)]:
                step = np.zeros_like(logits)
                step[index] = 1e-5
                difference = (value(loss, logits + step, label) - value(loss, logits - step, label)) / 2e-5
                assert slope[index] == pytest.approx(difference, rel=1e-5, abs=1e-9), (arguments, index)

    def test_ignored_voxels_count_nowhere(self) -> None:
        logits, label = batch(3, ignored=9)
        other = logits.copy()
        flat = np.moveaxis(other, 1, -1).reshape(-1, SHAPE[1])
        flat[:9] += 5
        other = np.moveaxis(flat.reshape(2, 4, 3, 2, 3), -1, 1)
        for arguments in self.variants:
            loss = self.build(**arguments)
            assert value(loss, logits, label) == pytest.approx(value(loss, other, label), rel=1e-12)
            slope = gradient(loss, logits, label)
            hidden = np.broadcast_to((label == 255)[:, None], slope.shape)
            assert np.all(slope[hidden] == 0)
            assert np.any(slope[~hidden] != 0)

    def test_ignore_index_may_be_a_class(self) -> None:
        logits, label = batch(4, ignored=0)
        label[0] = np.where(label[0] == 1, 2, label[0])
        moved = np.where(label == 1, 255, label)
        for arguments in self.variants:
            assert value(self.build(ignore_index=1, **arguments), logits, label) == pytest.approx(
                value(self.build(**arguments), logits, moved), rel=1e-12
            )

    def test_all_ignored_is_zero(self) -> None:
        logits, label = batch(5)
        label[:] = 255
        for arguments in self.variants:
            assert value(self.build(**arguments), logits, label) == 0
            assert np.all(gradient(self.build(**arguments), logits, label) == 0)

    def test_scalar_without_axes(self) -> None:
        logits, label = batch(6)
        for arguments in self.variants:
            result = self.build(**arguments)(paddle.to_tensor(logits), paddle.to_tensor(label))
            assert result.ndim == 0
            assert float(result) == result.item()

    @pytest.mark.parametrize("kind", ["uint8", "int32"])
    def test_integer_kinds(self, kind: str) -> None:
        logits, label = batch(7, ignored=3)
        loss = self.build()
        assert value(loss, logits, label.astype(kind)) == value(loss, logits, label)
        assert value(loss, logits, label[:, None].astype(kind)) == value(loss, logits, label)

    def test_half_precision_is_computed_in_float32(self) -> None:
        logits, label = batch(8, ignored=3)
        rough = paddle.to_tensor(logits.astype(np.float32)).astype("bfloat16")
        rough.stop_gradient = False
        loss = self.build()
        with paddle.amp.auto_cast(enable=True, level="O2", dtype="bfloat16"):
            result = loss(rough, paddle.to_tensor(label))
        result.backward()
        assert result.dtype == paddle.float32
        assert result.item() == pytest.approx(value(loss, rough.astype("float32").numpy(), label), rel=1e-6)
        assert rough.grad.dtype == paddle.bfloat16

    def test_extreme_logits_stay_finite(self) -> None:
        logits, label = batch(9, ignored=3)
        logits = (1e4 * logits).astype(np.float32)
        for arguments in self.variants:
            assert np.isfinite(value(self.build(**arguments), logits, label)), arguments
            assert np.all(np.isfinite(gradient(self.build(**arguments), logits, label))), arguments

    def test_wrong_input(self) -> None:
        logits, label = batch(10)
        loss = self.build()
        with pytest.raises(DataError, match=r"\[2, 4, 3, 2\], got \[2, 4, 3, 1\]|fit a label"):
            value(loss, logits, label[..., :1])
        with pytest.raises(DataError, match="integers"):
            value(loss, logits, label.astype(np.float32))
        with pytest.raises(DataError, match=r"id 3.*classes are 0 to 2 and 255 is ignored"):
            value(loss, logits, np.where(label == 2, 3, label))
        with pytest.raises(DataError, match="id -1"):
            value(loss, logits, np.where(label == 2, -1, label))
        with pytest.raises(DataError, match="logits"):
            loss(paddle.zeros([2, 3]), paddle.zeros([2], dtype="int64"))
        with pytest.raises(ConfigError, match="ignore_index"):
            self.build(ignore_index="none")

    def test_ranks_give_the_gradient_of_one_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        logits, label = batch(11, ignored=5)
        for arguments in self.variants:
            loss = self.build(**arguments)
            expected, slope = value(loss, logits, label), gradient(loss, logits, label)
            results = _in_ranks(loss, logits, label, monkeypatch)
            for rank, (loss_value, rank_slope) in enumerate(results):
                assert loss_value == pytest.approx(expected, rel=1e-12)
                np.testing.assert_allclose(rank_slope[0] / len(results), slope[rank], rtol=1e-9, atol=1e-15)

    def test_no_ranks_are_asked_without_gradients(self, monkeypatch: pytest.MonkeyPatch) -> None:
        logits, label = batch(12)

        def forbidden(tensor: Any) -> Any:
            raise AssertionError

        monkeypatch.setattr("medicalseg.losses.sums.all_reduce_sum", forbidden)
        with paddle.no_grad():
            for arguments in self.variants:
                assert np.isfinite(value(self.build(**arguments), logits, label))


def _in_ranks(loss: Any, logits: np.ndarray, label: np.ndarray, patch: pytest.MonkeyPatch) -> list[Any]:
    """Loss and gradient on each of two ranks holding one case each.

    The all-reduce is played: runs are repeated until each rank's n-th call knows what the others bring to theirs.
    """
    known: list[list[np.ndarray]] = []
    for _ in range(4):
        results = []
        brought: list[list[np.ndarray]] = []
        for case in range(len(logits)):
            reduce = _PlayedReduce(len(logits), known)
            patch.setattr("medicalseg.losses.sums.all_reduce_sum", reduce)
            tensor = paddle.to_tensor(logits[case : case + 1], stop_gradient=False)
            result = loss(tensor, paddle.to_tensor(label[case : case + 1]))
            result.backward()
            results.append((result.item(), tensor.grad.numpy()))
            brought.append(reduce.brought)
        known = brought
    patch.undo()
    return results


class _PlayedReduce:
    """A sum over ranks whose gradient is summed too; what the ranks bring to each call is known from a run before."""

    def __init__(self, ranks: int, known: list[list[np.ndarray]]) -> None:
        self.ranks = ranks
        self.known = known
        self.brought: list[np.ndarray] = []

    def __call__(self, tensor: Any) -> Any:
        call = len(self.brought)
        self.brought.append(tensor.numpy())
        total = sum(other[call] for other in self.known) if self.known else tensor.numpy()
        return self.ranks * (tensor - tensor.detach()) + paddle.to_tensor(total)
