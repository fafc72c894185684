"""ACDC: the ventricles and the myocardium in short-axis cine MR of the heart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medicalseg.cvlibs import manager
from medicalseg.datasets.class_tables import ACDC as NAMES
from medicalseg.datasets.medical_dataset import MedicalDataset
from medicalseg.errors import ConfigError
from medicalseg.inference.nnformer_helper import heart_preprocessing
from medicalseg.inference.preprocess import Preprocessing

USUAL_ORIENTATION = "SLP"


@manager.DATASETS.add_component
class ACDC(MedicalDataset):
    """Both ventricles and the myocardium of 100 patients at end of diastole and systole.

    An image is (Z, X, Y), slices first, as PaddleSeg3D's arrays and published weights have it. A folder that
    PaddleSeg3D's script has prepared is read too, without the way back to the original grid.

    Source: Bernard et al., "Deep Learning Techniques for Automatic MRI Cardiac Multi-Structures Segmentation and
    Diagnosis: Is the Problem Solved?", IEEE TMI 37(11) (2018).

    Args:
        dataset_root: the folder with the lists.
        result_dir: kept for PaddleSeg3D's configurations; nothing is written there.
        transforms: what `Compose` runs.
        num_classes: classes, the background counted; default: 4.
        epoch_batches: samples of one epoch of training, whatever the number of cases.
        mode: "train", "val" or "test"; chooses the list.
        dataset_json_path: `dataset.json`, if not in `dataset_root`.
        ignore_index: label id that is neither trained nor scored.
        normalize: last step, see `MedicalDataset`.
        class_groups: ids per group name for reports.
        slices: for networks that see images: {axis: 0, ...}, see `SliceSpec`.
        foreground: share of training slices drawn from those with foreground, or "balanced"; see `CaseDataset`.

    Raises:
        DataError: if the folder, a list or a file is missing or wrong.
        ConfigError: if an argument is wrong.
    """

    NUM_CLASSES = 4
    LABELS = NAMES
    HOW_TO_GET = (
        "get ACDC from its challenge's page and run tools/prepare_acdc.py --raw_dir FOLDER "
        "(--dataset_root: the folder above the missing one)"
    )

    def __init__(
        self,
        dataset_root: str,
        result_dir: str | None = None,
        transforms: Sequence[Any] | None = None,
        num_classes: int | None = None,
        epoch_batches: int = 1000,
        mode: str = "train",
        dataset_json_path: str = "",
        ignore_index: int | None = 255,
        *,
        normalize: str | None = "zscore",
        class_groups: Mapping[str, Sequence[int]] | None = None,
        slices: Mapping[str, Any] | None = None,
        foreground: float | str | None = None,
    ) -> None:
        if isinstance(epoch_batches, bool) or not isinstance(epoch_batches, int) or epoch_batches < 1:
            raise ConfigError(f"epoch_batches: expected a positive integer, got {epoch_batches!r}")
        self.epoch_batches = epoch_batches
        super().__init__(
            dataset_root, result_dir, transforms, num_classes, mode, ignore_index, "", dataset_json_path, 1,
            normalize=normalize, class_groups=class_groups, slices=slices, foreground=foreground,
        )  # fmt: skip

    def __len__(self) -> int:
        return self.epoch_batches if self.mode == "train" else super().__len__()

    def foreign_preprocessing(self, shape: tuple[int, ...]) -> Preprocessing:
        """See `MedicalDataset`; of images stored along L, P and S."""
        return heart_preprocessing(USUAL_ORIENTATION)
