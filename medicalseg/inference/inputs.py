"""Which cases a command line means: their files, their labels, and where their label maps go."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from medicalseg.errors import UserError, VolumeError
from medicalseg.inference.outputs import read_reference, structure_paths
from medicalseg.inference.task import TaskSpec
from medicalseg.io import Volume, case_name, find_volumes, is_picture, read_label, read_volume, suffix_of
from medicalseg.io.bids_name import BidsName, images_among, label_of, labels_among
from medicalseg.io.image_file import has_colours, is_stack
from medicalseg.utils.files import output_folder
from medicalseg.utils.logger import logger

SHOWN = 3
CHANNEL = re.compile(r"^(?P<case>.+)_(?P<channel>\d{4})$")


@dataclass(frozen=True)
class InputCase:
    """One image to segment.

    Attributes:
        name: for messages and reports.
        files: one file or DICOM folder, or one per channel.
        output: where its label map goes, relative to the output folder.
    """

    name: str
    files: tuple[Path, ...]
    output: Path

    def read(self) -> Volume:
        """The image; channels of several files are stacked.

        Raises:
            VolumeError: if a file cannot be read, or channels lie on different grids.
        """
        volumes = [read_volume(path, channels=True) for path in self.files]
        if len(volumes) == 1:
            return volumes[0]
        for path, volume in zip(self.files, volumes, strict=True):
            difference = volumes[0].grid_difference(volume)
            if difference is not None:
                raise VolumeError(f"{path}: lies on another grid than {self.files[0].name}: {difference}")
        return volumes[0].with_array(np.stack([volume.array for volume in volumes]))


def find_inputs(image_path: str | os.PathLike[str], in_channels: int = 1) -> list[InputCase]:
    """The cases that a path stands for.

    Args:
        image_path: a volume, a DICOM series folder, a folder (searched with its subfolders) or a .txt list. Of a
            BIDS-like folder, derivatives/ and what ends as labels do (_dseg, _msk, _seg, _mask, _label) are left out.
        in_channels: of the network; if above 1, files `CASE_0000`, `CASE_0001`, ... are the channels of one case,
            where no number is beyond the channels and the files are no colour pictures; so are BIDS' contrasts of one
            subject, session and run, `sub-1_T1w`, `sub-1_T2w`, in alphabetical order, where there are as many.

    Returns:
        Cases in order; `output` keeps the subfolder and the name. NIfTI inputs keep their suffix, pictures get .png (a
        TIFF of several pages: .tif), others .nii.gz; files of one folder that differ in their suffix only get it in
        front: a.mha.nii.gz.

    Raises:
        UserError: if the path does not exist or holds no volume, or two cases would have the same output.
    """
    root = Path(image_path)
    paths = _images(root)
    groups = _channel_groups(paths, in_channels)
    duplicates = {name for name, count in Counter(name for name, _ in groups).items() if count > 1}
    cases = _told_apart([_case(name, files, root, name in duplicates) for name, files in groups])
    clashing = [output for output, count in Counter(case.output for case in cases).items() if count > 1]
    if clashing:
        files = ", ".join(str(case.files[0]) for case in cases if case.output == clashing[0])
        raise UserError(f"{files} would all be written to {clashing[0]}; give them different names or run them apart")
    return cases


def check_output_folder(save_dir: str | os.PathLike[str], cases: Sequence[InputCase], *inputs: str | Path) -> Path:
    """Make sure that nothing is written beside or into the inputs.

    Args:
        save_dir: the output folder.
        cases: what will be read.
        inputs: further input paths: folders given on the command line.

    Raises:
        UserError: if `save_dir` is a file, a folder of inputs, or inside one.
    """
    target = output_folder(save_dir)
    resolved = target.resolve()
    beside = {file.resolve().parent for case in cases for file in case.files}
    around = {Path(path).resolve() for path in inputs if Path(path).is_dir()}
    around |= {file.resolve() for case in cases for file in case.files if file.is_dir()}
    if resolved in beside or any(resolved == folder or folder in resolved.parents for folder in around):
        raise UserError(
            f"--save_dir {target} lies in the input folder; nothing is ever written there: give another one"
        )
    return target


class Labels:
    """Reference label maps by case name.

    Args:
        label_path: a volume (for a single case), a folder, or a .txt list.

    Raises:
        UserError: if it does not exist or holds no volume.
    """

    def __init__(self, label_path: str | os.PathLike[str]) -> None:
        self._paths = labels_among(find_volumes(label_path))
        self._single = self._paths[0] if Path(label_path) == self._paths[0] else None
        self._by_name: dict[str, Path] = {}
        for path in self._paths:
            self._by_name.setdefault(case_name(path), path)

    def find(self, case: InputCase, alone: bool = False, task: TaskSpec | None = None) -> Path | None:
        """The file of a case's label: same name, without a channel number; for a case `alone` the one file given.

        Pictures of the structures that may overlap, case_NAME.png, are found as case.png.
        """
        if alone and self._single is not None:
            return self._single
        match = CHANNEL.match(case.name)
        names = [case.name, *([match["case"]] if match else [])]
        found = next((self._by_name[name] for name in names if name in self._by_name), None)
        if found is None and task is not None and task.overlapping:
            found = self._of_structures(case_name(case.name), task)
        return label_of(Path(case.name).name, self._paths) if found is None else found

    def _of_structures(self, name: str, task: TaskSpec) -> Path | None:
        files = [self._by_name.get(path.stem) for path in structure_paths(Path(f"{name}.png"), task)]
        first = files[0]
        return None if first is None or None in files else first.with_name(f"{Path(name).name}{first.suffix}")

    def read(self, path: Path, image: Volume, task: TaskSpec | None = None) -> Volume:
        """The label on the image's grid: ids, or codes where the task has sigmoids.

        Raises:
            VolumeError: if its shape is not the image's.
        """
        label = read_label(path) if task is None else read_reference(path, task)
        if label.shape != image.shape:
            raise VolumeError(f"{path}: has the shape {label.shape}, the image {image.shape}; it cannot be scored")
        return label


def _images(root: Path) -> list[Path]:
    """The volumes of a path; of a folder not the labels that lie among its images."""
    paths = find_volumes(root)
    if not root.is_dir() or paths == [root]:
        return paths
    images = images_among(paths, root)
    others = [str(path.relative_to(root)) for path in paths if path not in set(images)]
    if others:
        few = ", ".join(others[:SHOWN]) + (", …" if len(others) > SHOWN else "")
        logger.info("%s: %d files are labels or derivatives and are skipped: %s", root, len(others), few)
    return images


def _told_apart(cases: Sequence[InputCase]) -> list[InputCase]:
    """Cases of one folder that differ in their suffix only keep it in their names: a.mha gives a.mha.nii.gz."""
    counts = Counter((case.name, case.output.parent) for case in cases)
    return [
        replace(
            case,
            name=str(Path(case.name).with_name(case.files[0].name)),
            output=case.output.with_name(f"{case.files[0].name}{_told_apart_suffix(case)}"),
        )
        if counts[case.name, case.output.parent] > 1
        else case
        for case in cases
    ]


def _told_apart_suffix(case: InputCase) -> str:
    return case.output.suffix if is_picture(case.output) else ".nii.gz"


def _output_suffix(file: Path) -> str:
    if is_picture(file) and not file.is_dir():
        return ".tif" if is_stack(file) else ".png"
    return ".nii" if suffix_of(file) == ".nii" and not file.is_dir() else ".nii.gz"


def _channel_groups(paths: Sequence[Path], in_channels: int) -> list[tuple[str, tuple[Path, ...]]]:
    groups: dict[tuple[Path, str], list[Path]] = {}
    for path in paths:
        match = CHANNEL.match(case_name(path))
        contrast = BidsName.of(path) if in_channels > 1 and not match and not path.is_dir() else None
        name = contrast.case if contrast is not None and contrast.is_bids else case_name(path)
        groups.setdefault((path.parent, match["case"] if match else name), []).append(path)
    found: list[tuple[str, tuple[Path, ...]]] = []
    for (_, name), files in groups.items():
        if _are_channels(files, in_channels):
            found.append((name, tuple(sorted(files, key=case_name))))
        else:
            found += [(case_name(path), (path,)) for path in files]
    return found


def _are_channels(files: Sequence[Path], in_channels: int) -> bool:
    """Whether files of one name are channels of one image, rather than images that are numbered likewise."""
    matches = [CHANNEL.match(case_name(path)) for path in files]
    contrasts = [BidsName.of(path) for path in files]
    if 1 < in_channels == len(files) and all(name.is_bids and not name.is_label for name in contrasts):
        return True
    if in_channels == 1 or not all(match and int(match["channel"]) < in_channels for match in matches):
        return False
    return not has_colours(files[0])


def _case(name: str, files: tuple[Path, ...], root: Path, duplicate: bool) -> InputCase:
    suffix = _output_suffix(files[0])
    folder = Path()
    if root.is_dir() and files[0] != root:
        folder = files[0].relative_to(root).parent
    elif duplicate:
        folder = Path(files[0].parent.name)
    return InputCase(str(folder / name) if duplicate else name, files, folder / f"{name}{suffix}")
