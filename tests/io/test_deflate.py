"""ISA-L and zlib read each other's streams and refuse the same damage; without ISA-L everything still works."""

from __future__ import annotations

import gzip
import io
import zlib

import numpy as np
import pytest

from medicalseg.errors import VolumeError
from medicalseg.io import deflate, read_volume, write_volume

from .conftest import make_volume


@pytest.fixture(params=["isal", "zlib"])
def engine(request, monkeypatch):
    if request.param == "isal":
        pytest.importorskip("isal", reason="isal (extra fast) is not installed")
    else:
        monkeypatch.setattr(deflate, "igzip", None)
        monkeypatch.setattr(deflate, "isal_zlib", None)
    return request.param


CONTENT = np.random.default_rng(0).integers(0, 4, 200_000).astype(np.uint8).tobytes()


@pytest.mark.usefixtures("engine")
def test_python_reads_what_is_packed_and_the_same_content_gives_the_same_bytes():
    packed = []
    for _ in range(2):
        target = io.BytesIO()
        with deflate.gzip_writer(target) as stream:
            stream.write(CONTENT[:1000])
            stream.write(memoryview(CONTENT)[1000:])
        packed.append(target.getvalue())
    assert packed[0] == packed[1]
    assert gzip.decompress(packed[0]) == CONTENT
    compressor = deflate.compressor()
    assert zlib.decompress(compressor.compress(CONTENT) + compressor.flush()) == CONTENT


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_what_python_packs_is_read(pack):
    assert deflate.decompressor().decompress(pack(CONTENT)) == CONTENT


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("name", ["v.nii.gz", "v.mha", "v.nrrd", "v.mgz"])
def test_damage_is_refused(tmp_path, name):
    path = write_volume(make_volume((30, 20, 10), np.int16), tmp_path / name)
    assert read_volume(path).array.shape == (30, 20, 10)
    content = path.read_bytes()
    for position in (len(content) // 2, len(content) - 6, len(content) - 2):
        damaged = bytearray(content)
        damaged[position] ^= 0x5A
        path.write_bytes(damaged)
        with pytest.raises(VolumeError, match=str(path)):
            read_volume(path)
    path.write_bytes(content[:-9])
    with pytest.raises(VolumeError, match="truncated"):
        read_volume(path)
