"""PaddleSeg3D's list files: one case a line, `images/NAME.npy labels/NAME.npy`, relative to the dataset's folder.

A tab between the two paths always separates them. Without a tab the line is cut at white space; if that gives more
than two parts (names with spaces), at the one space for which both sides are existing files.
"""

from __future__ import annotations

from pathlib import Path

from medicalseg.datasets.case import Case
from medicalseg.datasets.text_files import read_lines
from medicalseg.errors import DataError

SUFFIXES = (".npy",)


def read_list(path: Path, root: Path, *, label_required: bool) -> list[Case]:
    """The cases of a list file, in its order.

    Args:
        path: the list file.
        root: folder that its paths start from.
        label_required: whether a line with an image alone is an error.

    Raises:
        DataError: if the file is missing, empty, a line cannot be understood, a file is missing or a case is listed
            twice; names file and line.
    """
    cases, problems = scan_list(path, root, label_required=label_required)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise DataError(f"{problems[0]}{more}")
    if not cases:
        raise DataError(f"{path}: lists no case")
    return cases


def scan_list(path: Path, root: Path, *, label_required: bool) -> tuple[list[Case], list[str]]:
    """The cases of a list file that are in order, and one line for each that is not.

    Raises:
        DataError: if the file cannot be read at all.
    """
    cases: dict[str, Case] = {}
    problems = []
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            case = _case(line.strip(), root, where, label_required)
        except DataError as error:
            problems.append(str(error))
            continue
        if case.name in cases:
            problems.append(f"{where}: case {case.name} is listed twice")
        cases[case.name] = case
    return list(cases.values()), problems


def _case(line: str, root: Path, where: str, label_required: bool) -> Case:
    image_text, label_text = cut_line(line, root, where)
    if label_text is None and label_required:
        raise DataError(f"{where}: expected 'IMAGE LABEL', found one path: {line!r}")
    image = root / image_text
    label = None if label_text is None else root / label_text
    for path in (image, label):
        if path is not None and not path.is_file():
            raise DataError(f"{where}: {path} does not exist")
    name = stem(image.name)
    original = root / "originals" / f"{name}.nii.gz"
    return Case(name, (image,), label, original if original.is_file() else None)


def cut_line(line: str, root: Path, where: str) -> tuple[str, str | None]:
    """Image and label of a line; None if it names an image alone.

    Raises:
        DataError: if the two cannot be told apart.
    """
    line = line.replace("\\", "/")
    parts = [part.strip() for part in line.split("\t")] if "\t" in line else line.split()
    if len(parts) == 1:
        return parts[0], None
    if len(parts) == 2 and ("\t" in line or not (root / line).is_file()):
        return parts[0], parts[1]
    if "\t" not in line:
        if (root / line).is_file():
            return line, None
        cuts = [(line[:at].strip(), line[at:].strip()) for at, letter in enumerate(line) if letter == " "]
        cuts = [cut for cut in dict.fromkeys(cuts) if all((root / part).is_file() for part in cut)]
        if len(cuts) == 1:
            return cuts[0]
    raise DataError(f"{where}: cannot tell image from label in {line!r}; put a tab between the two paths")


def stem(name: str) -> str:
    """File name without the array suffix: "Case 1.v2.npy" gives "Case 1.v2"."""
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name
