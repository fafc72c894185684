"""Published weights by name: which there are, and their files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import urlsplit

from medicalseg.errors import UserError
from medicalseg.utils import weights_archive, weights_store, weights_table
from medicalseg.utils.weights_table import PublishedWeights

MIRROR = "MEDICALSEG_WEIGHTS_MIRROR"


def find(name: str) -> PublishedWeights | None:
    """The published weights of this name, if there are any."""
    return next((entry for entry in weights_table.PUBLISHED if entry.name == name), None)


def chosen(names: Sequence[str]) -> list[PublishedWeights]:
    """The published weights of these names or shell patterns, in the table's order.

    Example:
        >>> [entry.network for entry in chosen(["unetr*"])]
        ['UNETR']

    Raises:
        UserError: a name fits none; tells the nearest.
    """
    for name in names:
        if not any(fnmatchcase(entry.name, name) for entry in weights_table.PUBLISHED):
            raise UserError(
                f"no published weights are called '{name}'{nearest_name(name)}; `medicalseg weights list` shows all"
            )
    return [entry for entry in weights_table.PUBLISHED if any(fnmatchcase(entry.name, name) for name in names)]


def nearest_name(name: str) -> str:
    """`; did you mean 'NAME'?` of the published names that hold the text, else of the nearest one, or nothing."""
    from medicalseg.cvlibs.tree import nearest

    names = [entry.name for entry in weights_table.PUBLISHED]
    holding = [known for known in names if name and name.lower() in known.lower()]
    if holding:
        return f"; did you mean {' or '.join(repr(known) for known in holding[:3])}?"
    return nearest(name, names)


def fetch(
    entry: PublishedWeights, *, checksum: str | None = None, refresh: bool = False, mirror: str | None = None
) -> Path:
    """The `.pdparams` file of published weights, downloaded once and checked at every use.

    Args:
        entry: which.
        checksum: "sha256:HEX" or "md5:HEX" of the published file; stands above what was recorded.
        refresh: download it anew and forget what was recorded of it.
        mirror: address of a copy of the download folder, see `mirrored`.

    Raises:
        CheckpointError: the file here is not what was downloaded, or what came cannot be read as weights.
        DataError: the server refuses, or has another file than was recorded.
        RunError: the server cannot be reached.
    """
    source = mirrored(entry.url, mirror)
    return weights_archive.unpacked(weights_store.fetch(entry.url, checksum=checksum, source=source, refresh=refresh))


def mirrored(url: str, mirror: str | None = None) -> str:
    """Where an address of the table is fetched from: itself, or `MIRROR/host/path`.

    Args:
        url: any address; those of other hosts than the table's are left alone.
        mirror: address of a folder laid out as the download folder is; default: `$MEDICALSEG_WEIGHTS_MIRROR`.
    """
    mirror = mirror or os.environ.get(MIRROR)
    parts = urlsplit(url)
    if not mirror or parts.netloc not in {urlsplit(entry.url).netloc for entry in weights_table.PUBLISHED}:
        return url
    return f"{mirror.rstrip('/')}/{parts.netloc}{parts.path}"
