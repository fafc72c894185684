"""The cache gives back what was put in, stays within its bound, and never stops a run."""

from __future__ import annotations

import os
import pickle
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from medicalseg.datasets import cache as module
from medicalseg.datasets.cache import DiskCache, MemoryCache, cache_key, default_folder, make_cache
from medicalseg.errors import ConfigError


def arrays(value, size=1000):
    return {"image": np.full(size, value, np.float32), "label": np.full(size, value, np.uint8)}


@pytest.mark.parametrize("kind", ["disk", "ram"])
def test_least_recently_used_leaves_first(kind, tmp_path):
    cache = make_cache(kind, tmp_path)
    cache.limit = 2 * 5000 + 2000
    for number, key in enumerate("ab"):
        cache.put(key, arrays(number))
        if kind == "disk":
            os.utime(cache._path(key), (number, number))
    assert cache.get("a")["image"][0] == 0
    cache.put("c", arrays(2))
    assert cache.get("b") is None
    assert cache.get("a")["label"].dtype == np.uint8
    assert cache.get("c")["image"][0] == 2


def test_entries_are_copies():
    cache = MemoryCache(10**6)
    entry = arrays(1)
    cache.put("a", entry)
    entry["image"][:] = 5
    cache.get("a")["image"][:] = 7
    assert cache.get("a")["image"][0] == 1
    assert pickle.loads(pickle.dumps(cache)).get("a") is None


def test_threads_share_memory(monkeypatch):
    def slowly(entry):
        time.sleep(1e-4)
        return sum(array.nbytes for array in entry.values())

    monkeypatch.setattr(module, "_size", slowly)
    cache = MemoryCache(4 * 5000)

    def use(number):
        for turn in range(16):
            key = str((number + turn) % 8)
            kept = cache.get(key)
            if kept is None:
                cache.put(key, arrays(int(key)))
            else:
                assert kept["image"][0] == int(key)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(8)))
    assert sum(cache.get(key) is not None for key in "01234567") == 4


def test_damaged_file_counts_as_absent(tmp_path):
    cache = DiskCache(tmp_path, 10**6)
    cache.put("a", arrays(1))
    path = cache._path("a")
    path.write_bytes(path.read_bytes()[:100])
    assert cache.get("a") is None
    cache.put("a", arrays(2))
    assert cache.get("a")["image"][0] == 2


def test_unusable_folder_is_told_once(tmp_path, caplog):
    (tmp_path / "file").touch()
    cache = DiskCache(tmp_path / "file", 10**6)
    cache.put("a", arrays(1))
    cache.put("b", arrays(1))
    assert cache.get("a") is None
    assert len([record for record in caplog.records if "cannot be kept" in record.message]) == 1


def test_key_depends_on_file_and_settings(tmp_path):
    path = tmp_path / "a"
    path.write_text("1")
    keys = {cache_key([path], {"size": 1}), cache_key([path], {"size": 2})}
    path.write_text("12")
    keys.add(cache_key([path], {"size": 1}))
    assert len(keys) == 3


def test_default_folder(monkeypatch, tmp_path):
    assert default_folder().name == "cache"
    monkeypatch.delenv("MEDICALSEG_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "medicalseg"


def test_wrong_kind_or_size():
    with pytest.raises(ConfigError, match="cache: expected"):
        make_cache("tape")
    with pytest.raises(ConfigError, match="cache_gb"):
        make_cache("ram", gigabytes=0)


def test_what_was_read_once_is_mapped(tmp_path):
    cache = DiskCache(tmp_path, 1 << 20)
    generator = np.random.default_rng(0)
    arrays = {"image": generator.random((2, 5, 4, 3)), "label": np.asfortranarray(generator.integers(0, 9, (5, 4, 3)))}
    cache.put("a", arrays)
    first, second = cache.get("a"), cache.get("a")
    for name, array in arrays.items():
        np.testing.assert_array_equal(first[name], array)
        np.testing.assert_array_equal(second[name], array)
        assert not second[name].flags.owndata
    second["image"][:] = 0
    np.testing.assert_array_equal(cache.get("a")["image"], arrays["image"])
    np.savez_compressed(next((tmp_path / "arrays").glob("a.npz")), **arrays)
    assert cache.get("a") is None
