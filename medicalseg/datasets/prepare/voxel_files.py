"""Headers whose voxels are in another file."""

from __future__ import annotations

import re
from pathlib import Path

from medicalseg.errors import VolumeError
from medicalseg.io import case_name, suffix_of
from medicalseg.io.pairs import detached, named_in_header

_LONGEST_HEADER = 1 << 20
_FIELDS = {".mhd": rb"^\s*ElementDataFile\s*=\s*(.+?)\s*$", ".nhdr": rb"^data ?file:\s*(.+?)\s*$"}


def with_voxels(path: Path) -> tuple[Path, ...]:
    """A file, and the one with its voxels if it is a header: what .mhd and .nhdr name, the .img of a .hdr.

    A header that is damaged or whose other file is missing stays alone: reading it says what is wrong.
    """
    suffix = suffix_of(path)
    try:
        if suffix.startswith(".hdr"):
            return path, detached(path, case_name(path), ".img", suffix[len(".hdr") :])
        if suffix in _FIELDS:
            with open(path, "rb") as handle:
                found = re.search(_FIELDS[suffix], handle.read(_LONGEST_HEADER), re.MULTILINE | re.IGNORECASE)
            if found:
                return path, named_in_header(path, found[1].decode("utf-8", "replace"))
    except (OSError, VolumeError):
        pass
    return (path,)
