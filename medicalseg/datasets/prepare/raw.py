"""Where the raw volumes are: a folder, or archives that are unpacked beside the result."""

from __future__ import annotations

import argparse
from pathlib import Path

from medicalseg.errors import DataError, UserError
from medicalseg.utils.download import download, extract_archive, file_name
from medicalseg.utils.logger import logger


def raw_folder(args: argparse.Namespace, default: Path, how_to_get: str) -> Path:
    """The folder with raw volumes that the flags name.

    Args:
        args: with raw_dir, archive, url, checksum, dataset_root.
        default: folder that archives are unpacked into, and that is used when no flag names one.
        how_to_get: end of the message when there is nothing.

    Raises:
        DataError: there is no raw data.
        UserError: flags contradict each other.
    """
    given = [name for name in ("raw_dir", "archive", "url") if getattr(args, name)]
    if len(given) > 1:
        raise UserError(f"--{given[0]} and --{given[1]}: give one of them")
    if args.raw_dir:
        if not args.raw_dir.is_dir():
            raise DataError(f"--raw_dir {args.raw_dir}: no such folder. {how_to_get}")
        return args.raw_dir
    archives = _downloaded(args) if args.url else list(args.archive or [])
    for archive in archives:
        if not archive.is_file():
            raise DataError(f"--archive {archive}: no such file. {how_to_get}")
        extract_once(archive, default / file_stem(archive))
    if not default.is_dir():
        raise DataError(f"raw data not found: {default} does not exist. {how_to_get}")
    return default


def _downloaded(args: argparse.Namespace) -> list[Path]:
    sums = args.checksum or [None] * len(args.url)
    if len(sums) != len(args.url):
        raise UserError(f"--checksum: {len(sums)} given for {len(args.url)} --url")
    folder = args.dataset_root / "downloads"
    return [download(url, folder / file_name(url), checksum=sum_) for url, sum_ in zip(args.url, sums, strict=True)]


def extract_once(archive: Path, target: Path) -> Path:
    """Unpack `archive` into the folder `target` unless that exists."""
    if target.is_dir():
        logger.info("%s is unpacked already: %s", archive.name, target)
        return target
    logger.info("unpacking %s into %s", archive, target)
    extract_archive(archive, target)
    return target


def file_stem(archive: Path) -> str:
    """Name of an archive without its suffixes."""
    name = archive.name
    for suffix in (".tar.gz", ".tar.bz2", ".tar.xz", ".tgz", ".tar", ".zip"):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return archive.stem


def find_folders(root: Path, *names: str) -> list[Path]:
    """Folders under `root` (and `root` itself) with one of these names in upper or lower case, shallowest first."""
    wanted = {name.lower() for name in names}
    found = [path for path in [root, *root.rglob("*")] if path.name.lower() in wanted and path.is_dir()]
    found = [path for path in found if "__MACOSX" not in path.parts]
    return sorted(found, key=lambda path: (len(path.parts), path.as_posix()))


def description_copy(folder: Path, raw_dir: Path | None) -> tuple[Path, ...]:
    """Where PaddleSeg3D's configs look for `dataset.json`: in the raw folder, unless that is the user's input."""
    inside = raw_dir is not None and raw_dir.resolve().is_relative_to(folder.resolve())
    return () if inside else (folder / "dataset.json",)
