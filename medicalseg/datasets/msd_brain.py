"""msd_brain_dataset: gliomas in brain MR, four contrasts."""

from __future__ import annotations

import numpy as np

from medicalseg.cvlibs import manager
from medicalseg.datasets.case import Case
from medicalseg.datasets.class_tables import MSD_BRAIN
from medicalseg.datasets.medical_dataset import MedicalDataset
from medicalseg.datasets.prepare.msd_brain_seg import preprocessing
from medicalseg.errors import DataError
from medicalseg.inference.preprocess import Preprocessing


@manager.DATASETS.add_component
class msd_brain_dataset(MedicalDataset):  # noqa: N801 - PaddleSeg3D's name
    """Oedema and parts of the tumour in 484 cases of FLAIR, T1, T1 with contrast agent and T2.

    An image is (4, Z, Y, X), towards the head, the front and the right, as PaddleSeg3D's arrays are. A folder that
    PaddleSeg3D's script has prepared is read too, without the way back to the original grid.

    Source: Antonelli et al., "The Medical Segmentation Decathlon", Nat. Commun. 13, 4128 (2022), Task01_BrainTumour.
    """

    NUM_CLASSES = 4
    LABELS = MSD_BRAIN
    HOW_TO_GET = (
        "get Task01_BrainTumour.tar of the Medical Segmentation Decathlon (medicaldecathlon.com) and run "
        "tools/prepare_msd_brain_seg.py --archive Task01_BrainTumour.tar (--dataset_root: the folder above the missing "
        "one)"
    )

    def foreign_preprocessing(self, shape: tuple[int, ...]) -> Preprocessing:
        """See `MedicalDataset`."""
        return preprocessing()

    def load(self, case: Case) -> tuple[np.ndarray, np.ndarray | None]:
        """Image (4, Z, Y, X) and label (Z, Y, X).

        Raises:
            DataError: the case has another number of contrasts than the first one.
        """
        image, label = super().load(case)
        found = len(image) if image.ndim == 4 else 1
        if found != self.task.in_channels:
            raise DataError(
                f"{case.images[0]}: has {found} contrasts, {self.cases[0].name} has {self.task.in_channels}; all cases "
                "of a dataset need the same"
            )
        return image, label
