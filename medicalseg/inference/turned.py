"""Volumes of one grid whose axes were stored in another order or direction."""

from __future__ import annotations

from medicalseg.io import Volume, reorient


def turned_onto(fixed: Volume, moving: Volume) -> Volume | None:
    """The second volume with its axes as the first has them, if that makes the grids one; None where nothing is won."""
    if fixed.grid_difference(moving) is None or fixed.axcodes == moving.axcodes:
        return None
    turned = reorient(moving, fixed.axcodes)
    return turned if fixed.grid_difference(turned) is None else None
