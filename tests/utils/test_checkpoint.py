"""Checkpoints: same files as paddle.save, nothing executed when read."""

from __future__ import annotations

import collections
import functools
import http.server
import os
import pickle
import shutil
import threading
from typing import ClassVar

import numpy as np
import paddle
import pytest

from medicalseg.errors import CheckpointError, RunError
from medicalseg.utils import checkpoint


class Network(paddle.nn.Layer):
    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.conv = paddle.nn.Conv3D(1, 2, 3)
        self.norm = paddle.nn.BatchNorm3D(2)
        self.head = paddle.nn.Conv3D(2, classes, 1)

    def forward(self, x):
        return self.head(self.norm(self.conv(x)))


def weights(model: paddle.nn.Layer) -> dict[str, np.ndarray]:
    return {key: value.numpy() for key, value in model.state_dict().items()}


def assert_same(left: dict, right: dict) -> None:
    assert list(left) == list(right)
    for key in left:
        np.testing.assert_array_equal(left[key], right[key])


def trained(model: paddle.nn.Layer, steps: int = 2):
    schedule = paddle.optimizer.lr.PolynomialDecay(0.1, 10)
    optimizer = paddle.optimizer.Adam(schedule, parameters=model.parameters())
    for _ in range(steps):
        model(paddle.randn([2, 1, 4, 4, 4])).square().mean().backward()
        optimizer.step()
        schedule.step()
        optimizer.clear_grad()
    return optimizer


def test_paddle_reads_what_we_write(tmp_path):
    model = Network()
    checkpoint.save_state(tmp_path / "model.pdparams", model.state_dict())
    other = Network()
    assert other.set_state_dict(paddle.load(str(tmp_path / "model.pdparams"))) == ([], [])
    assert_same(weights(model), weights(other))


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_we_read_what_paddle_writes(tmp_path, protocol):
    model = Network()
    paddle.save(model.state_dict(), str(tmp_path / "m.pdparams"), protocol=protocol)
    assert_same(weights(model), checkpoint.load_state(tmp_path / "m.pdparams"))
    names = checkpoint.load_state(tmp_path / "m.pdparams", keep_names=True)[checkpoint.NAME_TABLE]
    assert names["conv.weight"] == model.conv.weight.name
    content = {"x": paddle.ones([2]), "list": [1, 2.5, "s", None, True], "nested": {"a": np.arange(3)}, "n": 3}
    paddle.save(content, str(tmp_path / "d.pd"), protocol=protocol)
    read = checkpoint.load_state(tmp_path / "d.pd")
    np.testing.assert_array_equal(read["x"], [1, 1])
    np.testing.assert_array_equal(read["nested"]["a"], [0, 1, 2])
    assert read["list"] == [1, 2.5, "s", None, True]
    assert read["n"] == 3


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_both_numpy_generations(tmp_path, module):
    data = pickle.dumps({"a": np.arange(3.0), "b": np.float32(2)}, protocol=2)
    for old in (b"numpy.core.multiarray", b"numpy._core.multiarray"):
        data = data.replace(old, b"@@")
    (tmp_path / "a.pd").write_bytes(data.replace(b"@@", module.encode()))
    read = checkpoint.load_state(tmp_path / "a.pd")
    np.testing.assert_array_equal(read["a"], [0, 1, 2])
    assert read["b"] == 2


@pytest.mark.parametrize("protocol", range(6))
def test_array_kinds(tmp_path, protocol):
    content = collections.OrderedDict(
        f=np.asfortranarray(np.arange(6, dtype="f4").reshape(2, 3)),
        big=np.arange(4, dtype=">i2"),
        empty=np.zeros((0, 3)),
        zero=np.array(7),
        half=np.ones(2, np.float16),
        flag=np.array([True, False]),
        c=np.array([1 + 2j]),
    )
    (tmp_path / "a.pd").write_bytes(pickle.dumps(content, protocol=protocol))
    read = checkpoint.load_state(tmp_path / "a.pd")
    for key, value in content.items():
        assert read[key].dtype.newbyteorder("=") == value.dtype.newbyteorder("=")
        np.testing.assert_array_equal(read[key], value)


def test_big_arrays_cut_by_paddle(tmp_path, monkeypatch):
    from paddle.framework import io

    content = {"w": np.arange(12.0).reshape(3, 4)}
    content[checkpoint.BIG_ARRAYS] = {"w": {"OriginShape": (3, 4), "slices": ["w@@.0", "w@@.1"]}}
    content["w@@.0"], content["w@@.1"] = content["w"].ravel()[:5], content.pop("w").ravel()[5:]
    assert hasattr(io, "_pack_loaded_dict")
    (tmp_path / "a.pd").write_bytes(pickle.dumps(content, protocol=2))
    np.testing.assert_array_equal(checkpoint.load_state(tmp_path / "a.pd")["w"], np.arange(12.0).reshape(3, 4))


class _Call:
    def __init__(self, function, *arguments):
        self.parts = (function, arguments)

    def __reduce__(self):
        return self.parts


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (_Call(os.system, "true"), "system"),
        (_Call(eval, "1"), "eval"),
        (_Call(getattr, "a", "b"), "getattr"),
        (_Call(shutil.rmtree, "nowhere"), "rmtree"),
        (np.array([_Call(os.system, "true")], dtype=object), "'O8'"),
        (np.array([1, "a"], dtype=object), "'O8'"),
        (np.dtype([("a", "O")]), "V8"),
        (Network, "Network"),
        (_Call(np.load, "x.npy"), "load"),
        (_Call(np.ndarray, (1 << 40,)), r"bad\.pdparams is refused: it makes an array another way"),
    ],
)
def test_code_is_refused(tmp_path, value, named):
    (tmp_path / "bad.pdparams").write_bytes(pickle.dumps({"w": value}))
    with pytest.raises(CheckpointError, match=named):
        checkpoint.load_state(tmp_path / "bad.pdparams")


DEFAULTS = b"N}(X\x0c\x00\x00\x00__defaults__I1\nI2\n\x86u\x86"
ATTRIBUTE = b"}(X\x01\x00\x00\x00aI1\nu"


@pytest.mark.parametrize("state", [DEFAULTS, ATTRIBUTE])
@pytest.mark.parametrize(
    "name", ["numpy\ndtype", "numpy\nndarray", "numpy.core.multiarray\n_reconstruct", "collections\nOrderedDict"]
)
def test_a_file_cannot_change_the_reader(tmp_path, name, state):
    (tmp_path / "bad.pdparams").write_bytes(b"\x80\x02c" + f"{name}\n".encode() + state + b"b0}.")
    with pytest.raises(CheckpointError, match=r"bad\.pdparams"):
        checkpoint.load_state(tmp_path / "bad.pdparams")


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"\x80\x04", pickle.dumps([1, 2]), pickle.dumps({"a": np.ones(99)})[:-40]]
)
def test_damaged_files(tmp_path, data):
    (tmp_path / "bad.pdparams").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"bad\.pdparams"):
        checkpoint.load_state(tmp_path / "bad.pdparams")


@pytest.mark.parametrize(
    "table",
    [
        {"w": {}},
        {"w": {"slices": ["w@@.0"]}},
        {"w": {"slices": ["absent"], "OriginShape": (2,)}},
        {"w": {"slices": ["w@@.0"], "OriginShape": (3,)}},
        {"w": {"slices": 3, "OriginShape": (2,)}},
        {"w": {"slices": ["n"], "OriginShape": (2,)}},
        {"w": {"slices": [["w@@.0"]], "OriginShape": (2,)}},
        {"w": {"slices": ["w@@.0"], "OriginShape": "ab"}},
        {"w": None},
        ["w"],
        7,
    ],
)
def test_damaged_tables_of_big_arrays(tmp_path, table):
    content = {"w@@.0": np.arange(2.0), "n": 1, checkpoint.BIG_ARRAYS: table}
    (tmp_path / "bad.pdparams").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(CheckpointError, match=r"bad\.pdparams is not a Paddle checkpoint, or it is damaged"):
        checkpoint.load_state(tmp_path / "bad.pdparams")


def test_missing_and_folder(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.pdparams"):
        checkpoint.load_state(tmp_path / "none.pdparams")
    with pytest.raises(CheckpointError, match="is a folder"):
        checkpoint.load_state(tmp_path)
    with pytest.raises(CheckpointError, match="no weights at"):
        checkpoint.load_model_weights(Network(), tmp_path)


def test_unsupported_value_is_not_written(tmp_path):
    with pytest.raises(CheckpointError, match=r"a\.b"):
        checkpoint.save_state(tmp_path / "x.pd", {"a": {"b": object()}})
    assert not list(tmp_path.iterdir())


def test_full_disk(tmp_path):
    checkpoint.save_state(tmp_path / "x.pd", {"a": 1})
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")

    def full(*args, **kwargs):
        return open("/dev/full", "wb")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "open", full, raising=False)
        with pytest.raises(RunError, match="No space left"):
            checkpoint.save_state(tmp_path / "x.pd", {"a": np.ones(10000)})
    assert checkpoint.load_state(tmp_path / "x.pd") == {"a": 1}


def test_strict_weights_list_keys_and_shapes(tmp_path):
    checkpoint.save_state(tmp_path / "model.pdparams", Network(3).state_dict())
    checkpoint.load_model_weights(Network(3), tmp_path)
    with pytest.raises(CheckpointError, match=r"head\.weight is \[3, 2, 1, 1, 1\] in the file, \[5, 2, 1, 1, 1\]"):
        checkpoint.load_model_weights(Network(5), tmp_path / "model.pdparams")


def test_pretrained_loads_what_fits(tmp_path, caplog):
    source = Network(3)
    checkpoint.save_state(tmp_path / "m.pdparams", source.state_dict())
    target = Network(5)
    head = target.head.weight.numpy()
    with caplog.at_level("INFO", "medicalseg"):
        checkpoint.load_pretrained(target, tmp_path / "m.pdparams")
    assert "There are 6/8 variables loaded into Network." in caplog.text
    assert "head.bias" in caplog.text
    np.testing.assert_array_equal(target.conv.weight.numpy(), source.conv.weight.numpy())
    np.testing.assert_array_equal(target.head.weight.numpy(), head)


def test_pretrained_without_a_match(tmp_path):
    checkpoint.save_state(tmp_path / "m.pdparams", {"other": np.ones(3)})
    with pytest.raises(CheckpointError, match="nothing in"):
        checkpoint.load_pretrained(Network(), tmp_path / "m.pdparams")


def test_bfloat16_weights_into_float32(tmp_path):
    model = Network()
    state = {key: value.astype("bfloat16") for key, value in model.state_dict().items()}
    checkpoint.save_state(tmp_path / "m.pdparams", state)
    checkpoint.load_model_weights(model, tmp_path / "m.pdparams")
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), state[key].astype("float32").numpy())


def test_optimizer_state_survives_another_layer_order(tmp_path):
    model = Network()
    optimizer = trained(model)
    checkpoint.save_state(tmp_path / "model.pdparams", model.state_dict())
    checkpoint.save_state(tmp_path / "model.pdopt", optimizer.state_dict())
    paddle.nn.Conv3D(1, 1, 1)
    other = Network()
    names = {key: value.name for key, value in other.state_dict().items()}
    assert names["conv.weight"] != model.conv.weight.name
    saved = checkpoint.load_state(tmp_path / "model.pdparams", keep_names=True)[checkpoint.NAME_TABLE]
    renamed = checkpoint.rename_optimizer_state(checkpoint.load_state(tmp_path / "model.pdopt"), saved, names)
    moment = model.conv.weight.name + "_moment1_0"
    np.testing.assert_array_equal(renamed[names["conv.weight"] + "_moment1_0"], optimizer.state_dict()[moment].numpy())
    assert renamed["LR_Scheduler"]["last_epoch"] == 2
    paddle_reads = paddle.load(str(tmp_path / "model.pdopt"))
    assert moment in paddle_reads


def test_optimizer_state_of_another_network():
    with pytest.raises(CheckpointError, match="conv_9"):
        checkpoint.rename_optimizer_state({"conv_9_moment": np.ones(1)}, {"a": "conv_1"}, {"a": "conv_7"})


def test_pretrained_from_an_address_is_fetched_once(tmp_path, monkeypatch, caplog):
    class Handler(http.server.SimpleHTTPRequestHandler):
        requests: ClassVar[list[str]] = []

        def do_GET(self):
            self.requests.append(self.path)
            super().do_GET()

        def log_message(self, *args):
            pass

    monkeypatch.setenv("SEG_HOME", str(tmp_path / "home"))
    checkpoint.save_state(tmp_path / "site/vnet/model.pdparams", Network().state_dict())
    handler = functools.partial(Handler, directory=str(tmp_path / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/vnet/model.pdparams"
        with caplog.at_level("INFO", "medicalseg"):
            checkpoint.load_pretrained(Network(), url)
            checkpoint.load_pretrained(Network(), url)
        server.shutdown()
    assert len(Handler.requests) == 1
    assert caplog.text.count("There are 8/8 variables loaded into Network.") == 2
    assert len(list((tmp_path / "home/pretrained_model").rglob("model.pdparams"))) == 1
