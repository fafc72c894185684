"""Published weights: fetched from a local server once, resumed, checked at every use, loaded by name."""

from __future__ import annotations

import hashlib
import json
import pickle
import tarfile
import threading
from pathlib import Path

import numpy as np
import paddle
import pytest

from medicalseg.cli.main import main
from medicalseg.cvlibs import Config
from medicalseg.errors import CheckpointError, RunError
from medicalseg.models import UNet3D
from medicalseg.utils import checkpoint, download, weights, weights_record, weights_store, weights_table
from medicalseg.utils.file_lock import locked
from medicalseg.utils.fit import Fit
from medicalseg.utils.pretrained import load_pretrained
from tests.utils.conftest import HOST, PATH, TINY, Site


def network(classes: int = 2, channels: int = 1) -> UNet3D:
    return UNet3D(in_channels=channels, num_classes=classes, base_channels=2, depth=2)


def published(site: Site, model: paddle.nn.Layer, tmp_path: Path) -> bytes:
    checkpoint.save_state(tmp_path / "made.pdparams", model.state_dict())
    content = (tmp_path / "made.pdparams").read_bytes()
    site.files[f"/{HOST}{PATH}"] = content
    return content


def same(left: paddle.nn.Layer, right: paddle.nn.Layer) -> bool:
    return all(
        np.array_equal(value.numpy(), right.state_dict()[key].numpy()) for key, value in left.state_dict().items()
    )


def test_get_downloads_once_and_prints_where(site, tmp_path, capsys):
    content = published(site, network(), tmp_path)
    assert main(["weights", "get", "tiny_unet"]) == 0
    shown = capsys.readouterr()
    path = Path(shown.out.strip())
    assert path == tmp_path / "home/pretrained_model" / HOST / PATH[1:]
    assert path.read_bytes() == content
    assert f"sha256 {hashlib.sha256(content).hexdigest()}" in shown.err
    assert "network of configs/tiny.yml" in shown.err
    record = json.loads(path.with_name("model.pdparams.sha256.json").read_text())
    assert record["url"] == TINY.url
    assert (record["size"], record["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    site.files.clear()
    assert main(["weights", "get", "tiny_unet"]) == 0
    assert capsys.readouterr().out.strip() == str(path)
    assert len(site.requests) == 1
    assert main(["weights", "list"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("tiny_unet"))
    assert line.split() == ["tiny_unet", "UNet3D", "nothing", "12.3", f"{len(content) / 1e6:.1f}"]


def test_a_broken_download_is_resumed_by_the_next_call(site, tmp_path, capsys):
    content = published(site, network(), tmp_path)
    site.cut = len(content) // 10
    assert main(["weights", "get", "tiny_unet"]) == 1
    shown = capsys.readouterr().err
    assert "run the same command again to go on" in shown
    assert "Without network: fetch it elsewhere and put it at" in shown
    got = 5 * site.cut
    assert not weights_store.place_of(TINY.url).exists()
    site.cut = None
    assert main(["weights", "get", "tiny_unet"]) == 0
    assert site.requests[-1] == (f"/{HOST}{PATH}", f"bytes={got}-")
    assert weights_store.place_of(TINY.url).read_bytes() == content


@pytest.mark.parametrize("change", [lambda data: data[:-1] + b"x", lambda data: data[:-5]], ids=["content", "size"])
def test_a_file_that_changed_here_is_not_read(site, tmp_path, capsys, change):
    content = published(site, network(), tmp_path)
    main(["weights", "get", "tiny_unet"])
    path = weights_store.place_of(TINY.url)
    path.write_bytes(change(content))
    capsys.readouterr()
    with pytest.raises(CheckpointError, match="were recorded when it was fetched on"):
        load_pretrained(network(), "tiny_unet")
    assert main(["weights", "get", "tiny_unet"]) == 2
    assert "delete the file to fetch it again" in capsys.readouterr().err
    path.unlink()
    assert main(["weights", "get", "tiny_unet"]) == 0
    assert path.read_bytes() == content


def test_a_file_that_changed_at_its_publisher_needs_consent(site, tmp_path, capsys):
    first = published(site, network(), tmp_path)
    main(["weights", "get", "tiny_unet"])
    path = weights_store.place_of(TINY.url)
    path.unlink()
    second = published(site, network(), tmp_path)
    assert main(["weights", "get", "tiny_unet"]) == 2
    shown = capsys.readouterr().err
    assert f"expected {hashlib.sha256(first).hexdigest()}" in shown
    assert "--refresh" in shown
    assert not path.exists()
    assert main(["weights", "get", "tiny_unet", "--refresh"]) == 0
    assert path.read_bytes() == second
    assert main(["weights", "get", "tiny_unet"]) == 0


def test_a_failed_refresh_leaves_the_file(site, tmp_path):
    content = published(site, network(), tmp_path)
    main(["weights", "get", "tiny_unet"])
    site.files.clear()
    assert main(["weights", "get", "tiny_unet", "--refresh"]) == 2
    assert weights_store.place_of(TINY.url).read_bytes() == content
    assert main(["weights", "get", "tiny_unet"]) == 0


def test_a_file_put_there_by_hand_is_recorded(site, tmp_path):
    content = published(site, network(), tmp_path)
    path = weights_store.place_of(TINY.url)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert weights.fetch(TINY) == path
    assert weights_record.record_of(path).sha256 == hashlib.sha256(content).hexdigest()
    assert site.requests == []


def test_a_damaged_record_is_told(site, tmp_path):
    published(site, network(), tmp_path)
    path = weights.fetch(TINY)
    path.with_name("model.pdparams.sha256.json").write_text('{"size": 3}')
    with pytest.raises(CheckpointError, match=r"sha256\.json: not a record of a download"):
        weights.fetch(TINY)


def test_pretrained_names_in_a_configuration(site, tmp_path, monkeypatch):
    source = network()
    published(site, source, tmp_path)
    text = "model: {{type: UNet3D, in_channels: 1, num_classes: 2, base_channels: 2, depth: 2, pretrained: {}}}"
    (tmp_path / "c.yml").write_text(text.format("tiny_unet"))
    assert same(source, Config(tmp_path / "c.yml").model)
    site.files.clear()
    assert same(source, Config(tmp_path / "c.yml").model)
    assert len(site.requests) == 1
    (tmp_path / "c.yml").write_text(text.format("tiny_unit"))
    with pytest.raises(CheckpointError, match=r"no weights at tiny_unit.*did you mean 'tiny_unet'"):
        Config(tmp_path / "c.yml").model  # noqa: B018 - built on access


def test_a_file_of_that_name_comes_first(site, tmp_path, monkeypatch):
    source = network()
    monkeypatch.chdir(tmp_path)
    checkpoint.save_state(tmp_path / "tiny_unet/model.pdparams", source.state_dict())
    target = network()
    load_pretrained(target, "tiny_unet")
    assert same(source, target)
    assert site.requests == []


def test_a_checksum_behind_the_name(site, tmp_path):
    content = published(site, network(), tmp_path)
    load_pretrained(network(), f"tiny_unet#sha256={hashlib.sha256(content).hexdigest()}")
    published(site, network(), tmp_path)
    with pytest.raises(download.ChecksumError, match=r"expected 0{64}"):
        load_pretrained(network(), f"tiny_unet#sha256={'0' * 64}")


def test_an_archive_is_unpacked_once(site, tmp_path, capsys):
    source = network()
    checkpoint.save_state(tmp_path / "model.pdparams", source.state_dict())
    with tarfile.open(tmp_path / "packed.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "model.pdparams", "encoder/model.pdparams")
    site.files[f"/{HOST}/zoo/packed.tar.gz"] = (tmp_path / "packed.tar.gz").read_bytes()
    assert main(["weights", "get", "tiny*", "packed_unet"]) == 2
    assert main(["weights", "get", "packed_*"]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path.name == "model.pdparams"
    target = network()
    load_pretrained(target, "packed_unet")
    assert same(source, target)
    assert [request for request in site.requests if "packed" in request[0]] == [(f"/{HOST}/zoo/packed.tar.gz", None)]


@pytest.mark.parametrize("name", ["tiny_unet", "packed_unet"])
def test_the_page_of_a_proxy_is_not_kept(site, tmp_path, capsys, name):
    url = weights.find(name).url
    site.files[url.removeprefix("https:/")] = b"<html>Please log in</html>"
    assert main(["weights", "get", name]) == 2
    assert "what came is no weights" in capsys.readouterr().err
    left = [path.suffix for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert left == [".lock"]


def test_code_in_a_download_is_refused(site, capsys):
    class Evil:
        def __reduce__(self):
            return print, ("read",)

    site.files[f"/{HOST}{PATH}"] = pickle.dumps({"a": Evil()})
    assert main(["weights", "get", "tiny_unet"]) == 2
    shown = capsys.readouterr()
    assert "is refused: it names builtins.print" in shown.err
    assert shown.out == ""


def test_processes_that_start_together_fetch_once(site, tmp_path):
    published(site, network(), tmp_path)
    threads = [threading.Thread(target=weights.fetch, args=(TINY,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(site.requests) == 1


def test_a_folder_that_cannot_be_locked_is_used_without(tmp_path):
    (tmp_path / "file").write_text("")
    with locked(tmp_path / "file/target"):
        pass


def test_the_mirror_is_for_published_hosts_only(site, monkeypatch):
    assert weights.mirrored(TINY.url) == f"{site.url}/{HOST}{PATH}"
    assert weights.mirrored(TINY.url, "http://other/w/") == f"http://other/w/{HOST}{PATH}"
    assert weights.mirrored("https://elsewhere.org/a.pdparams") == "https://elsewhere.org/a.pdparams"
    monkeypatch.delenv(weights.MIRROR)
    assert weights.mirrored(TINY.url) == TINY.url


def test_no_server_no_weights(site, monkeypatch):
    monkeypatch.setenv(weights.MIRROR, "http://127.0.0.1:9")
    with pytest.raises(RunError, match="Without network"):
        weights.fetch(TINY)


def test_unknown_names(site, capsys):
    assert main(["weights", "get", "vnet_lung"]) == 2
    shown = capsys.readouterr().err
    assert "did you mean 'vnet_lung_coronavirus_128_128_128_15k_1e-3' or 'vnet_lung_coronavirus" in shown
    assert main(["weights", "get", "tiny_unit"]) == 2
    assert "did you mean 'tiny_unet'?" in capsys.readouterr().err
    assert main(["weights"]) == 2
    with pytest.raises(CheckpointError, match="`medicalseg weights get tiny_unet` fetches these published weights"):
        checkpoint.weights_file("tiny_unet")


def test_what_does_not_fit_is_listed_with_what_to_set(tmp_path):
    checkpoint.save_state(tmp_path / "m.pdparams", network(classes=5, channels=3).state_dict())
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load_model_weights(network(), tmp_path / "m.pdparams")
    text = str(caught.value)
    assert "m.pdparams does not fit UNet3D: " in text
    assert "[5, " in text
    assert text.endswith("The file would fit with model.in_channels: 3 and model.num_classes: 5")


def test_other_networks_are_told_by_kind(tmp_path):
    state = {**network().state_dict(), "classifier.weight": paddle.zeros([2])}
    removed = next(iter(state))
    del state[removed]
    checkpoint.save_state(tmp_path / "m.pdparams", state)
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load_model_weights(network(), tmp_path / "m.pdparams")
    text = str(caught.value)
    assert f"1 is missing in the file: {removed} [" in text
    assert "1 is in the file only: classifier.weight" in text
    assert "would fit" not in text


def test_no_advice_where_numbers_do_not_explain_the_difference():
    own = {"conv": np.zeros((2, 1, 3)), "head": np.zeros((2, 1))}
    model = network()
    assert Fit.of(own, {"conv": np.zeros((2, 1, 5)), "head": np.zeros((2, 1))}).hint(model) == ""
    assert Fit.of(own, {"conv": np.zeros((4, 1, 3)), "head": np.zeros((5, 1))}).hint(model) == ""
    assert Fit.of(own, {"conv": np.zeros((2, 1)), "head": np.zeros((2, 1))}).hint(model) == ""
    assert "num_classes: 4" in Fit.of(own, {"conv": np.zeros((4, 1, 3)), "head": np.zeros((4, 1))}).hint(model)


def test_the_table(root):
    names = [entry.name for entry in weights_table.PUBLISHED]
    assert len(set(names)) == len(names)
    assert len({entry.url for entry in weights_table.PUBLISHED}) == len(names)
    for entry in weights_table.PUBLISHED:
        assert entry.url.startswith("https://")
        assert entry.url.endswith((".pdparams", ".tar.gz"))
        assert not entry.config or entry.config.startswith("configs/")


@pytest.mark.parametrize("entry", [entry for entry in weights_table.PUBLISHED if entry.config], ids=lambda e: e.name)
def test_every_network_has_its_configuration(root, entry):
    assert Config(root / entry.config, log_notes=False).dic["model"]["type"] == entry.network
