"""What to say of files that belong to a dataset's cases and are not there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from medicalseg.datasets.case import Case
from medicalseg.datasets.decathlon_layout import FOLDERS
from medicalseg.datasets.layout import Layout
from medicalseg.io import suffix_of
from medicalseg.utils.words import counted, few

SHOWN = 3


def with_expected_labels(layout: Layout, cases: Sequence[Case], labels_dir: str | None = None) -> list[Case]:
    """Training cases, those without a label with the file that would be it, where a folder has no list of cases."""
    if layout.kind != "decathlon" or _is_listed(layout):
        return list(cases)
    folder = layout.root / (labels_dir or FOLDERS["training"][1])
    names = {case.name: f"{case.name}{layout.file_ending or suffix_of(case.images[0])}" for case in cases}
    return [case if case.label is not None else replace(case, label=folder / names[case.name]) for case in cases]


def missing_files(layout: Layout, cases: Sequence[Case], labels_dir: str | None = None) -> list[str]:
    """One sentence on the images that do not exist and one on the labels, each with what to do.

    Args:
        layout: the dataset.
        cases: labelled cases, from `with_expected_labels`.
        labels_dir: folder of the labels, if not as described.
    """
    images = [path for case in cases for path in case.images if not path.exists()]
    sentences = []
    if images:
        count = counted(len(images), "image does", "images do")
        sentences.append(f"{count} not exist: {few((shown_path(path, layout.root) for path in images), SHOWN)}")
    bare = [case for case in cases if case.label is None or not case.label.exists()]
    if bare:
        who = f"{counted(len(bare), 'case has', 'cases have')} no label: {few((case.name for case in bare), SHOWN)}"
        remedy = labels_folder_hint(layout, bare, labels_dir) or _remedy(layout, bare)
        sentences.append(f"{who}; {remedy}")
    return sentences


def labels_folder_hint(layout: Layout, cases: Sequence[Case], labels_dir: str | None = None) -> str | None:
    """Which folder may be meant, where the one that should hold the labels does not exist; None where it does."""
    gone = [case.label for case in cases if case.label is not None and not case.label.parent.is_dir()]
    if not gone:
        return None
    where = shown_path(gone[0].parent, layout.root)
    origin = "labels_dir" if labels_dir else layout.description.name if _is_listed(layout) else "nnU-Net's layout"
    others = _folders_with({path.name for path in gone}, layout.root, cases)
    if not others:
        return f"{origin} says {where}, which does not exist; name the folder of the labels with --labels_dir"
    found = f"{few(others, SHOWN)} {'has' if len(others) == 1 else 'have'} files of these names"
    return (
        f"{origin} says {where}, which does not exist; {found}: --labels_dir {others[0]} (labels_dir in a "
        "configuration)"
    )


def shown_path(path: Path, root: Path) -> str:
    """A path as seen from the dataset's folder; whole, where it lies elsewhere."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _remedy(layout: Layout, bare: Sequence[Case]) -> str:
    expected = next((case.label for case in bare if case.label is not None), None)
    add = "add the labels" if expected is None else f"add the labels ({shown_path(expected, layout.root)} ...)"
    listed = f" and their entries in {layout.description.name} to 'test'" if _is_listed(layout) else ""
    return f"{add}, or move the images to {FOLDERS['test'][0]}{listed}"


def _is_listed(layout: Layout) -> bool:
    listed = layout.content.get("training")
    return isinstance(listed, list) and bool(listed)


def _folders_with(names: set[str], root: Path, cases: Sequence[Case]) -> list[str]:
    """Folders that hold such files and are no images', the one with the most first."""
    images = {path.parent for case in cases for path in case.images}
    folders = [folder for folder in sorted(root.iterdir()) if folder.is_dir() and folder not in images]
    counts = {folder.name: sum((folder / name).is_file() for name in names) for folder in folders}
    return sorted((name for name, count in counts.items() if count), key=lambda name: -counts[name])
