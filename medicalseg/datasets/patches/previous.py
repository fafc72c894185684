"""Labels of an earlier stage as input of the next one (a cascade)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medicalseg.datasets.case import Case
from medicalseg.datasets.case_reader import CaseReader
from medicalseg.errors import ConfigError, DataError
from medicalseg.inference.preprocess import GridRecord
from medicalseg.io import read_label

ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha")
OF_FOLDS, POSTPROCESSED = "fold_*/validation", "fold_*/validation_postprocessed"


@dataclass(frozen=True)
class PreviousStage:
    """Label maps that an earlier network gave.

    Attributes:
        folder: has CASE.nii.gz, or in fold_K/validation those of each fold's validation cases, as `medicalseg crossval`
            writes them: of a network that has not been trained on the case. Where fold_K/validation_postprocessed has
            the case, that map is taken, because prediction postprocesses as well.
        classes: foreground ids 1 to this number; each becomes a channel of the input.

    Raises:
        ConfigError: if an attribute is wrong.
    """

    folder: Path
    classes: int

    def __post_init__(self) -> None:
        if isinstance(self.classes, bool) or not isinstance(self.classes, int) or self.classes < 1:
            raise ConfigError(
                f"previous_classes: expected the number of foreground classes of 'previous', got {self.classes!r}"
            )
        if not self.folder.is_dir():
            raise ConfigError(f"previous: {self.folder} does not exist or is not a folder")

    def path(self, case: Case) -> Path:
        """The case's label map.

        Raises:
            DataError: if there is none, or there are several.
        """
        for folders in (self.folder.glob(POSTPROCESSED), [self.folder, *self.folder.glob(OF_FOLDS)]):
            names = [folder / f"{case.name}{ending}" for folder in sorted(folders) for ending in ENDINGS]
            found = [path for path in names if path.is_file()]
            if len(found) == 1:
                return found[0]
            if found:
                listed = ", ".join(map(str, found))
                raise DataError(f"case {case.name}: several label maps of the earlier stage: {listed}")
        raise DataError(
            f"case {case.name}: no {case.name}.nii.gz in {self.folder} or its {OF_FOLDS}; run the earlier stage's "
            "crossval, or predict the case with it"
        )

    def read(self, case: Case, reader: CaseReader, record: GridRecord) -> np.ndarray:
        """Ids uint8 (X, Y, Z) on the network's grid.

        Raises:
            DataError: if the label map is not of the case's image, or has other ids.
        """
        path = self.path(case)
        labels = reader.labels_on_grid(read_label(path), record, f"previous ({path.name})")
        if labels.min() < 0 or labels.max() > self.classes:
            raise DataError(f"{path}: ids {labels.min()} to {labels.max()}; previous_classes is {self.classes}")
        return labels.astype(np.uint8)

    def settings(self) -> list[Any]:
        """What the result depends on, beside files."""
        return [self.classes]


def joined(label: np.ndarray, earlier: np.ndarray) -> np.ndarray:
    """Two label maps as one of 64 bits, so that transforms move both alike; 0 stays 0."""
    pair = np.stack([label, earlier], -1).astype(np.int32)
    return np.ascontiguousarray(pair).view(np.int64)[..., 0]


def parted(both: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inverse of `joined`."""
    pair = np.ascontiguousarray(both).view(np.int32).reshape(*both.shape, 2)
    return pair[..., 0], pair[..., 1]
