"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medicalseg.errors import DataError, UserError


@contextlib.contextmanager
def atomic_path(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `target`; on leaving, flush it to disk and rename it to `target`.

    The temporary name keeps the target's full suffix, so writers that choose a format by it work. If the block
    raises, the temporary file is removed and `target` stays as it was.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(4)}-{target.name}")
    try:
        yield temporary
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(target: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_path(target) as path:
        path.write_text(text, encoding="utf-8")


def write_json(target: str | os.PathLike[str], content: Any) -> None:
    """Write `content` as indented JSON, atomically; NaN is written as null."""
    write_text(target, json.dumps(_without_nan(content), indent=2, ensure_ascii=False) + "\n")


def read_json(path: str | os.PathLike[str], error: type[UserError] = DataError) -> Any:
    """Content of a JSON file, with or without a byte-order mark.

    Raises:
        UserError: of the kind `error`, if it cannot be read as JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as problem:
        raise error(f"{path}: cannot be read as JSON: {problem}") from problem


def read_json_object(path: str | os.PathLike[str], error: type[UserError] = DataError) -> dict[str, Any]:
    """As `read_json`, where the content must be an object."""
    content = read_json(path, error)
    if not isinstance(content, dict):
        raise error(f"{path}: expected a JSON object")
    return content


def output_folder(target: str | os.PathLike[str], flag: str = "--save_dir") -> Path:
    """The folder that a command writes to; it need not exist yet.

    Raises:
        UserError: it is a file.
    """
    folder = Path(target)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{flag} {target} is a file; give a folder (the file was not touched)")
    return folder


def file_hash(path: str | os.PathLike[str], kind: str = "sha256") -> str:
    """Hexadecimal digest of a file's content, of a kind that `hashlib` knows."""
    digest = hashlib.new(kind, usedforsecurity=False)
    with open(path, "rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _without_nan(content: Any) -> Any:
    if isinstance(content, float):
        return content if content == content and abs(content) != float("inf") else None
    if isinstance(content, dict):
        return {str(key): _without_nan(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_without_nan(value) for value in content]
    return content
