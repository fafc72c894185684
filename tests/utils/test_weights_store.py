"""Downloaded weights are recorded once they load, and what was unpacked of them is compared as well."""

from __future__ import annotations

import hashlib
import json
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from medicalseg.cli.main import main
from medicalseg.errors import CheckpointError, DataError
from medicalseg.utils import checkpoint, weights, weights_archive, weights_record, weights_store
from tests.utils.conftest import HOST, PACKED, PATH, TINY, Site

FILE, ARCHIVE = f"/{HOST}{PATH}", f"/{HOST}/zoo/packed.tar.gz"
ELSEWHERE = "http://elsewhere.example.org/a/model.pdparams"


def state(number: float = 1.0) -> bytes:
    return pickle.dumps({"w": np.full((5, 4), number, np.float32)}, protocol=4)


def packed(folder: Path, **members: bytes) -> bytes:
    with tarfile.open(folder / "made.tar.gz", "w:gz") as archive:
        for name, content in members.items():
            (folder / name).write_bytes(content)
            archive.add(folder / name, f"encoder/{name}.pdparams")
    return (folder / "made.tar.gz").read_bytes()


def number_in(path: Path) -> float:
    return float(checkpoint.load_state(path)["w"][0, 0])


def left(folder: Path) -> list[str]:
    return sorted({path.suffix for path in (folder / "home").rglob("*") if path.is_file()})


@pytest.fixture
def files(site: Site, tmp_path: Path) -> dict[str, bytes]:
    site.files.update({FILE: state(), ARCHIVE: packed(tmp_path, model=state())})
    return site.files


@pytest.mark.parametrize("name", ["tiny_unet", "packed_unet"])
@pytest.mark.parametrize("keep", [20, 100])
def test_a_piece_of_unknown_length_is_deleted_and_told(site, files, tmp_path, capsys, name, keep):
    site.length, site.cut = False, keep
    assert main(["weights", "get", name]) == 2
    shown = capsys.readouterr()
    assert "was deleted" in shown.err or "what came is no weights" in shown.err
    assert shown.out == ""
    assert left(tmp_path) == [".lock"]
    site.cut = None
    assert main(["weights", "get", name]) == 0
    assert number_in(Path(capsys.readouterr().out.strip())) == 1


def test_the_whole_file_of_unknown_length_is_kept(site, files):
    site.length = False
    assert number_in(weights.fetch(TINY)) == 1
    assert weights_record.record_of(weights_store.place_of(TINY.url)).size == len(state())


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"model": state()[:-9]}, "damaged"),
        ({"model": b"\x80no pickle"}, "damaged"),
        ({"a": state(), "b": state()}, "should hold one .pdparams, it has encoder/a.pdparams, encoder/b.pdparams"),
        ({}, "should hold one .pdparams, it has none"),
    ],
)
def test_an_archive_without_weights_is_not_recorded(site, tmp_path, members, told):
    site.files[ARCHIVE] = packed(tmp_path, **members)
    with pytest.raises(CheckpointError, match=rf"packed\.tar\.gz: .*{told}.*came from http.*was deleted"):
        weights.fetch(PACKED)
    assert left(tmp_path) == [".lock"]
    site.files[ARCHIVE] = packed(tmp_path, model=state(2))
    assert number_in(weights.fetch(PACKED)) == 2


def test_a_refresh_that_brings_no_weights_leaves_what_is_here(site, files, tmp_path):
    path = weights.fetch(TINY)
    files[FILE] = state(2)[:-9]
    with pytest.raises(CheckpointError, match="was deleted"):
        weights.fetch(TINY, refresh=True)
    assert number_in(weights.fetch(TINY)) == 1
    assert sorted(entry.name for entry in path.parent.iterdir() if entry.suffix != ".lock") == [
        "model.pdparams",
        "model.pdparams.sha256.json",
    ]


@pytest.mark.parametrize("change", [state(2), state()[:-9], b""], ids=["other", "piece", "empty"])
def test_an_unpacked_file_that_changed_is_not_read(site, files, caplog, change):
    path = weights.fetch(PACKED)
    path.write_bytes(change)
    with caplog.at_level("WARNING", "medicalseg"):
        again = weights.fetch(PACKED)
    assert (again, number_in(again)) == (path, 1)
    assert f"{path} is not what was unpacked" in caplog.text
    caplog.clear()
    assert number_in(weights.fetch(PACKED)) == 1
    assert "is not what was" not in caplog.text


def test_an_unpacked_file_of_a_local_archive_is_compared(site, tmp_path):
    packed(tmp_path, model=state())
    folder = tmp_path / "home/unpacked"
    path = weights_archive.unpacked_into(tmp_path / "made.tar.gz", folder)
    path.write_bytes(state(2))
    assert number_in(weights_archive.unpacked_into(tmp_path / "made.tar.gz", folder)) == 1
    path.unlink()
    assert number_in(weights_archive.unpacked_into(tmp_path / "made.tar.gz", folder)) == 1
    record = json.loads(path.with_name("model.pdparams.sha256.json").read_text())
    assert (record["size"], record["sha256"]) == (len(state()), hashlib.sha256(state()).hexdigest())


def test_what_nobody_recorded_is_unpacked_again(site, files):
    path = weights.fetch(PACKED)
    path.with_name("model.pdparams.sha256.json").unlink()
    path.write_bytes(state(2))
    (path.parent / "more.pdparams").write_bytes(state(3))
    assert number_in(weights.fetch(PACKED)) == 1
    assert len(site.requests) == 1


def test_the_archive_is_not_opened_where_nothing_changed(site, files, monkeypatch):
    weights.fetch(PACKED)
    monkeypatch.setattr(weights_archive, "extract_archive", None)
    assert number_in(weights.fetch(PACKED)) == 1


def test_a_changed_file_names_what_accepts_another(site, files):
    path = weights.fetch(TINY)
    path.write_bytes(state(2))
    with pytest.raises(CheckpointError, match=r"delete the file to fetch it again.* get tiny_unet --refresh"):
        weights.fetch(TINY)
    path.unlink()
    files[FILE] = state(3)
    with pytest.raises(DataError, match=r"not the file that was fetched.* get tiny_unet --refresh"):
        weights.fetch(TINY)
    assert number_in(weights.fetch(TINY, refresh=True)) == 3


def test_a_changed_file_of_an_address_names_what_to_delete(site, files):
    path = weights_store.fetch(ELSEWHERE, source=f"{site.url}{FILE}")
    path.write_bytes(state(2))
    with pytest.raises(CheckpointError, match=r"delete /\S+/model\.pdparams and /\S+/model\.pdparams\.sha256\.json"):
        weights_store.fetch(ELSEWHERE)
    path.unlink()
    path.with_name("model.pdparams.sha256.json").unlink()
    files[FILE] = state(3)
    assert number_in(weights_store.fetch(ELSEWHERE, source=f"{site.url}{FILE}")) == 3


def test_a_record_of_what_does_not_load_is_mended_by_a_refresh(site, files, capsys):
    path = weights.fetch(TINY)
    path.write_bytes(state()[:20])
    record = path.with_name("model.pdparams.sha256.json")
    content = {**json.loads(record.read_text()), "size": 20, "sha256": hashlib.sha256(state()[:20]).hexdigest()}
    record.write_text(json.dumps(content))
    assert main(["weights", "get", "tiny_unet"]) == 2
    assert "`medicalseg weights get tiny_unet --refresh`" in capsys.readouterr().err
    assert main(["weights", "get", "tiny_unet", "--refresh"]) == 0
    assert number_in(path) == 1


def test_a_file_put_there_by_hand_that_does_not_load_stays_and_is_told(site):
    path = weights_store.place_of(TINY.url)
    path.parent.mkdir(parents=True)
    path.write_bytes(state()[:20])
    with pytest.raises(CheckpointError, match=r"damaged.* get tiny_unet --refresh"):
        weights.fetch(TINY)
    assert path.stat().st_size == 20
    assert weights_record.record_of(path) is None
    path.write_bytes(state())
    assert number_in(weights.fetch(TINY)) == 1
