"""What is checked of pictures with masks, beside what is checked of volumes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from medicalseg.datasets.image_folder import ImageFolder
from medicalseg.datasets.masks import IndexMasks, MaskCase, SizeMismatchError
from medicalseg.datasets.splits import GroupOf
from medicalseg.datasets.verify.finding import ERROR, WARNING, Finding, one_line
from medicalseg.datasets.verify.inspection import (
    Facts,
    Rules,
    array_hash,
    check_ids,
    describe_image,
    read_quietly,
)
from medicalseg.datasets.verify.source import Source
from medicalseg.errors import UserError, VolumeError
from medicalseg.io import Volume

LOSSY = (".jpg", ".jpeg")
LOSSLESS = ": save it as PNG; grey JPEG masks of one structure can be read with mask_threshold: 128"
EMPTY_EXAMPLES = 3


@dataclass(frozen=True)
class PictureCase(MaskCase):
    """A picture of one of several folders.

    Attributes:
        stored: its name in its folder; `name` is unique.
        number: of the folder.
    """

    stored: str = ""
    number: int = 0

    @classmethod
    def of(cls, case: MaskCase, number: int, name: str) -> PictureCase:
        """A case of folder `number` under a unique name."""
        return cls(name, case.images, case.label, case.original, masks=case.masks, stored=case.name, number=number)


def inspect_picture(folders: Sequence[ImageFolder], rules: Rules, case: PictureCase) -> Facts:
    """Read a picture and its mask and check them; never raises for a bad file."""
    facts = Facts(case.name)
    folder = folders[case.number]
    image = read_quietly(case.images[0], facts, channels=True)
    if image is None:
        return facts
    facts.images.append(describe_image(case.images[0], image, facts))
    if image.shape[2] != 1:
        facts.add("slices", f"{case.images[0].name}: has {image.shape[2]} slices; a picture has one")
    elif case.label is not None:
        _check_mask(folder, replace(case, name=case.stored), image, rules, facts)
    return facts


def _check_mask(folder: ImageFolder, case: PictureCase, image: Volume, rules: Rules, facts: Facts) -> None:
    name = Path(case.label or "mask").name
    lossy = [path.name for path in case.masks if path.suffix.lower() in LOSSY]
    safe = isinstance(folder.masks, IndexMasks) and folder.masks.threshold is not None
    if lossy:
        remedy = "; mask_threshold makes them ids" if safe else LOSSLESS
        facts.add("lossy_mask", f"{lossy[0]}: JPEG changes the values of a mask{remedy}", WARNING if safe else ERROR)
    if lossy and not safe:
        return
    try:
        mask, turned = folder.read_mask(case, image.shape[:2]), folder.turned_mask(case, image)
    except SizeMismatchError as error:
        facts.add("shape_mismatch", one_line(error))
        return
    except VolumeError as error:
        facts.add("unreadable", one_line(error))
        return
    except UserError as error:
        facts.add("wrong_mask", one_line(error))
        return
    if turned:
        facts.add("flip_mismatch", turned)
    _count(name, mask, rules, facts)


def _count(name: str, mask: np.ndarray, rules: Rules, facts: Facts) -> None:
    if mask.ndim == 4:
        present = [int(np.count_nonzero(plane == 1)) for plane in mask]
        ids = np.array([0, *(index + 1 for index, count in enumerate(present) if count)])
        background = int(np.count_nonzero(~(mask == 1).any(axis=0)))
        check_ids(name, ids, np.array([background, *(count for count in present if count)]), rules, facts)
    else:
        check_ids(name, *np.unique(mask, return_counts=True), rules, facts)
    if any(value not in (0, rules.ignore_index) for value in facts.voxels):
        facts.label_hash = array_hash(mask)


def compare_pictures(source: Source, facts: Sequence[Facts]) -> list[Finding]:
    """What only shows when all pictures are looked at."""
    return [*_empty(source, facts), *_patients(source)]


def _empty(source: Source, facts: Sequence[Facts]) -> Iterator[Finding]:
    read = [item for item in facts if item.voxels]
    empty = [item.case for item in read if not any(id_ not in (0, source.ignore_index) for id_ in item.voxels)]
    if empty:
        some = ", ".join(empty[:EMPTY_EXAMPLES]) + (", …" if len(empty) > EMPTY_EXAMPLES else "")
        hint = _ignored_hint(source, facts) if len(empty) == len(read) else ""
        yield Finding(WARNING, "empty_label", "", f"{len(empty)} of {len(read)} masks show nothing: {some}{hint}")


def _ignored_hint(source: Source, facts: Sequence[Facts]) -> str:
    """Masks of 0 and 255 are usual, and 255 is the usual `ignore_index`."""
    ignored = source.ignore_index
    if ignored is None or not any(ignored in item.voxels for item in facts):
        return ""
    return (
        f"; they hold {ignored}, which is ignored (ignore_index): if it is the structure, set "
        f"mask_values: {{{ignored}: 1}} or mask_threshold: {max(1, (ignored + 1) // 2)}"
    )


def _patients(source: Source) -> Iterator[Finding]:
    if source.group_of is None:
        return
    for number, split in enumerate(source.splits):
        try:
            train, held_out = _groups(source.group_of, split.train), _groups(source.group_of, split.val)
        except UserError as error:
            yield Finding(ERROR, "split", "", one_line(error))
            return
        both = sorted(set(train) & set(held_out))
        if both:
            fold = f"fold {number}: " if len(source.splits) > 1 else ""
            example = f"{both[0]} (cases {train[both[0]]} and {held_out[both[0]]})"
            message = f"{fold}{len(both)} patients are on both sides, such as {example}"
            yield Finding(ERROR, "leaking_patient", "", message)


def _groups(group_of: GroupOf, names: Sequence[str]) -> dict[str, str]:
    """One case per patient."""
    return {group_of(name): name for name in reversed(names)}
