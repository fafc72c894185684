"""Datasets: cases on disk to training samples.

The classes need Paddle and load on first use; lists, splits and checks in the modules below do without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medicalseg.datasets.components import (
        ACDC,
        Abdomen,
        CaseDataset,
        DecathlonDataset,
        ImageDataset,
        LungCoronavirus,
        MedicalDataset,
        MRISpineSeg,
        MSDDataset,
        PatchDataset,
        Promise12,
        msd_brain_dataset,
    )

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


def __getattr__(name: str) -> Any:
    if name in __all__:
        from medicalseg.datasets import components

        return getattr(components, name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
