"""Digests of files are those of `hashlib`."""

from __future__ import annotations

import hashlib

from medicalseg.utils.files import file_hash


def test_digests(tmp_path):
    content = bytes(range(256)) * 5000
    (tmp_path / "x").write_bytes(content)
    assert file_hash(tmp_path / "x") == hashlib.sha256(content).hexdigest()
    assert file_hash(tmp_path / "x", "md5") == hashlib.md5(content).hexdigest()
