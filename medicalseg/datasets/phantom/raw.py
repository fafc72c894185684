"""The phantom as files, in the folders of MRISpineSeg's raw training set."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from medicalseg.datasets.phantom.generate import spine_phantom
from medicalseg.errors import DataError
from medicalseg.io import Volume, write_volume
from medicalseg.utils.files import write_json

VERSION = 1
FOLDER = Path("MRI_spine_seg_raw") / "MRI_train" / "train"
MARK = "phantom.json"
SMALL_VOXELS = 5_000_000


def write_raw_phantom(
    root: str | os.PathLike[str],
    cases: int | Iterable[int] = 20,
    *,
    seed: int = 0,
    size: tuple[int, int, int] = (512, 512, 12),
    num_workers: int = 0,
) -> Path:
    """Write phantom cases as `MR/CaseN.nii.gz` and `Mask/mask_caseN.nii.gz`; what is there already is kept.

    Args:
        root: folder that gets `MRI_spine_seg_raw/MRI_train/train/{MR,Mask}`.
        cases: how many (numbers 1..n), or their numbers.
        seed: family of patients.
        size: voxels (X, Y, Z).
        num_workers: processes; 0 or 1 = this one.

    Returns:
        The folder that holds `MR` and `Mask`.

    Raises:
        DataError: the folder holds volumes that are no phantom.
        UserError: a size or number is out of range.
    """
    from medicalseg.utils.pool import run_all

    folder = Path(root) / FOLDER
    numbers = list(range(1, cases + 1)) if isinstance(cases, int) else sorted(set(cases))
    settings = {"phantom": VERSION, "seed": seed, "size": [int(value) for value in size]}
    fresh = _claim(folder, settings)
    missing = [number for number in numbers if fresh or not _complete(folder, number)]
    workers = num_workers if len(missing) * math.prod(size) > SMALL_VOXELS else 0
    for _, outcome in run_all(partial(_write_case, folder, seed, tuple(size)), missing, workers, "phantom"):
        if isinstance(outcome, Exception):
            raise outcome
    return folder


def case_files(folder: Path, number: int) -> tuple[Path, Path]:
    """Image and label of a case."""
    return folder / "MR" / f"Case{number}.nii.gz", folder / "Mask" / f"mask_case{number}.nii.gz"


def _complete(folder: Path, number: int) -> bool:
    return all(path.is_file() for path in case_files(folder, number))


def _claim(folder: Path, settings: dict[str, Any]) -> bool:
    """Mark the folder as ours; old phantom volumes of other settings are removed. True if nothing can be kept."""
    mark = folder / MARK
    volumes = sorted(folder.glob("M*/*.nii*"))
    if mark.is_file():
        if json.loads(mark.read_text(encoding="utf-8")) == settings:
            return False
    elif volumes:
        raise DataError(f"{folder} holds volumes that are no phantom ({volumes[0].name}, …); choose another folder")
    for path in volumes:
        path.unlink()
    write_json(mark, settings)
    return True


def _write_case(folder: Path, seed: int, size: Sequence[int], number: int) -> None:
    phantom = spine_phantom(number, seed=seed, size=(size[0], size[1], size[2]))
    image, label = case_files(folder, number)
    write_volume(Volume(phantom.image, phantom.affine), image)
    write_volume(Volume(phantom.label, phantom.affine, meta={"labels": True}), label)
