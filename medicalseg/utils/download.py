"""Fetch a file over HTTP so that a broken connection costs nothing, and unpack archives without trusting them."""

from __future__ import annotations

import errno
import http.client
import json
import os
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medicalseg import __version__
from medicalseg.errors import DataError, RunError, UserError
from medicalseg.utils.extract import extract_archive
from medicalseg.utils.files import file_hash, write_json
from medicalseg.utils.logger import logger
from medicalseg.utils.progress import Progress

__all__ = ["ChecksumError", "download", "extract_archive", "file_name", "shown_url"]

CHUNK = 1 << 18
_RETRIED_CODES = (408, 425, 429, 500, 502, 503, 504)
_HASH_LENGTHS = {32: "md5", 40: "sha1", 64: "sha256"}


class ChecksumError(DataError):
    """What was fetched has another checksum than was asked for."""


def download(
    url: str,
    target: str | os.PathLike[str],
    *,
    checksum: str | None = None,
    timeout: float = 30.0,
    retries: int = 4,
    wait: float = 1.0,
) -> Path:
    """Fetch `url` into `target`; what an earlier attempt got is kept in `target.part` and continued.

    Args:
        url: http or https.
        target: the file; if it exists (and fits `checksum`) nothing is fetched.
        checksum: "sha256:HEX", "md5:HEX" or the bare hexadecimal digits.
        timeout: seconds without an answer that count as a broken connection.
        retries: attempts after the first.
        wait: seconds before the first retry, doubled each time.

    Returns:
        `target`.

    Raises:
        UserError: the address or the checksum is malformed.
        DataError: the server refuses (404, …); ChecksumError: the checksum differs.
        RunError: the connection kept breaking (run again to go on), or the disk is full.
    """
    _check_url(url)
    kind, digest = _parse_checksum(checksum)
    target = Path(target)
    if target.is_file() and (kind is None or file_hash(target, kind) == digest):
        logger.info("%s is there already", target)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    transfer = _Transfer(url, target.with_name(target.name + ".part"), timeout)
    logger.info("downloading %s to %s", shown_url(url), target)
    _with_retries(transfer, retries, wait)
    if kind is not None:
        found = file_hash(transfer.part, kind)
        if found != digest:
            transfer.discard()
            raise ChecksumError(f"{shown_url(url)}: {kind} is {found}, expected {digest}; the file was removed")
    os.replace(transfer.part, target)
    transfer.discard()
    return target


def file_name(url: str) -> str:
    """Last part of the address's path.

    Raises:
        UserError: there is none.
    """
    name = urllib.parse.unquote(urllib.parse.urlsplit(url).path).rsplit("/", 1)[-1]
    if not name or name.startswith(".") or any(letter in name for letter in '\\:\0"'):
        raise UserError(f"{shown_url(url)}: the address does not end in a file name")
    return name


@dataclass
class _State:
    """What the server said about the file, beside the partial file."""

    url: str = ""
    validator: str = ""
    size: int = -1


class _Transfer:
    """One file on its way; `attempt` can be called again after it failed."""

    def __init__(self, url: str, part: Path, timeout: float) -> None:
        self.url, self.part, self._timeout = url, part, timeout
        self._notes = part.with_name(part.name + ".json")
        self._opener = _opener()

    @property
    def received(self) -> int:
        """Bytes on the disk."""
        return self.part.stat().st_size if self.part.is_file() else 0

    def attempt(self) -> None:
        """Fetch what is missing.

        Raises:
            OSError, http.client.HTTPException: the connection failed.
            RunError: the disk is full.
        """
        state = self._state()
        start = self.received if state.validator else 0
        if start and start == state.size:
            return
        request = urllib.request.Request(self.url, headers={"User-Agent": f"medicalseg/{__version__}"})
        request.add_header("Accept-Encoding", "identity")
        if start:
            request.add_header("Range", f"bytes={start}-")
            request.add_header("If-Range", state.validator)
        try:
            response = self._opener.open(request, timeout=self._timeout)
        except urllib.error.HTTPError as error:
            if error.code == 416:
                self.discard()
                raise ConnectionError("the server's file has changed; starting again") from error
            raise
        with response:
            self._receive(response, start)

    def discard(self) -> None:
        """Forget what was received."""
        self.part.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)

    def _receive(self, response: Any, start: int) -> None:
        resumed = response.status == 206
        start = start if resumed else 0
        told = _State(self.url, _validator(response), _total_size(response, start))
        if resumed and (_range_start(response) != start or told != self._state()):
            self.discard()
            raise ConnectionError("the server answered with a part of another file, or another part; starting again")
        if not resumed:
            self.discard()
        size = told.size
        write_json(self._notes, asdict(told))
        _check_space(self.part.parent, size - start, self.part.name)
        progress = Progress(max(size, 0), self.part.name.removesuffix(".part"), "B", start)
        try:
            with open(self.part, "ab" if resumed else "wb") as handle:
                while chunk := response.read1(CHUNK):
                    _write(handle, chunk, self.part)
                    progress.step(len(chunk))
                handle.flush()
                os.fsync(handle.fileno())
        finally:
            progress.close()
        if 0 <= size != self.received:
            raise ConnectionError(f"connection closed after {self.received} of {size} bytes")
        if size < 0:
            logger.warning("%s: the server gave no size; completeness cannot be checked", shown_url(self.url))

    def _state(self) -> _State:
        try:
            state = _State(**json.loads(self._notes.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return _State()
        return state if state.url == self.url and self.part.is_file() else _State()


def _with_retries(transfer: _Transfer, retries: int, wait: float) -> None:
    shown = shown_url(transfer.url)
    for count in range(retries + 1):
        try:
            return transfer.attempt()
        except urllib.error.HTTPError as error:
            if error.code not in _RETRIED_CODES:
                raise DataError(f"{shown}: the server answers {error.code} {error.reason}") from error
            reason = f"the server answers {error.code} {error.reason}"
        except urllib.error.URLError as error:
            reason = str(error.reason)
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
        if count < retries:
            logger.warning("%s: %s; trying again", shown, reason)
            time.sleep(wait * 2**count)
    raise RunError(f"{shown}: {reason}; {transfer.received} bytes are kept, run the same command again to go on")


class _HttpRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        _check_url(newurl)
        if urllib.parse.urlsplit(req.full_url).scheme == "https" and newurl.startswith("http:"):
            raise DataError(f"{shown_url(req.full_url)}: refuses to go on without encryption to {shown_url(newurl)}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """Handlers for http and https only: no file:, ftp: or data: by a redirect."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        _HttpRedirects(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _check_url(url: str) -> None:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"{shown_url(url)}: only http:// and https:// addresses can be downloaded")


def shown_url(url: str) -> str:
    """The address without user name, password and query, which may hold keys."""
    parts = urllib.parse.urlsplit(url)
    host = parts.netloc.rsplit("@", 1)[-1]
    return urllib.parse.urlunsplit((parts.scheme, host, parts.path, "", ""))


def _parse_checksum(checksum: str | None) -> tuple[str | None, str]:
    if checksum is None:
        return None, ""
    kind, _, digest = checksum.strip().lower().rpartition(":")
    kind = kind or _HASH_LENGTHS.get(len(digest), "")
    if _HASH_LENGTHS.get(len(digest)) != kind or not all(letter in "0123456789abcdef" for letter in digest):
        raise UserError(f"checksum {checksum!r}: expected sha256:HEX (64 digits) or md5:HEX (32 digits)")
    return kind, digest


def _validator(response: Any) -> str:
    tag = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")


def _range_start(response: Any) -> int:
    text = response.headers.get("Content-Range", "").removeprefix("bytes").strip()
    first = text.split("-", 1)[0]
    return int(first) if first.isdigit() else -1


def _total_size(response: Any, start: int) -> int:
    total = response.headers.get("Content-Range", "").rpartition("/")[2]
    if response.status == 206 and total.isdigit():
        return int(total)
    length = response.headers.get("Content-Length", "")
    return start + int(length) if length.isdigit() else -1


def _check_space(folder: Path, needed: int, name: str) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise RunError(f"{name}: {needed / 1e9:.2f} GB are needed in {folder}, {free / 1e9:.2f} GB are free")


def _write(handle: Any, chunk: bytes, path: Path) -> None:
    try:
        handle.write(chunk)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise RunError(f"{path}: the disk is full; make room and run the same command again to go on") from error
        raise
