"""Ids and names against PaddleSeg3D's list and its published means."""

from __future__ import annotations

from medicalseg.datasets.class_tables import MRI_SPINE_SEG, MRI_SPINE_SEG_GROUPS

UPSTREAM = (
    "0 Background, 1 S, 2 L5, 3 L4, 4 L3, 5 L2, 6 L1, 7 T12, 8 T11, 9 T10, 10 T9, 11 L5/S, 12 L4/L5, 13 L3/L4, "
    "14 L2/L3, 15 L1/L2, 16 T12/L1, 17 T11/T12, 18 T10/T11, 19 T9/T10"
)


def test_spine():
    assert ", ".join(f"{label} {name}" for label, name in MRI_SPINE_SEG.items()) == UPSTREAM
    assert MRI_SPINE_SEG_GROUPS["20 classes"] == tuple(range(20))
    left_out = set(MRI_SPINE_SEG) - set(MRI_SPINE_SEG_GROUPS["16 classes*"])
    assert {MRI_SPINE_SEG[label] for label in left_out} == {"T10", "T9", "T10/T11", "T9/T10"}
