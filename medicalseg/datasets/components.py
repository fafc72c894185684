"""All dataset classes; importing this registers them."""

from medicalseg.datasets.abdomen import Abdomen
from medicalseg.datasets.acdc import ACDC
from medicalseg.datasets.base import CaseDataset
from medicalseg.datasets.decathlon import DecathlonDataset
from medicalseg.datasets.image_dataset import ImageDataset
from medicalseg.datasets.lung_coronavirus import LungCoronavirus
from medicalseg.datasets.medical_dataset import MedicalDataset
from medicalseg.datasets.mri_spine_seg import MRISpineSeg
from medicalseg.datasets.msd_brain import msd_brain_dataset
from medicalseg.datasets.msd_dataset import MSDDataset
from medicalseg.datasets.patch_dataset import PatchDataset
from medicalseg.datasets.prostate import Promise12

__all__ = [
    "ACDC",
    "Abdomen",
    "CaseDataset",
    "DecathlonDataset",
    "ImageDataset",
    "LungCoronavirus",
    "MRISpineSeg",
    "MSDDataset",
    "MedicalDataset",
    "PatchDataset",
    "Promise12",
    "msd_brain_dataset",
]
