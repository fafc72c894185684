"""The oneDNN library that the Paddle wheel ships, called through its C API.

Nothing is compiled: the shared object is found beside Paddle's own libraries and bound with ctypes. Plain layouts are
described by strides and never by format tags, whose numbers change between oneDNN releases; the enumeration values
below have been the same in every 3.x release.

Source: oneDNN 3.x C API, https://uxlfoundation.github.io/oneDNN/.
"""

from __future__ import annotations

import ctypes
import importlib.util
import platform
from functools import lru_cache
from pathlib import Path

from medicalseg.utils.logger import logger

ENGINE_CPU = 1
STREAM_IN_ORDER = 1
FORWARD_TRAINING, FORWARD_INFERENCE, BACKWARD = 64, 96, 128
CONVOLUTION_DIRECT = 0x1
DECONVOLUTION_DIRECT = 0xA
ELTWISE_GELU_ERF, ELTWISE_SWISH = 0x31, 0x2C
ELTWISE_RELU_FROM_DST, ELTWISE_ELU_FROM_DST = 0x100, 0x102
POOLING_MAX, POOLING_AVERAGE_INCLUDE_PADDING, POOLING_AVERAGE_EXCLUDE_PADDING = 0x1FF, 0x2FF, 0x3FF
BINARY_ADD, BINARY_MUL = 0x1FFF0, 0x1FFF1
USE_GLOBAL_STATISTICS, USE_SCALE, USE_SHIFT, FUSE_RELU = 0x1, 0x2, 0x4, 0x8
BF16 = 2
F32 = 3
TAG_ANY = 1
QUERY_SRC, QUERY_DIFF_SRC, QUERY_WEIGHTS, QUERY_DIFF_WEIGHTS, QUERY_DST, QUERY_DIFF_DST = range(129, 135)
QUERY_WORKSPACE = 135
ARG_SRC, ARG_SRC_1, ARG_DST, ARG_WEIGHTS, ARG_BIAS = 1, 2, 17, 33, 41
ARG_MEAN, ARG_VARIANCE, ARG_SCALE, ARG_SHIFT, ARG_WORKSPACE = 49, 50, 51, 52, 64
ARG_DIFF_SRC, ARG_DIFF_DST, ARG_DIFF_WEIGHTS, ARG_DIFF_BIAS = 129, 145, 161, 169
ARG_DIFF_SCALE, ARG_DIFF_SHIFT = 255, 256
ARG_FROM, ARG_TO = ARG_SRC, ARG_DST

Handle = ctypes.c_void_p


class Argument(ctypes.Structure):
    """One argument of a primitive: its index and a memory object."""

    _fields_ = (("index", ctypes.c_int), ("memory", Handle))


class _Version(ctypes.Structure):
    _fields_ = (("major", ctypes.c_int), ("minor", ctypes.c_int), ("patch", ctypes.c_int))


class OneDNNError(RuntimeError):
    """oneDNN refused a call; the caller falls back to Paddle's own layer."""


class Library:
    """oneDNN with one CPU engine and one in-order stream.

    Args:
        path: the shared object.

    Raises:
        OneDNNError: if it cannot be loaded or is not a 3.x release.
    """

    def __init__(self, path: Path) -> None:
        try:
            self.c = ctypes.CDLL(str(path))
            self.c.dnnl_version.restype = ctypes.POINTER(_Version)
            found = self.c.dnnl_version().contents
        except (OSError, AttributeError) as error:
            raise OneDNNError(f"{path.name} cannot be used: {error}") from error
        self.version = (found.major, found.minor, found.patch)
        if found.major != 3:
            raise OneDNNError(f"{path.name} is oneDNN {found.major}.{found.minor}, expected 3.x")
        self.c.dnnl_primitive_desc_query_md.restype = Handle
        self.c.dnnl_memory_desc_get_size.restype = ctypes.c_size_t
        self.engine, self.stream = Handle(), Handle()
        self.check(self.c.dnnl_engine_create(ctypes.byref(self.engine), ENGINE_CPU, ctypes.c_size_t(0)))
        self.check(self.c.dnnl_stream_create(ctypes.byref(self.stream), self.engine, STREAM_IN_ORDER))

    @staticmethod
    def check(status: int) -> None:
        """Raise `OneDNNError` unless `status` is success."""
        if status:
            raise OneDNNError(f"oneDNN call failed with status {status}")


def paddle_libraries() -> Path | None:
    """The folder of shared objects in the installed Paddle, without importing it."""
    spec = importlib.util.find_spec("paddle")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "libs"


@lru_cache(maxsize=1)
def load() -> Library | None:
    """The library, or None (said once in the log) where there is none that fits."""
    folder = paddle_libraries()
    path = folder / "libdnnl.so.3" if folder else None
    if path is None or not path.is_file() or platform.machine() not in ("x86_64", "AMD64"):
        logger.info("No oneDNN library in the installed Paddle: its own convolutions are used on the CPU.")
        return None
    try:
        return Library(path)
    except OneDNNError as error:
        logger.info("%s: Paddle's own convolutions are used on the CPU.", error)
        return None


@lru_cache(maxsize=1)
def cpu_flags() -> frozenset[str]:
    """Feature flags of the processor, empty where the system does not tell."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        if line.startswith("flags"):
            return frozenset(line.split(":", 1)[1].split())
    return frozenset()


def supports_bf16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware and the library is there to use it."""
    return bool({"avx512_bf16", "amx_bf16"} & cpu_flags()) and load() is not None
