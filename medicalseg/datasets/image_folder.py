"""Pictures and their masks in folders or list files: which belong together, and how they are read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medicalseg.datasets.list_files import cut_line
from medicalseg.datasets.masks import Classes, MaskCase, MaskFormat
from medicalseg.datasets.text_files import read_lines
from medicalseg.errors import ConfigError, DataError
from medicalseg.io import SUFFIXES, Volume, case_name, has_directions, is_picture, is_volume, read_volume, suffix_of
from medicalseg.utils.words import few

MISSING = ("error", "empty")
MASK_SUFFIXES = sorted(
    (suffix for suffix in SUFFIXES if ".img" not in suffix), key=lambda suffix: not is_picture(f"a{suffix}")
)


class ImageFolder:
    """Pictures with masks.

    Args:
        root: folder that all paths start from.
        classes: what masks may hold.
        images: a folder, or a glob pattern with *.
        masks: a folder, a pattern with {case}, {name} and {id}, or the CSV file of run lengths.
        mask_format: how the masks are kept; default: one file of ids each.
        missing_masks: an image without a mask is an "error", or its mask is "empty".
        case_pattern: regular expression on an image's path below `root`; its groups, joined by "_", name the case.

    Raises:
        ConfigError: if an argument is wrong.
        DataError: if the folder does not exist.
    """

    def __init__(
        self,
        root: Path,
        classes: Classes,
        images: str = "images",
        masks: str = "masks",
        *,
        mask_format: MaskFormat | None = None,
        missing_masks: str = "error",
        case_pattern: str | None = None,
    ) -> None:
        if not root.is_dir():
            raise DataError(f"{root} does not exist or is not a folder")
        if missing_masks not in MISSING:
            raise ConfigError(f"missing_masks: expected one of {list(MISSING)}, got {missing_masks!r}")
        self.root, self.images, self.missing = root, images, missing_masks
        self.pattern = _compiled(case_pattern)
        self.masks = (mask_format or MaskFormat()).open(root, masks, classes)

    def cases(self, *, label_required: bool) -> list[MaskCase]:
        """All images, sorted by case name, with their masks.

        Args:
            label_required: whether an image without a mask is an error, unless missing masks are empty.

        Raises:
            DataError: if there are none, two have one name, or a mask is missing.
        """
        paths = self._image_paths()
        cases = [self._case(path) for path in paths]
        masks = {mask for case in cases for mask in case.masks}
        cases = [case for case in cases if case.images[0] not in masks]
        if not cases:
            raise DataError(f"images: no picture in {self.root / self.images}")
        self.check(cases, label_required=label_required, where="images")
        return sorted(cases, key=lambda case: case.name)

    def listed(self, path: Path, separator: str | None, *, label_required: bool) -> list[MaskCase]:
        """The cases of a list file, "IMAGE MASK" or "IMAGE" a line, in its order.

        Raises:
            DataError: if the file or a line is wrong, a file is missing or two images have one name.
        """
        cases = []
        for number, line in enumerate(read_lines(path), start=1):
            if line.strip():
                cases.append(self._listed_case(line.strip(), f"{path}:{number}", separator))
        if not cases:
            raise DataError(f"{path}: lists no image")
        self.check(cases, label_required=label_required, where=str(path))
        return cases

    def check(self, cases: Sequence[MaskCase], *, label_required: bool, where: str) -> None:
        """Raise DataError where names repeat or masks are missing."""
        by_name: dict[str, MaskCase] = {}
        for case in cases:
            if case.name in by_name:
                first, second = by_name[case.name].images[0], case.images[0]
                raise DataError(
                    f"{where}: {first} and {second} are both case {case.name}; "
                    "tell them apart with case_pattern, a regular expression on the path"
                )
            by_name[case.name] = case
        bare = [case for case in cases if case.label is None]
        if bare and label_required:
            wanted = ", ".join(_looked_for(path) for path in self.masks.expected(bare[0].name)[:2])
            raise DataError(
                f"{where}: {len(bare)} of {len(cases)} images have no mask: {few([case.name for case in bare], 3)} "
                f"(looked for {wanted}); if they show nothing, set missing_masks: empty"
            )

    def read_image(self, case: MaskCase, **options: Any) -> Volume:
        """The picture (X, Y, 1) or (C, X, Y, 1).

        Raises:
            UserError: if it cannot be read, or is no single picture.
        """
        volume = read_volume(case.images[0], channels=True, **options)
        if volume.shape[2] != 1:
            raise DataError(
                f"{case.images[0]}: has {volume.shape[2]} slices; a picture has one "
                "(DecathlonDataset and MedicalDataset cut volumes into slices)"
            )
        return volume

    def read_mask(self, case: MaskCase, size: tuple[int, int]) -> np.ndarray:
        """Ids (W, H, 1), or uint8 masks (K, W, H, 1) of structures that may overlap; empty where no file is.

        Raises:
            UserError: if a file is wrong or does not fit the image.
        """
        if not case.masks:
            return self.masks.classes.compose([], size)
        return self.masks.read(case, size)

    def turned_mask(self, case: MaskCase, image: Volume) -> str | None:
        """How a mask lies otherwise than its image, by their headers; None where they agree or have none."""
        if not _has_directions(case.images[0]):
            return None
        for path in filter(_has_directions, case.masks):
            found = read_volume(path, channels=True).axcodes
            if found[:2] != image.axcodes[:2]:
                return f"{path.name} is stored as {found}, its image as {image.axcodes}"
        return None

    def _image_paths(self) -> list[Path]:
        if "*" in self.images:
            paths: Iterable[Path] = self.root.glob(self.images)
        elif (self.root / self.images).is_dir():
            paths = (self.root / self.images).iterdir()
        else:
            raise DataError(f"images: {self.root / self.images} is no folder (a glob pattern has a *)")
        return sorted(path for path in paths if not path.name.startswith(".") and _is_picture_file(path))

    def _listed_case(self, line: str, where: str, separator: str | None) -> MaskCase:
        if separator is None or not separator.strip():
            image, mask = cut_line(line, self.root, where)
        else:
            parts = [part.strip() for part in line.split(separator)]
            if len(parts) > 2:
                raise DataError(f"{where}: expected 'IMAGE{separator}MASK', got {line!r}")
            image, mask = parts[0], parts[1] if len(parts) == 2 else None
        for name in (image, mask):
            if name is not None and not (self.root / name).is_file():
                raise DataError(f"{where}: {self.root / name} does not exist")
        path = self.root / image
        if mask is None:
            return self._case(path)
        return MaskCase(self._name(path), (path,), self.root / mask, masks=(self.root / mask,))

    def _case(self, path: Path) -> MaskCase:
        name = self._name(path)
        expected = self.masks.expected(name)
        found = tuple(item for item in expected if item.exists()) if self.masks.has(name) else ()
        whole = len(found) == len(expected) or self.missing == "empty"
        return MaskCase(name, (path,), expected[0] if whole else None, masks=found if whole else ())

    def _name(self, path: Path) -> str:
        if self.pattern is None:
            return case_name(path)
        text = path.relative_to(self.root).as_posix()
        found = self.pattern.search(text)
        if found is None:
            raise DataError(f"case_pattern: {self.pattern.pattern!r} does not match {text!r}")
        return "_".join(found.groups() if self.pattern.groups else [found.group(0)])


def _looked_for(path: Path) -> str:
    """A file; one without a suffix may have any."""
    if suffix_of(path) or path.suffix in (".txt", ".csv"):
        return str(path)
    return f"{path} with one of {' '.join(MASK_SUFFIXES)}"


def _is_picture_file(path: Path) -> bool:
    return path.is_file() and is_volume(path) and not suffix_of(path).startswith(".img")


def _has_directions(path: Path) -> bool:
    return is_volume(path) and has_directions(path)


def _compiled(pattern: str | None) -> re.Pattern[str] | None:
    try:
        return None if pattern is None else re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"case_pattern: {pattern!r} is not a regular expression: {error}") from error
