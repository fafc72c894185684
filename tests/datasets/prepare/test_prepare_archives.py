"""Archives of raw volumes: names from addresses, what is fetched or unpacked already, checksums."""

from __future__ import annotations

import argparse
import functools
import hashlib
import http.server
import os
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from medicalseg.datasets.prepare.raw import raw_folder
from medicalseg.errors import DataError, UserError


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """Zenodo's addresses: FILE/content."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    for name in ("im.zip", "mask.zip"):
        archive(tmp_path / "site" / "files" / name / "content", name)
        archive(tmp_path / "site" / "other" / name / "content", f"other {name}")
    handler = functools.partial(Quiet, directory=str(tmp_path / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def archive(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as handle:
        handle.writestr("a.txt", text)
    return path


def unpack(root: Path, **flags: object) -> Path:
    given = {"raw_dir": None, "archive": None, "url": None, "checksum": None, "dataset_root": root, **flags}
    return raw_folder(argparse.Namespace(**given), root / "raw", "Fetch it.")


def texts(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in sorted(folder.rglob("*.txt"))}


def digest(path: Path, kind: str = "sha256") -> str:
    return f"{kind}:{hashlib.new(kind, path.read_bytes()).hexdigest()}"


def test_addresses_with_the_same_ending_are_two_files(site: str, tmp_path: Path) -> None:
    urls = [f"{site}/files/im.zip/content", f"{site}/files/mask.zip/content?download=1"]
    for _ in range(2):
        raw = unpack(tmp_path / "out", url=urls)
        assert texts(raw) == {"im/a.txt": "im.zip", "mask/a.txt": "mask.zip"}
    assert (tmp_path / "out/downloads/mask.zip").is_file()


@pytest.mark.parametrize("endings", [("1/content", "2/content"), ("a/im.zip", "b/im.tar")])
def test_addresses_of_one_name_are_refused_before_anything_is_fetched(tmp_path: Path, endings: tuple[str, str]) -> None:
    urls = [f"http://user:secret@127.0.0.1:9/{ending}?key=secret" for ending in endings]
    with pytest.raises(UserError, match="both would be unpacked") as failure:
        unpack(tmp_path / "out", url=urls)
    assert all(ending in str(failure.value) for ending in endings)
    assert "secret" not in str(failure.value)
    assert not (tmp_path / "out").exists()


def test_archives_of_one_name_are_refused(tmp_path: Path) -> None:
    archives = [archive(tmp_path / folder / "R.zip", folder) for folder in "ab"]
    with pytest.raises(UserError, match=r"a/R\.zip and .*b/R\.zip.*rename one"):
        unpack(tmp_path / "out", archive=archives)


def test_another_address_is_not_there_already(site: str, tmp_path: Path) -> None:
    first, second = ([f"{site}/{folder}/im.zip/content"] for folder in ("files", "other"))
    root = tmp_path / "out"
    unpack(root, url=first)
    with pytest.raises(DataError, match=r"downloads/im\.zip was fetched from another address, .*/files/im\.zip"):
        unpack(root, url=second)
    (root / "downloads/im.zip").unlink()
    with pytest.raises(DataError, match=r"raw/im was unpacked from another im\.zip"):
        unpack(root, url=second)
    (root / "raw/im/a.txt").unlink()
    (root / "raw/im").rmdir()
    assert texts(unpack(root, url=second)) == {"im/a.txt": "other im.zip"}


def test_a_checksum_settles_which_file_is_there(site: str, tmp_path: Path) -> None:
    unpack(tmp_path / "out", url=[f"{site}/files/im.zip/content"])
    checksum = [digest(tmp_path / "site/files/im.zip/content")]
    unpack(tmp_path / "out", url=[f"{site}/other/im.zip/content"], checksum=checksum)
    assert texts(tmp_path / "out/raw") == {"im/a.txt": "im.zip"}


def test_a_replaced_archive_is_not_unpacked_already(tmp_path: Path) -> None:
    path = archive(tmp_path / "R.zip", "old")
    for _ in range(2):
        assert texts(unpack(tmp_path / "out", archive=[path])) == {"R/a.txt": "old"}
    before = path.stat()
    archive(path, "new")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert path.stat().st_size == before.st_size
    with pytest.raises(DataError, match=r"raw/R was unpacked from another R\.zip .*delete that folder"):
        unpack(tmp_path / "out", archive=[path])


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_checksums_of_archives_are_compared(tmp_path: Path, kind: str) -> None:
    good, other = (archive(tmp_path / f"{name}.zip", name) for name in "ab")
    sums = [digest(good, kind), digest(other, kind).partition(":")[2].upper()]
    unpack(tmp_path / "out", archive=[good, other], checksum=sums)
    with pytest.raises(DataError, match=rf"a\.zip: its {kind} is"):
        unpack(tmp_path / "wrong", archive=[good, other], checksum=sums[::-1])
    assert not (tmp_path / "wrong").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"checksum": ["sha256:1"]}, "digits"),
        ({"checksum": ["a", "b"]}, "2 given for 1 --archive"),
        ({"checksum": ["a"], "archive": None}, "goes with --url or --archive"),
    ],
)
def test_checksums_that_make_no_sense(tmp_path: Path, flags: dict[str, object], message: str) -> None:
    path = archive(tmp_path / "R.zip", "x")
    with pytest.raises(UserError, match=message):
        unpack(tmp_path / "out", **{"archive": [path], **flags})
