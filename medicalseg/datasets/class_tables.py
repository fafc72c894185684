"""Ids and names of the classes of known datasets; needs no Paddle, so preparations and the phantom use it too."""

from __future__ import annotations

_VERTEBRAE = ("L5", "L4", "L3", "L2", "L1", "T12", "T11", "T10", "T9")
_DISCS = ("L5/S", "L4/L5", "L3/L4", "L2/L3", "L1/L2", "T12/L1", "T11/T12", "T10/T11", "T9/T10")
_SELDOM_IN_VIEW = (9, 10, 18, 19)

MRI_SPINE_SEG = dict(enumerate(("Background", "S", *_VERTEBRAE, *_DISCS)))
"""MRISpineSeg: sacrum, vertebrae from below, discs from below."""

MRI_SPINE_SEG_GROUPS = {
    "20 classes": tuple(MRI_SPINE_SEG),
    "16 classes*": tuple(label for label in MRI_SPINE_SEG if label not in _SELDOM_IN_VIEW),
}
"""The two means of PaddleSeg3D's published table; both count the background."""

LUNG_CORONAVIRUS = {0: "background", 1: "left lung", 2: "right lung"}
"""LungCoronavirus."""

PROSTATE = {0: "background", 1: "prostate"}
"""Promise12."""

ABDOMEN = dict(
    enumerate(
        (
            *("background", "spleen", "right kidney", "left kidney", "gallbladder"),
            *("liver", "stomach", "aorta", "pancreas"),
        )
    )
)
"""Abdomen: eight of the 13 organs of the Synapse (BTCV) challenge."""

ABDOMEN_OF_SYNAPSE = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 0, 6: 5, 7: 6, 8: 7, 9: 0, 10: 0, 11: 8, 12: 0, 13: 0}
"""Ids of Abdomen for those in the challenge's files; oesophagus, veins and adrenal glands become background."""

MSD_BRAIN = {0: "background", 1: "edema", 2: "non-enhancing tumor", 3: "enhancing tumour"}
"""msd_brain_dataset, in the words of the Decathlon's own description."""

ACDC = {0: "background", 1: "right ventricle", 2: "myocardium", 3: "left ventricle"}
"""ACDC: the cavities, and the wall of the left ventricle."""
