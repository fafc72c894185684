"""Deflate streams: through ISA-L where the optional package isal is installed (extra `fast`), else Python's zlib.

On label maps ISA-L compresses some 10 to 40 times faster than zlib at its fastest level, and unpacks twice as fast.
Both check every checksum, and each reads what the other writes.
"""

from __future__ import annotations

import contextlib
import gzip
import zlib
from typing import Any, BinaryIO, cast

igzip: Any = None
isal_zlib: Any = None
with contextlib.suppress(ImportError):
    from isal import igzip, isal_zlib

LEVEL = 1
ERRORS: tuple[type[Exception], ...] = (zlib.error, *((isal_zlib.error,) if isal_zlib else ()))
"""What damaged data raise, beside `gzip.BadGzipFile` and `EOFError`."""


def gzip_reader(handle: BinaryIO) -> BinaryIO:
    """The decompressed content of a gzip file that may have several members."""
    opener = igzip.IGzipFile if igzip else gzip.GzipFile
    return cast(BinaryIO, opener(fileobj=handle, mode="rb"))


def gzip_writer(handle: BinaryIO) -> BinaryIO:
    """A stream that packs into `handle`, without name and time: the same content gives the same bytes."""
    opener = igzip.IGzipFile if igzip else gzip.GzipFile
    return cast(BinaryIO, opener(filename="", mode="wb", fileobj=handle, compresslevel=LEVEL, mtime=0))


def decompressor() -> Any:
    """A zlib decompression object for zlib and gzip streams."""
    return (isal_zlib or zlib).decompressobj(47)


def compressor() -> Any:
    """A zlib compression object for a zlib stream."""
    return (isal_zlib or zlib).compressobj(LEVEL)
