"""An unpickler that builds containers, strings, numbers and NumPy arrays, and refuses anything else."""

from __future__ import annotations

import codecs
import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from medicalseg.errors import CheckpointError

_Array = Callable[..., Any]
NUMBER_KINDS = "biufc"


class _RefusalError(Exception):
    """Why a file is refused; the file's name is put in front."""


class _Callable:
    """A function that a pickle may call and cannot change: BUILD would set attributes of a bare one."""

    __slots__ = ("_function",)

    def __init__(self, function: _Array) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise _RefusalError("it tries to change the reader")


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
            return super().load()
        except _RefusalError as error:
            raise CheckpointError(f"{self._name} is refused: {error}") from error

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


def _dtype(spec: Any, align: bool = False, copy: bool = False) -> np.dtype[Any]:
    kind = np.dtype(str(spec))
    if kind.kind not in NUMBER_KINDS:
        raise _RefusalError(f"it holds an array of type '{spec}'; only numbers are allowed")
    return np.dtype(str(spec), False, True)


def _ndarray(*arguments: Any) -> Any:
    raise _RefusalError("it makes an array another way than NumPy does")


_NDARRAY_NAME = _Callable(_ndarray)
"""Stands for `numpy.ndarray` in a pickle: a name that `_reconstruct` takes, not something to call."""


def _reconstruct(subtype: Any, shape: tuple[int, ...], typecode: Any) -> np.ndarray:
    if subtype is not _NDARRAY_NAME or tuple(shape) != (0,):
        raise _RefusalError("it holds an array that is not a plain numpy.ndarray")
    return np.empty(0, dtype=np.int8)


def _scalar(dtype: np.dtype[Any], content: Any = b"") -> np.generic:
    data = content.encode("latin1") if isinstance(content, str) else bytes(content)
    return np.frombuffer(data, dtype=dtype, count=1)[0]


def _frombuffer(buffer: Any, dtype: np.dtype[Any], shape: tuple[int, ...], order: str) -> np.ndarray:
    order_kind: Any = "F" if order == "F" else "C"
    return np.frombuffer(bytes(buffer), dtype=dtype).reshape(shape, order=order_kind)


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
