"""Which prediction belongs to which reference, by name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medicalseg.errors import DataError, UserError
from medicalseg.inference.inputs import CHANNEL
from medicalseg.inference.outputs import structure_paths
from medicalseg.inference.task import TaskSpec
from medicalseg.io import case_name, find_volumes, has_directions, suffix_of
from medicalseg.io.bids_name import label_of, labels_among
from medicalseg.io.numpy_file import SUFFIXES as ARRAYS
from medicalseg.utils.logger import logger
from medicalseg.utils.words import counted, few

UNCERTAINTY = "_uncertainty"


@dataclass(frozen=True)
class Pair:
    """A reference and what was predicted for it; None if nothing was."""

    name: str
    reference: Path
    prediction: Path | None


@dataclass(frozen=True)
class Pairs:
    """All references in order, and the predictions that none of them asks for."""

    pairs: tuple[Pair, ...]
    unused: tuple[Path, ...]

    @property
    def missing(self) -> list[str]:
        """Names of the references without a prediction."""
        return [pair.name for pair in self.pairs if pair.prediction is None]


def find_pairs(
    pred_dir: str | os.PathLike[str], ref_dir: str | os.PathLike[str], task: TaskSpec | None = None
) -> Pairs:
    """Match the label maps of two folders by their names without suffix, whatever their formats.

    A channel number at the end of a name (CASE_0000) counts where there is no other match, and so do BIDS' names: the
    reference of sub-01_T1w may be sub-01_desc-manual_dseg, also that of sub-01_T2w. Two single files are a pair,
    whatever they are called. NumPy arrays beside a file of the same name that has a geometry, such as the probabilities
    that nnU-Net writes, are left aside.

    Args:
        pred_dir: a folder (searched with its subfolders), a .txt list or one label map.
        ref_dir: likewise.
        task: where structures overlap, pictures CASE_STRUCTURE.png are found as CASE.

    Raises:
        UserError: if a path does not exist or holds no volume, or a name occurs twice.
        DataError: if no name matches.
    """
    predictions = _by_name(pred_dir, find_volumes(pred_dir), task)
    references = _by_name(ref_dir, labels_among(find_volumes(ref_dir)), task)
    if _is_file(pred_dir) and _is_file(ref_dir):
        name, reference = next(iter(references.items()))
        return Pairs((Pair(name, reference, next(iter(predictions.values()))),), ())
    same = {name: _found(name, predictions) for name in references}
    subjects = _of_subjects({name: path for name, path in references.items() if same[name] is None}, predictions)
    pairs = tuple(
        pair for name, path in references.items() for pair in subjects.get(path) or [Pair(name, path, same[name])]
    )
    used = {pair.prediction for pair in pairs}
    if used == {None}:
        raise DataError(
            f"no prediction in {pred_dir} has the name of a reference in {ref_dir}: "
            f"predictions {_few(list(predictions))}; references {_few(list(references))}"
        )
    return Pairs(pairs, tuple(path for path in predictions.values() if path not in used))


def _is_file(path: str | os.PathLike[str]) -> bool:
    return Path(path).is_file() and Path(path).suffix != ".txt"


def _of_subjects(references: dict[str, Path], predictions: dict[str, Path]) -> dict[Path, list[Pair]]:
    """By reference, the predictions whose subject it is of, as BIDS names them."""
    found: dict[Path, list[Pair]] = {}
    for name, prediction in predictions.items():
        reference = None if name.endswith(UNCERTAINTY) else label_of(name, references.values())
        if reference is not None:
            found.setdefault(reference, []).append(Pair(name, reference, prediction))
    return found


def _by_name(path: str | os.PathLike[str], files: Sequence[Path], task: TaskSpec | None) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in _without_arrays_beside(path, _joined(files, task)):
        name = case_name(file)
        if name in found:
            raise UserError(f"{path}: {found[name]} and {file} have the same name; which of them is meant?")
        found[name] = file
    return found


def _without_arrays_beside(path: str | os.PathLike[str], files: Sequence[Path]) -> list[Path]:
    """The files but the arrays of whose name there is also something with a geometry."""
    located = {case_name(file) for file in files if has_directions(file)}
    aside = [file for file in files if suffix_of(file) in ARRAYS and case_name(file) in located]
    if aside:
        logger.info(
            "%s: %s left aside, as there are files of the same names that have a geometry: %s",
            path,
            counted(len(aside), "array is", "arrays are"),
            few([file.name for file in aside]),
        )
    return [file for file in files if file not in set(aside)]


def _joined(files: Sequence[Path], task: TaskSpec | None) -> list[Path]:
    """The files, with pictures of a case's structures replaced by the one name that stands for them."""
    if task is None or not task.overlapping:
        return list(files)
    endings = [path.stem.removeprefix("x") for path in structure_paths(Path("x.png"), task)]
    there, joined = set(files), dict[Path, None]()
    for file in files:
        stem = next((file.stem[: -len(end)] for end in endings if file.stem.endswith(end)), None)
        whole = file if stem is None else file.with_name(f"{stem}{file.suffix}")
        if stem is not None and not there.issuperset(structure_paths(whole, task)):
            whole = file
        joined[whole] = None
    return list(joined)


def _found(name: str, predictions: dict[str, Path]) -> Path | None:
    if name in predictions:
        return predictions[name]
    match = CHANNEL.match(name)
    if match and match["case"] in predictions:
        return predictions[match["case"]]
    return predictions.get(f"{name}_0000")


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f", … ({len(names)})" if len(names) > 3 else "")
