"""Starting from other weights: prefixes, channels, checksums, archives."""

from __future__ import annotations

import functools
import hashlib
import http.server
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import paddle
import pytest

from medicalseg.errors import CheckpointError, DataError, UserError
from medicalseg.utils import checkpoint
from medicalseg.utils.pretrained import (
    adapted,
    load_pretrained,
    pretrained_keys,
    split_checksum,
    with_channels_of,
)


class Encoder(paddle.nn.Layer):
    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.stem = paddle.nn.Conv2D(channels, 4, 3)
        self.deep = paddle.nn.Conv2D(4, 6, 1)


class Whole(paddle.nn.Layer):
    def __init__(self, channels: int = 3, classes: int = 2) -> None:
        super().__init__()
        self.backbone = Encoder(channels)
        self.head = paddle.nn.Conv2D(6, classes, 1)


def saved(model: paddle.nn.Layer, path: Path, **more: np.ndarray) -> Path:
    checkpoint.save_state(path, {**model.state_dict(), **more})
    return path


def digest(path: Path, kind: str = "sha256") -> str:
    return f"#{kind}={hashlib.new(kind, path.read_bytes()).hexdigest()}"


def same(left: paddle.nn.Layer, right: paddle.nn.Layer) -> None:
    for key, value in left.state_dict().items():
        np.testing.assert_array_equal(right.state_dict()[key].numpy(), value.numpy(), err_msg=key)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEG_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    (tmp_path / "site").mkdir()
    handler = functools.partial(Quiet, directory=str(tmp_path / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_classifier_of_a_pretrained_encoder_is_skipped_in_one_line(tmp_path, caplog):
    more = {f"classifier.{i}.weight": np.ones((2, 2), np.float32) for i in range(50)}
    source, target = Encoder(), Encoder()
    with caplog.at_level("INFO", "medicalseg"):
        load_pretrained(target, saved(source, tmp_path / "m.pdparams", **more))
    same(source, target)
    told = [record for record in caplog.records if "classifier.0" in record.message]
    assert [record.levelname for record in told] == ["INFO"]
    assert "and 42 more" in told[0].message
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_encoder_into_network_and_back(tmp_path, caplog):
    encoder, whole = Encoder(), Whole()
    with caplog.at_level("INFO", "medicalseg"):
        load_pretrained(whole, saved(encoder, tmp_path / "encoder.pdparams"))
    same(encoder, whole.backbone)
    assert "4/6 variables loaded into Whole" in caplog.text
    assert [r.message for r in caplog.records if r.levelname == "WARNING"] == [
        "not loaded, since they are missing in the file: head.weight; head.bias"
    ]
    other = Encoder()
    load_pretrained(other, saved(whole, tmp_path / "whole.pdparams"))
    same(encoder, other)


def test_other_number_of_classes_keeps_the_rest(tmp_path, caplog):
    source, target = Whole(classes=2), Whole(classes=5)
    with caplog.at_level("INFO", "medicalseg"):
        load_pretrained(target, saved(source, tmp_path / "m.pdparams"))
    same(source.backbone, target.backbone)
    assert "head.weight [2, 6, 1, 1] for [5, 6, 1, 1]" in caplog.text


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_a_grey_image_in_every_channel_gives_the_same_response(tmp_path, channels):
    source, target = Encoder(3), Encoder(channels)
    load_pretrained(target, saved(source, tmp_path / "m.pdparams"))
    if channels % 3 and channels != 1:
        weight = source.stem.weight.numpy()
        expected = np.concatenate([weight] * 3, axis=1)[:, :channels] * 3 / channels
        np.testing.assert_allclose(target.stem.weight.numpy(), expected, rtol=1e-6)
        return
    grey = np.random.default_rng(0).standard_normal((1, 1, 6, 6)).astype(np.float32)
    responses = [
        network.stem(paddle.to_tensor(np.repeat(grey, count, axis=1))).numpy()
        for network, count in ((source, 3), (target, channels))
    ]
    np.testing.assert_allclose(*responses, atol=1e-5)


def test_one_channel_spread_over_many_gives_the_same_response():
    weight = np.random.default_rng(0).standard_normal((2, 1, 3, 3)).astype(np.float32)
    np.testing.assert_allclose(adapted(weight, 5).sum(axis=1), weight.sum(axis=1), rtol=1e-5)


def test_only_the_first_convolution_is_adapted():
    own = Encoder(3).state_dict()
    state = {key: value.numpy() for key, value in own.items()}
    state["deep.weight"] = np.ones((6, 8, 1, 1), np.float32)
    assert with_channels_of(own, state)["deep.weight"].shape == (6, 8, 1, 1)
    state["stem.weight"] = np.ones((4, 1, 5, 5), np.float32)
    assert with_channels_of(own, state)["stem.weight"].shape == (4, 1, 5, 5)


def test_checksum_of_a_file(tmp_path):
    source, target = Encoder(), Encoder()
    path = saved(source, tmp_path / "m.pdparams")
    for kind in ("sha256", "md5"):
        load_pretrained(target, f"{path}{digest(path, kind)}")
    same(source, target)
    with pytest.raises(CheckpointError, match=r"m.pdparams: sha256 is \w+, expected 0000"):
        load_pretrained(target, f"{path}#sha256={'0' * 64}")
    assert split_checksum("a#b") == ("a#b", None)


def test_checksum_of_a_download(tmp_path, home, site):
    source, target = Encoder(), Encoder()
    path = saved(source, tmp_path / "site/m.pdparams")
    good = digest(path)
    load_pretrained(target, f"{site}/m.pdparams{good}")
    same(source, target)
    saved(Encoder(), path)
    load_pretrained(target, f"{site}/m.pdparams{good}")
    with pytest.raises(DataError, match=r"expected 0{64}; the file was removed"):
        load_pretrained(target, f"{site}/m.pdparams#sha256={'0' * 64}")
    with pytest.raises(UserError, match="expected sha256:HEX"):
        load_pretrained(target, f"{site}/m.pdparams#sha256=abc")
    with pytest.raises(DataError, match="404"):
        load_pretrained(target, f"{site}/absent.pdparams")


def test_addresses_that_differ_in_their_query(tmp_path, home, site):
    path = saved(Encoder(), tmp_path / "site/m.pdparams")
    load_pretrained(Encoder(), f"{site}/m.pdparams?file=first")
    other = Encoder()
    saved(other, path)
    target = Encoder()
    load_pretrained(target, f"{site}/m.pdparams?file=second")
    same(other, target)


def test_archives_as_paddleseg_publishes_them(tmp_path, home, site):
    source = Encoder()
    path = saved(source, tmp_path / "model.pdparams")
    for name, members in (("good", ["encoder/model.pdparams"]), ("two", ["a.pdparams", "b.pdparams"])):
        with tarfile.open(tmp_path / f"site/{name}.tar.gz", "w:gz") as archive:
            for member in members:
                archive.add(path, member)
    archive = tmp_path / "site/good.tar.gz"
    for where in (str(archive), f"{site}/good.tar.gz{digest(archive, 'md5')}", f"{site}/good.tar.gz"):
        target = Encoder()
        load_pretrained(target, where)
        same(source, target)
    with pytest.raises(CheckpointError, match=r"should hold one .pdparams, it has a.pdparams, b.pdparams"):
        load_pretrained(target, f"{site}/two.tar.gz")
    assert sorted(entry.name for entry in (tmp_path / "site").iterdir()) == ["good.tar.gz", "two.tar.gz"]


def test_keys_that_name_weights():
    block = {"type": "A", "pretrained": "a", "backbone": {"type": "B", "pretrained": "b"}, "backbone_pretrained": None}
    assert pretrained_keys(block, "model") == ["model.pretrained", "model.backbone.pretrained"]
