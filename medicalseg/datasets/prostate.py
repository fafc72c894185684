"""Promise12: transversal T2 MR of the prostate, the whole gland."""

from __future__ import annotations

from medicalseg.cvlibs import manager
from medicalseg.datasets.class_tables import PROSTATE
from medicalseg.datasets.medical_dataset import MedicalDataset
from medicalseg.datasets.prepare.prostate import preprocessing
from medicalseg.inference.preprocess import Preprocessing


@manager.DATASETS.add_component
class Promise12(MedicalDataset):
    """The prostate in 50 labelled MR volumes of several hospitals and scanners, with and without endorectal coil.

    Source: Litjens et al., "Evaluation of prostate segmentation algorithms for MRI: the PROMISE12 challenge", Medical
    Image Analysis 18(2) (2014); promise12.grand-challenge.org.
    """

    NUM_CLASSES = 2
    LABELS = PROSTATE
    HOW_TO_GET = "get PROMISE12 (promise12.grand-challenge.org) and run tools/prepare_prostate.py"

    def foreign_preprocessing(self, shape: tuple[int, ...]) -> Preprocessing:
        """See `MedicalDataset`."""
        return preprocessing((shape[0], shape[1], shape[2]))
