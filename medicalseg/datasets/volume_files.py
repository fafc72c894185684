"""Volume files of a folder, and which of them are channels of one case."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from medicalseg.io import case_name, is_volume, prefer_volumes

CHANNEL = re.compile(r"^(?P<case>.+)_(?P<channel>\d{4})$")


def volumes_in(folder: Path, ending: str | None = None) -> list[Path]:
    """Volume files of a folder, sorted; hidden files are not data, a header with its voxel file is one volume.

    Pictures (PNG ...) count only where there is nothing else, or by their `ending`.
    """
    if not folder.is_dir():
        return []
    files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    headers = {case_name(path) for path in files if ".hdr" in path.suffixes}
    files = [path for path in files if ".img" not in path.suffixes or case_name(path) not in headers]
    if ending:
        return sorted(path for path in files if path.name.endswith(ending))
    return sorted(prefer_volumes(path for path in files if is_volume(path)))


def volumes_at(root: Path, place: str, ending: str | None = None) -> list[Path]:
    """Volume files of a folder in `root`, or those that a pattern with `*` matches."""
    if "*" not in place:
        return volumes_in(root / place, ending)
    return sorted(path for path in root.glob(place) if path.is_file() and is_volume(path))


def group_channels(files: Iterable[Path], nnunet: bool) -> dict[str, tuple[Path, ...]]:
    """Image files by case; with `nnunet` the ending `_0000` is a channel number, in order."""
    groups: dict[str, list[Path]] = {}
    for path in sorted(files):
        name = case_name(path)
        match = CHANNEL.match(name) if nnunet else None
        key = match["case"] if match else name
        groups.setdefault(path.name if key in groups and not match else key, []).append(path)
    return {name: tuple(paths) for name, paths in sorted(groups.items())}


def is_nnunet_folder(files: Iterable[Path]) -> bool:
    """Whether all names end in a channel number, so that the ending is one."""
    names = [case_name(path) for path in files]
    return bool(names) and all(CHANNEL.match(name) for name in names)
