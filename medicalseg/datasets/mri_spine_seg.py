"""MRISpineSeg: sagittal T2 spine MR, vertebrae and discs by level."""

from __future__ import annotations

from medicalseg.cvlibs import manager
from medicalseg.datasets.class_tables import MRI_SPINE_SEG, MRI_SPINE_SEG_GROUPS
from medicalseg.datasets.medical_dataset import MedicalDataset
from medicalseg.datasets.prepare.mri_spine_seg import preprocessing
from medicalseg.inference.preprocess import Preprocessing


@manager.DATASETS.add_component
class MRISpineSeg(MedicalDataset):
    """Sacrum, vertebrae L5 to T9 and the discs between them; 172 labelled cases in the challenge's training set.

    Both class groups count the background, as PaddleSeg3D's published table does.

    Source: MRSpineSeg challenge (2021); on request from its organisers.
    """

    NUM_CLASSES = 20
    LABELS = MRI_SPINE_SEG
    CLASS_GROUPS = MRI_SPINE_SEG_GROUPS
    HOW_TO_GET = (
        "get MRSpineSeg from its organisers and run tools/prepare_mri_spine_seg.py, "
        "or make the built-in phantom with tools/prepare_mri_spine_seg.py --phantom "
        "(--dataset_root: the folder above the missing one; the quick start's data: tools/quickstart.py)"
    )

    def foreign_preprocessing(self, shape: tuple[int, ...]) -> Preprocessing:
        """See `MedicalDataset`."""
        return preprocessing((shape[0], shape[1], shape[2]))
