"""Where the raw volumes are: a folder, or archives that are unpacked beside the result."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from medicalseg.datasets.prepare.archives import check_all, extract_once, fetch_all, file_stem
from medicalseg.datasets.volume_files import volumes_in
from medicalseg.errors import DataError, UserError


def raw_folder(args: argparse.Namespace, default: Path, how_to_get: str) -> Path:
    """The folder with raw volumes that the flags name.

    Args:
        args: with raw_dir, archive, url, checksum, dataset_root.
        default: folder that archives are unpacked into, and that is used when no flag names one.
        how_to_get: end of the message when there is nothing.

    Raises:
        DataError: there is no raw data, or it is not what was fetched or unpacked before.
        UserError: flags contradict each other.
    """
    given = [name for name in ("raw_dir", "archive", "url") if getattr(args, name)]
    if len(given) > 1:
        raise UserError(f"--{given[0]} and --{given[1]}: give one of them")
    checksums = _checksums(args)
    if args.raw_dir:
        if not args.raw_dir.is_dir():
            raise DataError(f"--raw_dir {args.raw_dir}: no such folder. {how_to_get}")
        return args.raw_dir
    if args.url:
        archives = fetch_all(args.url, checksums, args.dataset_root / "downloads")
    else:
        archives = list(args.archive or [])
        missing = next((archive for archive in archives if not archive.is_file()), None)
        if missing:
            raise DataError(f"--archive {missing}: no such file. {how_to_get}")
        check_all(archives, checksums)
    for archive in archives:
        extract_once(archive, default / file_stem(archive.name))
    if not default.is_dir():
        raise DataError(f"raw data not found: {default} does not exist. {how_to_get}")
    return default


def _checksums(args: argparse.Namespace) -> list[str | None]:
    flag = "url" if args.url else "archive"
    sources = getattr(args, flag) or ()
    if args.checksum and not sources:
        raise UserError("--checksum: goes with --url or --archive")
    if args.checksum and len(args.checksum) != len(sources):
        raise UserError(f"--checksum: {len(args.checksum)} given for {len(sources)} --{flag}")
    return list(args.checksum or [None] * len(sources))


def find_folders(root: Path, *names: str) -> list[Path]:
    """Folders under `root` (and `root` itself) with one of these names in upper or lower case, shallowest first."""
    wanted = {name.lower() for name in names}
    found = [path for path in [root, *root.rglob("*")] if path.name.lower() in wanted and path.is_dir()]
    found = [path for path in found if "__MACOSX" not in path.parts]
    return sorted(found, key=lambda path: (len(path.parts), path.as_posix()))


def folder_named(
    raw: Path, names: Sequence[str], how_to_get: str, files_of: Callable[[Path], Collection[object]] = volumes_in
) -> Path:
    """The shallowest folder with one of these names that has files; one without if none has.

    Args:
        raw: where to look.
        names: in upper or lower case.
        how_to_get: end of the message when there is none.
        files_of: what counts as files; default: volumes.

    Raises:
        DataError: there is no such folder.
    """
    found = find_folders(raw, *names)
    if not found:
        raise DataError(f"{raw}: no folder {' or '.join(names)} in it. {how_to_get}")
    return next((path for path in found if files_of(path)), found[0])


def description_copy(folder: Path, raw_dir: Path | None) -> tuple[Path, ...]:
    """Where PaddleSeg3D's configs look for `dataset.json`: in the raw folder, unless that is the user's input."""
    inside = raw_dir is not None and raw_dir.resolve().is_relative_to(folder.resolve())
    return () if inside else (folder / "dataset.json",)
