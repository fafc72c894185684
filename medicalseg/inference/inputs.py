"""Which cases a command line means: their files, their labels, and where their label maps go."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from medicalseg.errors import UserError, VolumeError
from medicalseg.inference.channel_files import CHANNEL, ChannelGroup, channel_groups
from medicalseg.inference.outputs import read_reference, structure_paths
from medicalseg.inference.task import TaskSpec
from medicalseg.inference.turned import turned_onto
from medicalseg.io import (
    Volume,
    case_name,
    find_volumes,
    has_directions,
    is_picture,
    read_label,
    read_volume,
    suffix_of,
)
from medicalseg.io.bids_name import images_among, label_of, labels_among
from medicalseg.io.image_file import is_stack
from medicalseg.utils.files import output_folder
from medicalseg.utils.logger import logger
from medicalseg.utils.words import few

__all__ = ["CHANNEL", "InputCase", "Labels", "check_output_folder", "find_inputs", "inputs_for"]

SHOWN = 3


@dataclass(frozen=True)
class InputCase:
    """One image to segment.

    Attributes:
        name: for messages and reports.
        files: one file or DICOM folder, or one per channel.
        output: where its label map goes, relative to the output folder.
        fault: why it cannot be read; None = it may be.
        series: of a DICOM folder with several series the SeriesInstanceUID or SeriesNumber of the one that is meant.
    """

    name: str
    files: tuple[Path, ...]
    output: Path
    fault: str | None = None
    series: str | None = None

    def read(self, *tasks: TaskSpec) -> Volume:
        """The image; channels of several files are stacked.

        Args:
            tasks: of the networks that will see it; NaN is refused unless the preprocessing of all replaces it.

        Raises:
            VolumeError: if a file is missing or cannot be read, or channels lie on different grids.
        """
        if self.fault is not None:
            raise VolumeError(self.fault)
        kept = bool(tasks) and all(task.preprocessing.nonfinite == "keep" for task in tasks)
        nonfinite: Literal["keep", "refuse"] = "keep" if kept else "refuse"
        volumes = [self._read(path, nonfinite) for path in self.files]
        if len(volumes) == 1:
            return volumes[0]
        for path, volume in zip(self.files, volumes, strict=True):
            difference = volumes[0].grid_difference(volume)
            if difference is not None:
                raise VolumeError(f"{path}: lies on another grid than {self.files[0].name}: {difference}")
        return volumes[0].with_array(np.stack([volume.array for volume in volumes]))

    def _read(self, path: Path, nonfinite: Literal["keep", "refuse"]) -> Volume:
        return read_volume(path, channels=True, series=self.series, nonfinite=nonfinite)


def find_inputs(
    image_path: str | os.PathLike[str], in_channels: int = 1, contrasts: Sequence[str] = ()
) -> list[InputCase]:
    """The cases that a path stands for.

    Args:
        image_path: a volume, a DICOM series folder, a folder (searched with its subfolders) or a .txt list. Of a
            BIDS-like folder, derivatives/ and what ends as labels do (_dseg, _msk, _seg, _mask, _label) are left out.
        in_channels: files that an image may have, see `TaskSpec.files_per_image`; if above 1, files `CASE_0000`,
            `CASE_0001`, ... are the channels of one case, where no number is beyond the channels and the files are no
            colour pictures; so are BIDS' contrasts of one subject, session and run, `sub-1_T1w`, `sub-1_T2w`.
        contrasts: which contrasts these are, in order, see `TaskSpec.contrasts`. A case that lacks one cannot be read;
            others are left out. Not given, they are taken in alphabetical order where there are as many.

    Returns:
        Cases in order; `output` keeps the subfolder and the name. NIfTI inputs keep their suffix, pictures get .png (a
        TIFF of several pages: .tif), others .nii.gz; files of one folder that differ in their suffix only get it in
        front: a.mha.nii.gz.

    Raises:
        UserError: if the path does not exist or holds no volume, or two cases would have the same output.
    """
    root = Path(image_path)
    paths = _images(root)
    groups = channel_groups(paths, in_channels, contrasts)
    counts = Counter(group.name for group in groups)
    cases = _told_apart([_case(group, root, counts[group.name] > 1) for group in groups])
    clashing = [output for output, count in Counter(case.output for case in cases).items() if count > 1]
    if clashing:
        files = ", ".join(str(case.files[0]) for case in cases if case.output == clashing[0])
        raise UserError(f"{files} would all be written to {clashing[0]}; give them different names or run them apart")
    return cases


def inputs_for(
    tasks: Sequence[TaskSpec], image_path: str | os.PathLike[str], series: str | None = None
) -> list[InputCase]:
    """As `find_inputs`, for networks that all see the image.

    Args:
        tasks: of the networks.
        image_path: see `find_inputs`.
        series: which series is meant, where the path is one DICOM folder with several: its SeriesInstanceUID or
            SeriesNumber.

    Raises:
        UserError: as `find_inputs`, and if `series` is given and the path is no DICOM folder.
    """
    contrasts = next((task.contrasts for task in tasks if task.contrasts), ())
    cases = find_inputs(image_path, max(task.files_per_image for task in tasks), contrasts)
    if series is None:
        return cases
    folder = Path(image_path)
    if [case.files for case in cases] != [(folder,)] or not folder.is_dir():
        raise UserError(f"--series is of one DICOM folder; --image_path {folder} is none, or holds other volumes too")
    return [replace(case, series=series) for case in cases]


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


@dataclass(frozen=True)
class Reference:
    """A label as it is compared with a prediction.

    Attributes:
        volume: of the image's shape.
        turned: whether its axes were turned to the image's.
        elsewhere: how its grid differs from the image's by its header; None if it does not.
    """

    volume: Volume
    turned: bool = False
    elsewhere: str | None = None


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

    def read(self, path: Path, image: Volume, task: TaskSpec | None = None) -> Reference:
        """The label on the image's grid: ids, or codes where the task has sigmoids.

        Raises:
            VolumeError: if it lies on another grid than the image, also when its axes are turned as the image's are.
        """
        label = read_label(path) if task is None else read_reference(path, task)
        told = has_directions(path) and (image.path is None or has_directions(image.path))
        turned = turned_onto(image, label) if told else None
        if turned is not None:
            return Reference(turned, turned=True)
        if label.shape != image.shape:
            raise VolumeError(f"{path}: has the shape {label.shape}, the image {image.shape}; it cannot be scored")
        return Reference(label, elsewhere=image.grid_difference(label) if told else None)


def _images(root: Path) -> list[Path]:
    """The volumes of a path; of a folder not the labels that lie among its images."""
    paths = find_volumes(root)
    if not root.is_dir() or paths == [root]:
        return paths
    images = images_among(paths, root)
    others = [str(path.relative_to(root)) for path in paths if path not in set(images)]
    if others:
        logger.info("%s: %d files are labels or derivatives and are skipped: %s", root, len(others), few(others, SHOWN))
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


def _case(group: ChannelGroup, root: Path, duplicate: bool) -> InputCase:
    name, files = group.name, group.files
    suffix = _output_suffix(files[0])
    folder = Path()
    if root.is_dir() and files[0] != root:
        folder = files[0].relative_to(root).parent
    elif duplicate:
        folder = Path(files[0].parent.name)
    return InputCase(str(folder / name) if duplicate else name, files, folder / f"{name}{suffix}", group.fault)
