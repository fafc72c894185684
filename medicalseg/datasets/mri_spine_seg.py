"""MRISpineSeg: sagittal T2 spine MR, vertebrae and discs by level."""

from __future__ import annotations

from medicalseg.cvlibs import manager
from medicalseg.datasets.medical_dataset import MedicalDataset

VERTEBRAE = ("L5", "L4", "L3", "L2", "L1", "T12", "T11", "T10", "T9")
DISCS = ("L5/S", "L4/L5", "L3/L4", "L2/L3", "L1/L2", "T12/L1", "T11/T12", "T10/T11", "T9/T10")
STRUCTURES = ("Background", "S", *VERTEBRAE, *DISCS)
SELDOM_IN_VIEW = (9, 10, 18, 19)


@manager.DATASETS.add_component
class MRISpineSeg(MedicalDataset):
    """Sacrum, vertebrae L5 to T9 and the discs between them; 172 labelled cases in the challenge's training set.

    Both class groups count the background, as PaddleSeg3D's published table does.

    Source: MRSpineSeg challenge (2021); on request from its organisers.
    """

    NUM_CLASSES = 20
    LABELS = dict(enumerate(STRUCTURES))  # noqa: RUF012
    CLASS_GROUPS = {  # noqa: RUF012
        "20 classes": tuple(range(20)),
        "16 classes*": tuple(label for label in range(20) if label not in SELDOM_IN_VIEW),
    }
    HOW_TO_GET = (
        "get MRSpineSeg from its organisers and run tools/prepare_mri_spine_seg.py, "
        "or make the built-in phantom with tools/prepare_mri_spine_seg.py --phantom"
    )
