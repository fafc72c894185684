"""Downloads from a server on the loopback interface that misbehaves on request."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections import namedtuple
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from medicalseg.errors import DataError, RunError, UserError
from medicalseg.utils import download as module
from medicalseg.utils.download import download, file_name

CONTENT = bytes(range(256)) * 3000
SHA = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server:
    """What to answer, and what was asked."""

    def __init__(self) -> None:
        self.content, self.tag = CONTENT, '"one"'
        self.cut_after: list[int] = []
        self.codes: list[int] = []
        self.location = ""
        self.modified = ""
        self.changes: list[dict[str, object]] = []
        self.ranges, self.if_range, self.length, self.stall = True, True, True, 0.0
        self.requests: list[dict[str, str]] = []
        self.url = ""


class Handler(BaseHTTPRequestHandler):
    state: Server

    def log_message(self, *args):
        pass

    def do_GET(self):
        state = self.state
        state.requests.append(dict(self.headers))
        if state.codes:
            self.send_response(state.codes.pop(0))
            if state.location:
                self.send_header("Location", state.location)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body, start = state.content, 0
        wanted = self.headers.get("Range")
        fits = not state.if_range or self.headers.get("If-Range") in (None, state.tag or state.modified)
        if wanted and state.ranges and fits:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if state.tag:
            self.send_header("ETag", state.tag)
        if state.modified:
            self.send_header("Last-Modified", state.modified)
        if state.length:
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        part = body[start:]
        if state.cut_after:
            part = part[: state.cut_after.pop(0)]
        self.wfile.write(part)
        self.wfile.flush()
        if state.changes:
            vars(state).update(state.changes.pop(0))
        if state.stall:
            threading.Event().wait(state.stall)
        self.close_connection = True


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    state = Server()
    service = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"state": state}))
    service.daemon_threads = True
    thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{service.server_port}/folder/data.bin?key=secret"
    yield state
    service.shutdown()
    service.server_close()


def fetch(server, tmp_path, **options):
    return download(server.url, tmp_path / "data.bin", **{"wait": 0.01, "timeout": 5, **options})


@pytest.mark.parametrize("checksum", [None, f"sha256:{SHA}", SHA.upper(), f"md5:{MD5}", MD5])
def test_whole_file(server, tmp_path, checksum):
    path = fetch(server, tmp_path, checksum=checksum)
    assert path.read_bytes() == CONTENT
    assert [p.name for p in tmp_path.iterdir()] == ["data.bin"]


def test_there_already(server, tmp_path):
    fetch(server, tmp_path)
    fetch(server, tmp_path, checksum=SHA)
    assert len(server.requests) == 1


def test_existing_file_with_another_checksum_is_fetched_again(server, tmp_path):
    (tmp_path / "data.bin").write_bytes(b"old")
    assert fetch(server, tmp_path, checksum=SHA).read_bytes() == CONTENT


def test_cut_connection_is_resumed_within_one_call(server, tmp_path):
    server.cut_after = [100_000, 50_000]
    assert fetch(server, tmp_path, checksum=SHA).read_bytes() == CONTENT
    assert [request.get("Range") for request in server.requests] == [None, "bytes=100000-", "bytes=150000-"]
    assert server.requests[1]["If-Range"] == server.tag


def test_next_call_goes_on_where_the_last_one_gave_up(server, tmp_path):
    server.cut_after = [100_000]
    with pytest.raises(RunError, match=r"100000 bytes are kept, run the same command again"):
        fetch(server, tmp_path, retries=0)
    assert not (tmp_path / "data.bin").exists()
    assert (tmp_path / "data.bin.part").stat().st_size == 100_000
    assert fetch(server, tmp_path, checksum=SHA).read_bytes() == CONTENT
    assert server.requests[-1]["Range"] == "bytes=100000-"


def test_file_changed_on_the_server_in_between(server, tmp_path):
    server.cut_after = [100_000]
    with pytest.raises(RunError):
        fetch(server, tmp_path, retries=0)
    server.content, server.tag = CONTENT[::-1], '"two"'
    assert fetch(server, tmp_path).read_bytes() == CONTENT[::-1]


TWO, LONGER = CONTENT[::-1], CONTENT[::-1] + b"more"
OLD, NEW = "Mon, 01 Jan 2024 00:00:00 GMT", "Tue, 02 Jan 2024 00:00:00 GMT"


@pytest.mark.parametrize(
    ("before", "change"),
    [
        ({}, {"content": TWO, "tag": '"two"'}),
        ({}, {"content": LONGER, "tag": '"two"'}),
        ({}, {"content": LONGER}),
        ({}, {"content": TWO, "tag": ""}),
        ({}, {"content": TWO, "tag": 'W/"one"'}),
        ({}, {"content": TWO, "tag": "", "modified": NEW}),
        ({"tag": "", "modified": OLD}, {"content": TWO, "modified": NEW}),
        ({"tag": "", "modified": OLD}, {"content": TWO, "modified": ""}),
        ({"tag": "", "modified": OLD}, {"content": LONGER}),
    ],
    ids=["tag", "tag and size", "size", "no tag", "weak tag", "date for tag", "date", "no date", "size, date"],
)
@pytest.mark.parametrize("same_call", [True, False])
def test_two_files_are_never_joined_whatever_the_server_ignores(server, tmp_path, before, change, same_call):
    vars(server).update(before)
    server.if_range, server.cut_after, server.changes = False, [100_000], [change]
    if not same_call:
        with pytest.raises(RunError):
            fetch(server, tmp_path, retries=0)
    assert fetch(server, tmp_path).read_bytes() == change["content"]
    assert [request.get("Range") for request in server.requests] == [None, "bytes=100000-", None]
    assert [path.name for path in tmp_path.iterdir()] == ["data.bin"]


def test_resumed_by_the_date_of_the_file(server, tmp_path):
    server.tag, server.modified, server.cut_after = "", OLD, [100_000]
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert [request.get("If-Range") for request in server.requests] == [None, OLD]


def test_file_that_changes_again_and_again(server, tmp_path):
    server.if_range, server.cut_after = False, [100_000, 100_000, 100_000]
    server.changes = [{"content": TWO, "tag": '"two"'}, {}, {"content": CONTENT, "tag": '"three"'}]
    assert fetch(server, tmp_path, retries=8).read_bytes() == CONTENT


def test_file_became_shorter_on_the_server(server, tmp_path):
    server.cut_after = [100_000]
    with pytest.raises(RunError):
        fetch(server, tmp_path, retries=0)
    server.content = b"short"
    assert fetch(server, tmp_path).read_bytes() == b"short"


def test_server_without_ranges_starts_over(server, tmp_path):
    server.cut_after, server.ranges = [100_000], False
    assert fetch(server, tmp_path, checksum=SHA).read_bytes() == CONTENT


def test_server_without_validator_starts_over(server, tmp_path):
    server.cut_after, server.tag = [100_000], ""
    assert fetch(server, tmp_path, checksum=SHA).read_bytes() == CONTENT
    assert "Range" not in server.requests[-1]


def test_truncated_body_is_never_taken_for_whole(server, tmp_path):
    server.cut_after = [10] * 10
    with pytest.raises(RunError, match="bytes"):
        fetch(server, tmp_path, retries=2)
    assert not (tmp_path / "data.bin").exists()
    assert len(server.requests) == 3


def test_unknown_size(server, tmp_path):
    server.length = False
    assert fetch(server, tmp_path, checksum=SHA).read_bytes() == CONTENT


def test_wrong_checksum(server, tmp_path):
    with pytest.raises(DataError, match=r"sha256 is .*, expected 0000.*removed") as caught:
        fetch(server, tmp_path, checksum="sha256:" + "0" * 64)
    assert "secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [403, 404, 410])
def test_refusal_is_final(server, tmp_path, code):
    server.codes = [code]
    with pytest.raises(DataError, match=str(code)):
        fetch(server, tmp_path)
    assert len(server.requests) == 1


def test_busy_server_is_asked_again(server, tmp_path):
    server.codes = [503, 429]
    assert fetch(server, tmp_path, checksum=SHA).read_bytes() == CONTENT


def test_silent_server_times_out(server, tmp_path):
    server.cut_after, server.stall = [10, 10], 3.0
    with pytest.raises(RunError, match="timed out"):
        fetch(server, tmp_path, timeout=0.2, retries=0)


def test_nobody_listens(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(RunError, match="refused"):
        download(f"http://127.0.0.1:{port}/x.zip", tmp_path / "x.zip", retries=1, wait=0.01)


def test_redirect_is_followed(server, tmp_path):
    server.codes, server.location = [302], server.url
    assert fetch(server, tmp_path, checksum=SHA).read_bytes() == CONTENT


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:text/plain,x"])
def test_redirect_to_another_protocol_is_refused(server, tmp_path, location):
    server.codes, server.location = [302], location
    with pytest.raises((UserError, DataError)):
        fetch(server, tmp_path)
    assert not (tmp_path / "data.bin").exists()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x", "/tmp/x", "data:,x", "http://"])
def test_only_http(tmp_path, url):
    with pytest.raises(UserError, match="http"):
        download(url, tmp_path / "x")


@pytest.mark.parametrize("checksum", ["abc", "sha256:" + "0" * 32, "crc:00", "sha256:" + "g" * 64, ""])
def test_malformed_checksum(tmp_path, checksum):
    with pytest.raises(UserError, match="checksum"):
        download("http://127.0.0.1/x", tmp_path / "x", checksum=checksum)


def test_too_little_space_is_told_before(server, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage(1, 1, 1000))
    with pytest.raises(RunError, match="GB are needed"):
        fetch(server, tmp_path)


def test_too_little_space_for_a_file_that_changed(server, tmp_path, monkeypatch):
    server.cut_after = [100_000]
    with pytest.raises(RunError, match="100000 bytes are kept"):
        fetch(server, tmp_path, retries=0)
    server.content, server.tag = TWO, '"two"'
    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as patch:
        patch.setattr(module.shutil, "disk_usage", lambda path: usage(1, 1, 1000))
        with pytest.raises(RunError, match="GB are needed"):
            fetch(server, tmp_path)
    assert fetch(server, tmp_path).read_bytes() == TWO


def test_full_disk_on_the_way(server, tmp_path, monkeypatch):
    class Full:
        def write(self, chunk):
            raise OSError(28, "No space left on device")

    with pytest.raises(RunError, match="disk is full"):
        module._write(Full(), b"x", tmp_path / "x")


def test_file_name():
    assert file_name("https://host/a/Task04%20x.tar?key=1") == "Task04 x.tar"
    for url in ("https://host/", "https://host", "https://host/a/.hidden", "https://host/a%5Cb"):
        with pytest.raises(UserError):
            file_name(url)
