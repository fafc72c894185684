"""A local server that has published weights, and two entries of the table that name them."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from medicalseg.utils import download, weights, weights_table
from medicalseg.utils.weights_table import PublishedWeights

HOST, PATH = "weights.example.org", "/zoo/tiny/model.pdparams"
TINY = PublishedWeights("tiny_unet", "UNet3D", "nothing", f"https://{HOST}{PATH}", "configs/tiny.yml", "12.3")
PACKED = PublishedWeights("packed_unet", "UNet3D", "nothing", f"https://{HOST}/zoo/packed.tar.gz")


class Site:
    """Files by path, how many bytes each answer is cut off after, and what was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut: int | None = None
        self.length = True
        self.requests: list[tuple[str, str | None]] = []
        self.url = ""


class Handler(http.server.BaseHTTPRequestHandler):
    site: Site

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.site.requests.append((self.path, wanted))
        content = self.site.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("ETag", f'"{hashlib.md5(content).hexdigest()}"')
        if self.site.length:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:][: self.site.cut])
        self.close_connection = True


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    state = Site()
    service = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"site": state}))
    threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    state.url = f"http://127.0.0.1:{service.server_port}"
    monkeypatch.setenv("SEG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv(weights.MIRROR, state.url)
    monkeypatch.setattr(weights_table, "PUBLISHED", (*weights_table.PUBLISHED, TINY, PACKED))
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    yield state
    service.shutdown()
    service.server_close()
