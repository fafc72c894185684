"""Archives: whole ones come out, dangerous ones leave nothing behind."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import stat
import subprocess
import tarfile
import zipfile

import pytest

from medicalseg.errors import DataError
from medicalseg.utils.extract import extract_archive

FILES = {"a/one.txt": b"one", "a/b/two.bin": bytes(range(256)) * 400, "empty.txt": b""}


def make_zip(path, files, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as handle:
        for name, content in files.items():
            handle.writestr(name, content)
    return path


def make_tar(path, files, mode="w:gz"):
    with tarfile.open(path, mode) as handle:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            handle.addfile(info, io.BytesIO(content))
    return path


def tar_with(path, **attributes):
    with tarfile.open(path, "w") as handle:
        info = tarfile.TarInfo("member")
        for name, value in attributes.items():
            setattr(info, name, value)
        handle.addfile(info)
    return path


def content_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refuse(archive, tmp_path, match, **options):
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(DataError, match=match) as caught:
        extract_archive(archive, tmp_path / "out", **options)
    assert archive.name in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == before, "something was left behind"


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_content_comes_out(tmp_path, suffix):
    archive = tmp_path / f"data.{suffix}"
    if suffix == "zip":
        make_zip(archive, FILES)
    else:
        make_tar(archive, FILES, f"w:{suffix.partition('.')[2]}")
    out = extract_archive(archive, tmp_path / "deep" / "out")
    assert content_of(out) == FILES
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_existing_target_is_left_alone(tmp_path):
    archive = make_zip(tmp_path / "x.zip", FILES)
    (tmp_path / "out").mkdir()
    refuse(archive, tmp_path, "exists")


@pytest.mark.parametrize(
    "name", ["../evil.txt", "a/../../evil.txt", "/evil.txt", "..\\evil.txt", "C:/evil.txt", "a/b/../../../evil"]
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_paths_outside(tmp_path, name, kind):
    content = {"good.txt": b"good", name: b"evil"}
    if kind == "zip":
        archive = tmp_path / "x.zip"
        with zipfile.ZipFile(archive, "w") as handle:
            for member, data in content.items():
                info = zipfile.ZipInfo("placeholder")
                info.filename = member
                handle.writestr(info, data)
    else:
        archive = make_tar(tmp_path / "x.tar", content, "w")
    refuse(archive, tmp_path, "outside")
    assert not (tmp_path.parent / "evil.txt").exists()


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE], ids=str
)
def test_tar_links_and_devices(tmp_path, kind):
    refuse(tar_with(tmp_path / "x.tar", type=kind, linkname="/etc/passwd"), tmp_path, "link or a device")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_zip_links_and_devices(tmp_path, kind):
    archive = tmp_path / "x.zip"
    with zipfile.ZipFile(archive, "w") as handle:
        info = zipfile.ZipInfo("link")
        info.external_attr = (kind | 0o777) << 16
        handle.writestr(info, "/etc/passwd")
    refuse(archive, tmp_path, "link or a device")


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_bomb(tmp_path, kind):
    maker = make_zip if kind == "zip" else make_tar
    archive = maker(tmp_path / f"x.{kind}", {"big": bytes(5_000_000)})
    assert archive.stat().st_size < 50_000
    refuse(archive, tmp_path, "more than", max_bytes=1_000_000)


def test_bomb_that_lies_about_its_size(tmp_path):
    archive = make_zip(tmp_path / "x.zip", {"big": bytes(5_000_000)})
    data = archive.read_bytes()
    archive.write_bytes(data.replace((5_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    refuse(archive, tmp_path, "corrupt|more than|cut off", max_bytes=1_000_000)


def test_too_many_members(tmp_path):
    archive = make_tar(tmp_path / "x.tar", {str(number): b"" for number in range(20)}, "w")
    refuse(archive, tmp_path, "more than 10 members", max_files=10)


def test_encrypted(tmp_path):
    archive = make_zip(tmp_path / "x.zip", {"a": b"secret"})
    data = bytearray(archive.read_bytes())
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(mark) + offset] |= 1
    archive.write_bytes(bytes(data))
    refuse(archive, tmp_path, "encrypted")


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.xz"])
@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
def test_cut_off(tmp_path, kind, keep):
    import random

    content = {"a": random.Random(0).randbytes(200_000)}
    archive = tmp_path / f"x.{kind}"
    if kind == "zip":
        make_zip(archive, content)
    else:
        make_tar(archive, content, f"w:{kind.partition('.')[2]}")
    data = archive.read_bytes()
    archive.write_bytes(data[: int(len(data) * keep)])
    refuse(archive, tmp_path, "corrupt|cut off|neither")


SUFFIXES = {"tar": lambda data: data, "tar.gz": gzip.compress, "tar.bz2": bz2.compress, "tar.xz": lzma.compress}
THREE = {"a.txt": b"a" * 700, "folder/b.txt": b"b" * 512, "c.txt": b"c"}


def tar_blocks(tmp_path):
    """A tar's bytes, and the offset of the zero blocks at its end."""
    data = make_tar(tmp_path / "whole.tar", THREE, "w").read_bytes()
    (tmp_path / "whole.tar").unlink()
    return data, 512 * (3 + 2 + 1 + 1)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("keep", [1536, 1536 + 100, 1536 + 511, 2560, 2560 + 512, 3584, 3584 + 511])
def test_a_tar_that_ends_where_a_member_begins_or_in_its_header(tmp_path, suffix, keep):
    data, end = tar_blocks(tmp_path)
    assert end == 3584
    archive = tmp_path / f"x.{suffix}"
    archive.write_bytes(SUFFIXES[suffix](data[:keep]))
    refuse(archive, tmp_path, "cut off|corrupt")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_header_that_is_damaged(tmp_path, suffix):
    data, _ = tar_blocks(tmp_path)
    archive = tmp_path / f"x.{suffix}"
    archive.write_bytes(SUFFIXES[suffix](data[:1540] + b"?" + data[1541:]))
    refuse(archive, tmp_path, "cut off or damaged")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_whole_tars_by_python(tmp_path, suffix, form):
    files = {**THREE, "long/" * 40 + "name.txt": b"long", "größe.txt": b"unicode"}
    if form == tarfile.USTAR_FORMAT:
        files.pop("größe.txt")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as handle:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            handle.addfile(info, io.BytesIO(content))
    archive = tmp_path / f"x.{suffix}"
    archive.write_bytes(SUFFIXES[suffix](buffer.getvalue()))
    assert content_of(extract_archive(archive, tmp_path / "out")) == files


@pytest.mark.skipif(shutil.which("tar") is None, reason="no tar here")
@pytest.mark.parametrize("form", ["gnu", "ustar", "pax", "v7"])
@pytest.mark.parametrize("blocks", ["1", "20"])
def test_whole_tars_by_the_command(tmp_path, form, blocks):
    for name, content in FILES.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(content)
    options = [f"--format={form}", f"--blocking-factor={blocks}", "-C", str(tmp_path / "in")]
    done = subprocess.run(["tar", "-cf", str(tmp_path / "x.tar"), *options, "."], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"another tar than GNU's: {done.stderr!r}")
    assert content_of(extract_archive(tmp_path / "x.tar", tmp_path / "out")) == FILES


@pytest.mark.parametrize("padding", [512, 1024, 5000, 100_000])
def test_zeros_at_the_end_of_a_tar(tmp_path, padding):
    data, end = tar_blocks(tmp_path)
    (tmp_path / "x.tar").write_bytes(data[:end] + bytes(padding))
    assert content_of(extract_archive(tmp_path / "x.tar", tmp_path / "out")) == THREE


def test_flipped_bit(tmp_path):
    archive = make_zip(tmp_path / "x.zip", FILES, zipfile.ZIP_STORED)
    data = bytearray(archive.read_bytes())
    data[bytes(data).index(bytes(range(256))) + 77] ^= 4
    archive.write_bytes(bytes(data))
    refuse(archive, tmp_path, "corrupt")


def test_same_name_twice_and_file_in_place_of_a_folder(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as handle:
        for name in ("a", "a"):
            handle.addfile(tarfile.TarInfo(name))
    refuse(tmp_path / "x.tar", tmp_path, "unpacked")
    refuse(make_tar(tmp_path / "y.tar", {"a": b"", "a/b": b""}, "w"), tmp_path, "unpacked")


def test_no_archive(tmp_path):
    (tmp_path / "x.zip").write_text("<html>not found</html>")
    refuse(tmp_path / "x.zip", tmp_path, "neither a zip nor a tar")
    with pytest.raises(DataError, match="no such file"):
        extract_archive(tmp_path / "missing.zip", tmp_path / "out")


def test_left_over_of_a_killed_run_is_replaced(tmp_path):
    archive = make_zip(tmp_path / "x.zip", FILES)
    work = tmp_path / ".out.unpacking"
    work.mkdir()
    (work / "stale").write_text("stale")
    out = extract_archive(archive, tmp_path / "out")
    assert not (out / "stale").exists()
    assert not work.exists()
