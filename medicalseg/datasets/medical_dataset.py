"""Prepared arrays with list files, laid out as PaddleSeg3D does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medicalseg.cvlibs import manager
from medicalseg.cvlibs.effective import MEANINGLESS_DATASET, Caution
from medicalseg.datasets.base import CaseDataset, channels_and_ids, check_mode
from medicalseg.datasets.case import Case
from medicalseg.datasets.labels import names_by_id
from medicalseg.datasets.list_files import read_list, scan_list
from medicalseg.datasets.splits import LEAKING_NOTE
from medicalseg.errors import ConfigError, DataError
from medicalseg.inference.preprocess import GridRecord, Preprocessing
from medicalseg.inference.task import TaskSpec
from medicalseg.utils.files import read_json_object
from medicalseg.utils.logger import logger


@manager.DATASETS.add_component
class MedicalDataset(CaseDataset):
    """`images/*.npy` and `labels/*.npy` named by `train_list.txt`, `val_list.txt`, `test_list.txt`.

    Beside them may lie `dataset.json` (names, preprocessing, grids) and `originals/CASE.nii.gz` (labels on the original
    grid), which our prepare scripts write; with both, scores on the original grid are possible.

    Args:
        dataset_root: the folder with the lists.
        result_dir: kept for PaddleSeg3D's configurations; nothing is written there.
        transforms: what `Compose` runs.
        num_classes: classes, the background counted, or structures of head sigmoid, which does not count it; default:
            as many as `dataset.json` or the class names.
        mode: "train", "val" or "test"; chooses the list.
        ignore_index: label id that is neither trained nor scored.
        data_URL: where the data comes from, for the message when it is missing.
        dataset_json_path: `dataset.json`, if not in `dataset_root`; of two the one that records the preprocessing.
        repeat_times: how often the list is repeated in one epoch of training.
        normalize: last step, "max", "zscore" or "none"; default: as recorded in `dataset.json`, "max"
            where that records none, since the prepare scripts leave this step to the dataset.
        class_groups: ids per group name for reports; default: as recorded, else the dataset's own.
        slices: for networks that see images: {axis, num_slices, stride, edge}, see `SliceSpec`.
        foreground: share of training slices drawn from those with foreground, or "balanced"; see `CaseDataset`.
        head: "softmax", or "sigmoid" for structures 1 to K of their own (or a single one).
        threshold: probability from which on a sigmoid's structure is present.

    With head sigmoid a label may be masks (K, X, Y, Z) of structures that overlap.

    Raises:
        DataError: if the folder, a list or a file is missing or wrong.
        ConfigError: if an argument is wrong.
    """

    NUM_CLASSES: int | None = None
    LABELS: Mapping[int, str] = {}
    CLASS_GROUPS: Mapping[str, Sequence[int]] = {}
    HOW_TO_GET = ""

    def __init__(
        self,
        dataset_root: str,
        result_dir: str | None = None,
        transforms: Sequence[Any] | None = None,
        num_classes: int | None = None,
        mode: str = "train",
        ignore_index: int | None = 255,
        data_URL: str = "",  # noqa: N803 - PaddleSeg3D's name
        dataset_json_path: str = "",
        repeat_times: int = 10,
        *,
        normalize: str | None = None,
        class_groups: Mapping[str, Sequence[int]] | None = None,
        slices: Mapping[str, Any] | None = None,
        foreground: float | str | None = None,
        head: str = "softmax",
        threshold: float = 0.5,
    ) -> None:
        check_mode(mode)
        self.dataset_root = Path(dataset_root)
        self.result_dir = result_dir
        self._require_root(data_URL)
        self.description = _read_description(self.dataset_root, dataset_json_path)
        cases = read_list(self.dataset_root / f"{mode}_list.txt", self.dataset_root, label_required=mode != "test")
        task = self._task(num_classes, ignore_index, normalize, class_groups, cases, (head, threshold))
        super().__init__(cases, task, transforms, mode, repeat_times, slices=slices, foreground=foreground)

    @classmethod
    def without_effect(cls, arguments: Mapping[str, Any]) -> dict[str, str]:
        """Arguments of a configuration that change nothing here, each with the reason; none of a class outside the
        package, which may read them all.

        Args:
            arguments: the block of the configuration.
        """
        if not cls.__module__.startswith("medicalseg."):
            return {}
        reasons: dict[str, str] = {key: MEANINGLESS_DATASET[key] for key in ("result_dir", "data_URL")}
        path = arguments.get("dataset_json_path")
        if isinstance(path, str) and not Path(path).is_file():
            seen = "" if Path(path).is_absolute() else f" (seen from {Path.cwd()})"
            reasons["dataset_json_path"] = Caution(
                f"{path} does not exist{seen}; the dataset.json beside the lists is read, if there is one"
            )
        return {name: why for name, why in reasons.items() if arguments.get(name)}

    def load(self, case: Case) -> tuple[np.ndarray, np.ndarray | None]:
        """The two arrays, mapped: what is written to them stays in this process."""
        image = self.read_array(case.images[0])
        return image, None if case.label is None else _integers(self.read_array(case.label), case.label)

    def read_array(self, path: Path) -> np.ndarray:
        """The array of a file, mapped, (X, Y, Z) or (C, X, Y, Z).

        Raises:
            DataError: if it cannot be read or is something else.
        """
        return load_array(path)

    def record(self, index: int) -> GridRecord | None:
        """The case's `grid` in `dataset.json`."""
        content = self._entry(self.case(index)).get("grid")
        return None if content is None else GridRecord.from_dict(content)

    def _entry(self, case: Case) -> Mapping[str, Any]:
        for part in ("training", "test"):
            entries = self.description.get(part)
            entry = entries.get(case.name) if isinstance(entries, Mapping) else None
            if isinstance(entry, Mapping):
                return entry
        return {}

    def _require_root(self, url: str) -> None:
        root = self.dataset_root
        if not (root / "train_list.txt").is_file() and not any(root.glob("*_list.txt")):
            problem = "has no list files (train_list.txt, val_list.txt)" if root.is_dir() else "does not exist"
            hint = self.HOW_TO_GET or "prepare the dataset first (tools/prepare_*.py)"
            raise DataError(f"{root} {problem}: {hint}{f'; data from {url}' if url else ''}")

    def _task(
        self,
        num_classes: int | None,
        ignore_index: int | None,
        normalize: str | None,
        class_groups: Mapping[str, Sequence[int]] | None,
        cases: Sequence[Case],
        decision: tuple[str, float],
    ) -> TaskSpec:
        recorded = self.description
        labels = names_by_id(recorded["labels"], "dataset.json") if recorded.get("labels") else dict(self.LABELS)
        named = self.NUM_CLASSES or (max(labels) + 1 if labels else None)
        if num_classes is None and named is None:
            raise ConfigError(
                f"num_classes: give it, since {self.dataset_root} has no dataset.json that names the classes"
            )
        count, ids = channels_and_ids(num_classes, named or 0, decision[0])
        stored = self._steps(cases[0])
        recorded_normalize = stored.get("normalize", "none")
        stored["normalize"] = normalize or (recorded_normalize if recorded_normalize != "none" else "max")
        groups = class_groups if class_groups is not None else recorded.get("class_groups") or self.CLASS_GROUPS
        return TaskSpec(
            num_classes=count,
            labels={label: name for label, name in labels.items() if label < ids},
            class_groups=_fitting(groups, ids) if class_groups is None else {k: tuple(v) for k, v in groups.items()},
            preprocessing=Preprocessing.from_dict(stored),
            in_channels=self._channels(cases[0]),
            ignore_index=ignore_index,
            notes=self._leaks(),
            head=decision[0],
            threshold=decision[1],
        )

    def foreign_preprocessing(self, shape: tuple[int, ...]) -> Preprocessing | None:
        """What PaddleSeg3D's script of this dataset does to a raw volume; None where that is not known.

        Args:
            shape: of an array that it wrote.
        """
        return None

    @property
    def foreign(self) -> bool:
        """Whether the folder does not record how its arrays were made, as PaddleSeg3D's do not."""
        return "preprocessing" not in self.description

    def _steps(self, case: Case) -> dict[str, Any]:
        if not self.foreign:
            return dict(self.description["preprocessing"])
        steps = self.foreign_preprocessing(self._array(case).shape)
        logger.info(
            "%s does not record how its arrays were made: %s.",
            self.dataset_root,
            "prediction and deployment leave raw volumes as they are" if steps is None else "taken for PaddleSeg3D's",
        )
        return {} if steps is None else steps.to_dict()

    def _array(self, case: Case) -> np.ndarray:
        try:
            return self.read_array(case.images[0])
        except DataError as error:
            raise DataError(f"case {case.name}: {error}") from error

    def _channels(self, case: Case) -> int:
        array = self._array(case)
        return int(array.shape[0]) if array.ndim == 4 else 1

    def _leaks(self) -> tuple[str, ...]:
        declared = self.description.get("split")
        leaking = isinstance(declared, Mapping) and bool(declared.get("leaking", False))
        train, val = (self._listed(mode) for mode in ("train", "val"))
        if train & val:
            return (f"{LEAKING_NOTE}: {len(train & val)} of {len(val)}",)
        return (LEAKING_NOTE,) if leaking else ()

    def _listed(self, mode: str) -> set[Path]:
        path = self.dataset_root / f"{mode}_list.txt"
        if not path.is_file():
            return set()
        return {case.images[0] for case in scan_list(path, self.dataset_root, label_required=False)[0]}


def _fitting(groups: Any, count: int) -> dict[str, tuple[int, ...]]:
    """Recorded groups, without those that name ids a smaller `num_classes` does not have."""
    return {str(name): tuple(ids) for name, ids in groups.items() if all(0 <= label < count for label in ids)}


def _read_description(root: Path, given: str) -> dict[str, Any]:
    """The given description, or the folder's own where that is missing or does not record the preprocessing."""
    paths = [Path(given), root / "dataset.json"] if given else [root / "dataset.json"]
    found = [read_json_object(path) for path in paths if path.is_file()]
    if given and not paths[0].is_file():
        logger.warning(
            "dataset_json_path: %s does not exist; %s is used.", given, paths[1] if found else "no description"
        )
    return next((content for content in found if "preprocessing" in content), found[0] if found else {})


def load_array(path: Path, axes: Sequence[int] = (3, 4)) -> np.ndarray:
    """The array of an .npy file, mapped: what is written to it stays in this process.

    Args:
        path: the file.
        axes: how many it may have.

    Raises:
        DataError: if it cannot be read or is something else; names the file.
    """
    try:
        array = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: cannot be read as an array: {error}") from error
    if not isinstance(array, np.ndarray) or array.ndim not in axes or array.dtype.kind not in "biuf":
        raise DataError(f"{path}: expected an array (X, Y, Z) or (C, X, Y, Z) of numbers")
    return np.asarray(array)


def _integers(label: np.ndarray, path: Path) -> np.ndarray:
    if label.dtype.kind == "f":
        whole = np.rint(label)
        if not np.array_equal(whole, label):
            raise DataError(f"{path}: label has values that are no integers, such as {label[whole != label][0]}")
        label = whole
    return label if label.dtype in (np.uint8, np.int16, np.int32) else label.astype(np.int32)
