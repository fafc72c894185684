"""An unpickler that builds containers, strings, numbers and NumPy arrays, and refuses anything else."""

from __future__ import annotations

import codecs
import math
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, BinaryIO, cast

import numpy as np

from medicalseg.errors import CheckpointError

_Function = Callable[..., Any]
_NUMBERS = re.compile(r"[biufc][0-9]{1,2}")
_PLAIN_DTYPE = (None, None, None, -1, -1, 0)
"""Subarray, names, fields, item size, alignment and flags of a dtype in a pickle that is a number and nothing else."""


class _RefusalError(Exception):
    """Why a file is refused; the file's name is put in front."""


class _Callable:
    """A function that a pickle may call and cannot change: BUILD would set attributes of a bare one."""

    __slots__ = ("_function",)

    def __init__(self, function: _Function) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise _RefusalError("it tries to change the reader")


class _Dtype:
    """A dtype of numbers; a pickle may set its byte order, where NumPy's own would take subarrays, sizes and flags."""

    __slots__ = ("value",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: np.dtype[Any]) -> None:
        self.value = value

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 8:
            raise _RefusalError("it describes a dtype another way than NumPy does")
        if state[1] not in ("<", ">", "=", "|") or state[2:8] != _PLAIN_DTYPE or any(state[8:]):
            raise _RefusalError("it holds an array of a made-up type; only numbers are allowed")
        self.value = self.value.newbyteorder(state[1])


class _Array:
    """An array on its way; a pickle may fill it with as many bytes as its shape and type need."""

    __slots__ = ("value",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: np.ndarray) -> None:
        self.value = value

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5 or state[0] != 1:
            raise _RefusalError("it describes an array another way than NumPy does")
        _, shape, dtype, fortran, content = state
        data = _bytes_of(content, shape, dtype)
        array: Any = np.empty(0, dtype=np.int8)
        array.__setstate__((1, shape, dtype.value, bool(fortran), data))
        self.value = array


class RestrictedUnpickler(pickle.Unpickler):
    """Read a pickle that holds nothing but plain data.

    Args:
        handle: the open file.
        name: file name for messages.

    Raises:
        CheckpointError: from `load`, when the pickle names a class or function that is not allowed, or misuses one.
    """

    def __init__(self, handle: BinaryIO, name: str) -> None:
        super().__init__(handle, encoding="latin1")
        self._name = name

    def load(self) -> Any:
        """Content of the file."""
        try:
            return _finished(super().load())
        except _RefusalError as error:
            raise CheckpointError(f"{self._name} is refused: {error}") from error
        except RecursionError as error:
            raise CheckpointError(f"{self._name} is refused: its containers are nested too deeply") from error

    def find_class(self, module_name: str, global_name: str) -> Any:
        """Translate a name in the pickle; called by `load`."""
        module = (
            "numpy.core" + module_name[len("numpy._core") :] if module_name.startswith("numpy._core") else module_name
        )
        try:
            return _ALLOWED[(module, global_name)]
        except KeyError:
            raise CheckpointError(
                f"{self._name} is refused: it names {module_name}.{global_name}, and a checkpoint may hold only "
                "containers, strings, numbers and NumPy arrays"
            ) from None

    def persistent_load(self, pid: Any) -> Any:
        """Refuse references to outside storage."""
        raise CheckpointError(f"{self._name} is refused: it refers to outside storage ({pid!r})")


def _finished(value: Any) -> Any:
    """Content with NumPy's own arrays and dtypes in place of those that were being made."""
    if isinstance(value, (_Array, _Dtype)):
        return value.value
    if isinstance(value, dict):
        return {key: _finished(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finished(item) for item in value]
    if isinstance(value, tuple):
        return tuple(_finished(item) for item in value)
    if isinstance(value, (_Callable, type)):
        raise _RefusalError("it holds the name of a function or class where data should be")
    return value


def _dtype(spec: Any, align: bool = False, copy: bool = False) -> _Dtype:
    if not isinstance(spec, str) or not _NUMBERS.fullmatch(spec):
        raise _RefusalError(f"it holds an array of type '{spec}'; only numbers are allowed")
    return _Dtype(np.dtype(spec))


def _bytes_of(content: Any, shape: Any, dtype: Any) -> bytes:
    """The bytes of an array, which must be as many as its shape and type need."""
    if not isinstance(dtype, _Dtype):
        raise _RefusalError("it holds an array without a type")
    if not isinstance(shape, tuple) or len(shape) > 32 or not all(type(size) is int and size >= 0 for size in shape):
        raise _RefusalError(f"it holds an array of shape {shape!r:.100}")
    data = content.encode("latin1") if isinstance(content, str) else content
    if not isinstance(data, (bytes, bytearray)):
        raise _RefusalError(f"it holds an array whose content is a {type(content).__name__}, not bytes")
    needed = math.prod(shape) * dtype.value.itemsize
    if len(data) != needed:
        raise _RefusalError(f"it holds an array of {needed} bytes with {len(data)} bytes of content")
    return bytes(data)


def _ndarray(*arguments: Any) -> Any:
    raise _RefusalError("it makes an array another way than NumPy does")


_NDARRAY_NAME = _Callable(_ndarray)
"""Stands for `numpy.ndarray` in a pickle: a name that `_reconstruct` takes, not something to call."""


def _reconstruct(subtype: Any, shape: tuple[int, ...], typecode: Any) -> _Array:
    if subtype is not _NDARRAY_NAME or tuple(shape) != (0,):
        raise _RefusalError("it holds an array that is not a plain numpy.ndarray")
    return _Array(np.empty(0, dtype=np.int8))


def _scalar(dtype: _Dtype, content: Any = b"") -> np.generic:
    return cast(np.generic, np.frombuffer(_bytes_of(content, (), dtype), dtype=dtype.value)[0])


def _frombuffer(buffer: Any, dtype: _Dtype, shape: tuple[int, ...], order: str, axes: Any = None) -> _Array:
    flat = np.frombuffer(_bytes_of(buffer, shape, dtype), dtype=dtype.value)
    if order == "K" and axes is not None:
        return _Array(flat.reshape(shape).transpose(axes))
    return _Array(flat.reshape(shape, order="F" if order == "F" else "C"))


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if codecs.lookup(encoding).name not in ("iso8859-1", "utf-8", "ascii"):
        raise _RefusalError(f"it holds text in the encoding '{encoding}'")
    return text.encode(encoding)


def _empty_bytes() -> bytes:
    return b""


def _complex(real: float, imaginary: float) -> complex:
    return complex(real, imaginary)


_BUILTINS: dict[str, Any] = {
    "tuple": tuple,
    "list": list,
    "dict": dict,
    "set": set,
    "frozenset": frozenset,
    "int": int,
    "long": int,
    "float": float,
    "bool": bool,
    "bytes": _Callable(_empty_bytes),
    "str": str,
    "unicode": str,
    "complex": _Callable(_complex),
}

_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _Callable(_reconstruct),
    ("numpy.core.multiarray", "scalar"): _Callable(_scalar),
    ("numpy.core.numeric", "_frombuffer"): _Callable(_frombuffer),
    ("numpy", "ndarray"): _NDARRAY_NAME,
    ("numpy", "dtype"): _Callable(_dtype),
    ("_codecs", "encode"): _Callable(_encode),
    ("collections", "OrderedDict"): OrderedDict,
    **{(module, name): value for module in ("builtins", "__builtin__") for name, value in _BUILTINS.items()},
}
