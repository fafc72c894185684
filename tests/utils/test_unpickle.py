"""Hostile pickles: no byte beyond the file's own gets into an array, no dtype but plain numbers."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np
import pytest

from medicalseg.errors import CheckpointError
from medicalseg.utils.unpickle import RestrictedUnpickler

RECONSTRUCT = np.zeros(1).__reduce__()[0]
SCALAR = np.float64(1).__reduce__()[0]
FLOATS = (3, "<", None, None, None, -1, -1, 0)


class Built:
    """What is pickled as a call and the state that its result is given."""

    def __init__(self, function: Any, arguments: tuple, *state: Any) -> None:
        self.parts = (function, arguments, *state)

    def __reduce__(self) -> tuple:
        return self.parts


def dtype(state: Any = FLOATS, kind: str = "f8") -> Built:
    return Built(np.dtype, (kind, False, True), state)


def array(shape: Any, kind: Any, content: Any, version: Any = 1, fortran: Any = False) -> Built:
    return Built(RECONSTRUCT, (np.ndarray, (0,), b"b"), (version, shape, kind, fortran, content))


def read(data: bytes) -> Any:
    return RestrictedUnpickler(io.BytesIO(data), "bad.pdparams").load()


def load(content: Any, protocol: int = 4) -> Any:
    return read(pickle.dumps(content, protocol))


@pytest.mark.parametrize(
    "state",
    [
        (3, "<", (np.dtype("<f8"), (1000,)), None, None, -1, -1, 0),
        (3, "|", None, ("a",), {"a": (np.dtype("<f8"), 800)}, 808, 1, 0),
        (3, "<", None, None, None, 8000, -1, 0),
        (3, "<", None, None, None, -1, 4096, 0),
        (3, "<", None, None, None, -1, -1, 63),
        (4, "<", None, None, None, -1, -1, 0, {"a": 1}),
        (3, "S", None, None, None, -1, -1, 0),
        (3, "<"),
        {"a": 1},
    ],
    ids=["subarray", "fields", "itemsize", "alignment", "flags", "metadata", "swap", "short", "dict"],
)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_dtype_gets_no_state_but_its_byte_order(state, protocol):
    for content in (dtype(state), Built(SCALAR, (dtype(state), bytes(16))), array((2,), dtype(state), bytes(16))):
        with pytest.raises(CheckpointError, match=r"bad\.pdparams is refused"):
            load({"w": content}, protocol)


@pytest.mark.parametrize("kind", ["O", "O8", "V8", "S4", "U4", "M8[s]", "f8,f8", "(1000,)f8", "f8,", "(a", "i4:"])
def test_a_dtype_is_one_of_numbers(kind):
    with pytest.raises(CheckpointError, match="only numbers are allowed"):
        load({"w": Built(np.dtype, (kind, False, True))})


@pytest.mark.parametrize(
    ("shape", "content"),
    [
        ((3,), bytes(16)),
        ((1,), bytes(16)),
        ((-1,), bytes(16)),
        ((-2, -1), bytes(16)),
        ((1 << 61,), b""),
        ((1 << 32, 1 << 32), b""),
        ((2.0,), bytes(16)),
        ((True, 2), bytes(16)),
        (2, bytes(16)),
        ((2,), [1.0, 2.0]),
        ((2,), 16),
        ((2,), {"a": 1}),
        ((1,) * 100, bytes(8)),
    ],
)
def test_an_array_is_as_large_as_its_bytes(shape, content):
    with pytest.raises(CheckpointError, match=r"bad\.pdparams is refused"):
        load({"w": array(shape, dtype(), content)})


@pytest.mark.parametrize("protocol", [2, 4])
def test_an_array_of_something_else_than_a_dtype(protocol):
    for kind in ("f8", None, [dtype()], np.ndarray):
        with pytest.raises(CheckpointError, match="refused"):
            load({"w": array((2,), kind, bytes(16))}, protocol)
    for state in ((2, (2,), dtype(), False, bytes(16)), ((2,), dtype(), False, bytes(16)), {"base": 1}):
        with pytest.raises(CheckpointError, match="refused"):
            load({"w": Built(RECONSTRUCT, (np.ndarray, (0,), b"b"), state)}, protocol)


@pytest.mark.parametrize("content", [b"", bytes(7), bytes(9), bytes(16), 8, 1 << 50, [1], None])
def test_a_number_is_as_large_as_its_bytes(content):
    with pytest.raises(CheckpointError, match=r"bad\.pdparams is refused"):
        load({"w": Built(SCALAR, (dtype(), content))})


def test_a_second_state():
    first, second = array((1,), dtype(), bytes(8)), (1, (1000,), dtype(), False, bytes(8))
    with pytest.raises(CheckpointError, match="refused"):
        read(pickle.dumps(first, 2)[:-1] + pickle.dumps(second, 2)[2:-1] + b"b.")


def test_state_of_what_is_finished():
    finished = pickle.dumps(np.zeros(1), 5)
    state = (1, (1000,), dtype(), False, bytes(8))
    with pytest.raises(CheckpointError, match="refused"):
        read(b"\x80\x05" + finished[11:-1] + pickle.dumps(state, 2)[2:-1] + b"b.")


@pytest.mark.parametrize("content", [np.ndarray, RECONSTRUCT, [SCALAR]])
def test_names_of_functions_are_no_data(content):
    with pytest.raises(CheckpointError, match=r"bad\.pdparams is refused"):
        load({"w": content})


def test_nesting_without_end():
    endless: list = []
    endless.append(endless)
    with pytest.raises(CheckpointError, match="nested"):
        load(endless)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("kind", ["?", "u1", "i1", "<u2", "<i4", ">i8", "<f2", "<f4", ">f8", "<c8", "=g"])
def test_every_kind_of_number(kind, protocol):
    grid = (np.arange(6).reshape(2, 3) % 2).astype(kind)
    content = {
        "c": grid,
        "f": np.asfortranarray(grid),
        "part": grid[:, ::2],
        "empty": grid[:0],
        "zero": grid[1, 1:2][0],
    }
    content |= {
        "cube": np.moveaxis(np.stack([grid] * 4), 0, 1),
        "in": [(grid, {"a": grid})],
        "one": np.array(grid[0, 1]),
    }
    found = load(content, protocol)
    for key in ("c", "f", "part", "empty", "cube", "one"):
        assert type(found[key]) is np.ndarray
        np.testing.assert_array_equal(found[key], content[key])
        assert found[key].dtype.newbyteorder("=") == content[key].dtype.newbyteorder("=")
    assert isinstance(found["zero"], np.generic)
    assert found["zero"] == content["zero"]
    assert type(found["in"][0]) is tuple
    np.testing.assert_array_equal(found["in"][0][1]["a"], grid)


def test_a_dtype_by_itself_stays_one():
    assert load({"kind": np.dtype(">f4")}) == {"kind": np.dtype(">f4")}
