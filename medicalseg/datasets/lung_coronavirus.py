"""LungCoronavirus: the two lungs in CT of COVID-19 patients."""

from __future__ import annotations

from medicalseg.cvlibs import manager
from medicalseg.datasets.class_tables import LUNG_CORONAVIRUS
from medicalseg.datasets.medical_dataset import MedicalDataset
from medicalseg.datasets.prepare.lung_coronavirus import preprocessing
from medicalseg.inference.preprocess import Preprocessing


@manager.DATASETS.add_component
class LungCoronavirus(MedicalDataset):
    """Left and right lung in 20 CT volumes.

    Source: Ma et al., "COVID-19 CT lung and infection segmentation dataset", Zenodo 3757476 (2020).
    """

    NUM_CLASSES = 3
    LABELS = LUNG_CORONAVIRUS
    HOW_TO_GET = "run tools/prepare_lung_coronavirus.py"

    def foreign_preprocessing(self, shape: tuple[int, ...]) -> Preprocessing:
        """See `MedicalDataset`."""
        return preprocessing((shape[0], shape[1], shape[2]))
