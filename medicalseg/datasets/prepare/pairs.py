"""Images and labels that belong together by their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from medicalseg.datasets.prepare.job import CaseSource
from medicalseg.datasets.volume_files import volumes_in
from medicalseg.errors import DataError
from medicalseg.io import case_name
from medicalseg.utils.logger import logger
from medicalseg.utils.words import counted, few

SHOWN = 20


def images_in(folder: Path, how_to_get: str) -> list[tuple[str, tuple[Path, ...]]]:
    """Case name and file of each volume in a folder, sorted by file.

    Raises:
        DataError: there is none; the message ends with `how_to_get`.
    """
    paths = volumes_in(folder)
    if not paths:
        raise DataError(f"{folder}: holds no volumes. {how_to_get}")
    return [(case_name(path), (path,)) for path in paths]


def pair_by_name(
    images: Iterable[tuple[str, tuple[Path, ...]]], labels: Path, label_of: Callable[[str], str] = str
) -> list[CaseSource]:
    """Cases of images and the labels that their names ask for; labels without image are warned of.

    Args:
        images: case name and files of each image.
        labels: folder of the labels.
        label_of: name of a case's label, upper or lower case; default: the case name.

    Returns:
        In the order of `images`. A label that is missing has the path where it should be, so that its case is broken.
    """
    there = {case_name(path).lower(): path for path in volumes_in(labels)}
    cases = []
    for name, files in images:
        label = label_of(name)
        ending = files[0].name[len(case_name(files[0])) :]
        cases.append(CaseSource(name, files, there.get(label.lower(), labels / f"{label}{ending}"), label))
    used = {case.label for case in cases}
    warn_of_lone_labels(path for path in there.values() if path not in used)
    return cases


def warn_of_lone_labels(paths: Iterable[Path]) -> None:
    """Name labels that have no image, which are left out."""
    names = sorted(path.name for path in paths)
    if names:
        logger.warning("%s without image, left out: %s", counted(len(names), "label"), few(names, SHOWN))


def natural_key(name: str) -> list[int | str]:
    """Key that sorts names by the numbers in them.

    Example:
        >>> sorted(["Case10", "Case9"], key=natural_key)
        ['Case9', 'Case10']
    """
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]
