"""Folders as BIDS has them: sub-*/[ses-*/]anat/*_T2w.nii.gz, with labels under derivatives/, or all in one folder.

Names are pairs `key-value` joined by `_`, with the contrast or the kind of label at the end
(Gorgolewski et al., "The brain imaging data structure", Sci. Data 3, 160044 (2016)). Contrasts of one subject, session
and run are channels of one case, in the alphabetical order of their suffixes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from medicalseg.datasets.case import Case
from medicalseg.datasets.label_tables import first_label_table
from medicalseg.datasets.layout import Layout, gap_arguments
from medicalseg.datasets.volume_files import volumes_at
from medicalseg.errors import DataError
from medicalseg.io import case_name, is_picture, is_volume
from medicalseg.io.bids_name import LABEL_SUFFIXES, BidsName

ROOTS = ("", "rawdata/")
PLACES = ("", "ses-*/", "anat/", "ses-*/anat/")
PATIENT = r"^(sub-[^_]+)"


def is_bids(root: Path) -> bool:
    """Whether a folder has volumes of subjects where BIDS puts them."""
    return next(iter(_image_files(root, None)), None) is not None


def read_bids(root: Path) -> Layout:
    """The layout of a BIDS-like folder; names of labels from dseg.tsv or dseg.json, the one closest to a label first.

    Raises:
        DataError: if a table is wrong.
    """
    labels = _label_files(root, None)
    beside = [path.with_name(f"{case_name(path)}{ending}") for path in labels[:1] for ending in (".tsv", ".json")]
    folders = [folder for path in labels[:1] for folder in path.parents if root in (folder, *folder.parents)]
    shared = [path for folder in folders for path in sorted([*folder.glob("*dseg.tsv"), *folder.glob("*dseg.json")])]
    names = first_label_table([*beside, *(path for path in shared if not path.name.startswith("sub-"))])
    description = root / "dataset_description.json"
    groups = _groups(root, None)
    return Layout(
        root=root,
        description=description if description.is_file() else root,
        content={},
        labels=names,
        ignore_index=None,
        channels=_contrasts(groups, _partners(groups, {BidsName.of(path).case: path for path in labels})),
        kind="bids",
        label_arguments=gap_arguments(names, ()),
        group_pattern=PATIENT,
    )


def bids_cases(layout: Layout, part: str, images_dir: str | None, labels_dir: str | None) -> list[Case]:
    """Cases of a part: "training" has labels, "test" has none.

    Args:
        layout: from `read_bids`.
        part: "training" or "test".
        images_dir: pattern of image files, `sub-*/anat/*_T2w.nii.gz`, to choose contrasts.
        labels_dir: folder under which labels are looked for, or pattern of label files.

    Raises:
        DataError: if a case has several labels.
    """
    groups = _groups(layout.root, images_dir)
    labels = _partners(groups, _labels_by_case(layout.root, labels_dir))
    contrasts = _contrasts(groups, labels)
    cases = []
    for name, files in groups.items():
        label = labels.get(name)
        if (label is None) != (part == "test"):
            continue
        first = next(iter(files.values()))
        expected = {suffix: first.with_name(f"{name}_{suffix}.nii.gz") for suffix in contrasts}
        images = tuple(files.get(suffix, expected[suffix]) for suffix in contrasts)
        cases.append(Case(name, images, label, label))
    return sorted(cases, key=lambda case: case.name)


def labels_without_image(root: Path) -> list[Path]:
    """Labels that no case has.

    Raises:
        DataError: if a case has several labels.
    """
    labels = _labels_by_case(root, None)
    used = set(_partners(_groups(root, None), labels).values())
    return [path for path in labels.values() if path not in used]


def _image_files(root: Path, pattern: str | None) -> Iterable[Path]:
    patterns = [pattern] if pattern else [f"{top}sub-*/{place}sub-*" for top in ROOTS for place in PLACES]
    found = [path for item in patterns for path in sorted(root.glob(item))]
    found += [] if pattern else _flat(root)
    return (path for path in found if path.is_file() and is_volume(path) and not BidsName.of(path).is_label)


def _flat(root: Path) -> list[Path]:
    """Volumes of subjects in the folder itself, as in VerSe: `sub-x_ct` beside `sub-x_seg-vert_msk`."""
    files = (path for path in sorted(root.glob("sub-*")) if path.is_file() and is_volume(path))
    return [path for path in files if BidsName.of(path).is_bids and not is_picture(path)]


def _groups(root: Path, images_dir: str | None) -> dict[str, dict[str, Path]]:
    """Files by case and contrast."""
    if images_dir is not None and "*" not in images_dir:
        raise DataError(f"images_dir: of a BIDS folder expected a pattern as sub-*/anat/*_T2w.nii.gz, got {images_dir}")
    groups: dict[str, dict[str, Path]] = {}
    for path in _image_files(root, images_dir):
        name = BidsName.of(path)
        known = groups.setdefault(name.case, {})
        if name.suffix in known:
            raise DataError(f"{path} and {known[name.suffix]}: two images of {name.case} with the suffix {name.suffix}")
        known[name.suffix] = path
    return dict(sorted(groups.items()))


def _label_files(root: Path, labels_dir: str | None) -> list[Path]:
    if labels_dir is not None and "*" in labels_dir:
        return volumes_at(root, labels_dir)
    top = root / (labels_dir or "derivatives")
    chosen = _first_kind(_files(top, "**/sub-*"))
    if labels_dir is None and not chosen:
        chosen = _first_kind([*_files(root, "sub-*/**/sub-*"), *_flat(root)])
    return chosen


def _files(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if path.is_file() and is_volume(path))


def _first_kind(files: Sequence[Path]) -> list[Path]:
    """The labels among files: those with `dseg`; where there is none, those with another suffix of labels."""
    for suffixes in LABEL_SUFFIXES:
        chosen = [path for path in files if BidsName.of(path).suffix in suffixes]
        if chosen:
            return chosen
    return []


def _labels_by_case(root: Path, labels_dir: str | None) -> dict[str, Path]:
    labels: dict[str, Path] = {}
    for path in _label_files(root, labels_dir):
        name = BidsName.of(path).case
        if name in labels:
            pattern = "labels_dir: derivatives/NAME, or a pattern as derivatives/**/*_desc-manual_dseg.nii.gz"
            raise DataError(f"{path} and {labels[name]}: two labels of {name}; choose with {pattern}")
        labels[name] = path
    return labels


def _partners(groups: dict[str, dict[str, Path]], labels: dict[str, Path]) -> dict[str, Path]:
    """Labels by case: of the same entities, else of all but some of them, where only one case has these."""
    partners = {name: path for name, path in labels.items() if name in groups}
    for other, path in labels.items():
        if other not in groups:
            candidates = [name for name in groups if set(other.split("_")) < set(name.split("_"))]
            if len(candidates) == 1:
                partners.setdefault(candidates[0], path)
    return partners


def _contrasts(groups: dict[str, dict[str, Path]], labels: dict[str, Path]) -> tuple[str, ...]:
    """Suffixes that more than half of the labelled cases have; of all cases, where none has a label."""
    labelled = [files for name, files in groups.items() if name in labels]
    return _common(labelled or list(groups.values()))


def _common(cases: Sequence[dict[str, Path]]) -> tuple[str, ...]:
    counts = Counter(suffix for files in cases for suffix in files)
    return tuple(sorted(suffix for suffix, count in counts.items() if 2 * count > len(cases)))
