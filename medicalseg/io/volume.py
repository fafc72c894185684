"""`Volume`: an array with its place in the patient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medicalseg.errors import VolumeError
from medicalseg.io.geometry import SHEAR_TOLERANCE, axis_codes, corner_distance, format_numbers, shear_of, spacing_of


@dataclass(frozen=True, eq=False)
class Volume:
    """An image or a label map on a 3D grid.

    Args:
        array: (X, Y, Z) or (C, X, Y, Z), axes in the order NIfTI stores them. Its memory order is free; readers return
            Fortran-ordered arrays, because that is how the files are laid out. Real numbers only; bool becomes uint8.
        affine: (4, 4), voxel indices to mm, RAS.
        path: the file or folder it came from.
        meta: what else is known. `meta["labels"]` is true for label maps and survives resampling and reorientation.

    Raises:
        VolumeError: the array is not 3D or 4D, is empty, does not hold real numbers, or the affine is unusable.
    """

    array: np.ndarray
    affine: np.ndarray
    path: Path | None = field(default=None, kw_only=True)
    meta: Mapping[str, Any] = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        array = np.asarray(self.array)
        affine = np.array(self.affine, dtype=np.float64)
        if array.ndim not in (3, 4) or array.size == 0:
            raise VolumeError(f"a volume's array is (X, Y, Z) or (C, X, Y, Z) and not empty, not {array.shape}")
        if array.dtype.kind not in "biuf":
            raise VolumeError(f"a volume's array holds real numbers, not {array.dtype}")
        if affine.shape != (4, 4) or not np.isfinite(affine).all() or spacing_of(affine).min() <= 0:
            raise VolumeError("a volume's affine is 4x4, finite, and gives every axis a length")
        affine.setflags(write=False)
        object.__setattr__(self, "array", array.view(np.uint8) if array.dtype.kind == "b" else array)
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "path", None if self.path is None else Path(self.path))
        object.__setattr__(self, "meta", dict(self.meta or {}))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Grid size (X, Y, Z) in voxels, without the channel axis."""
        x, y, z = self.array.shape[-3:]
        return int(x), int(y), int(z)

    @property
    def channels(self) -> int:
        """Number of channels; 1 for an (X, Y, Z) array."""
        return int(self.array.shape[0]) if self.array.ndim == 4 else 1

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size in mm along the array's axes."""
        x, y, z = spacing_of(self.affine)
        return float(x), float(y), float(z)

    @property
    def origin(self) -> tuple[float, float, float]:
        """RAS position in mm of the centre of voxel (0, 0, 0)."""
        x, y, z = self.affine[:3, 3]
        return float(x), float(y), float(z)

    @property
    def direction(self) -> np.ndarray:
        """(3, 3) unit vectors of the array's axes, as columns, in RAS."""
        return self.affine[:3, :3] / spacing_of(self.affine)

    @property
    def axcodes(self) -> str:
        """The ends towards which the axes run, such as "RAS" or "PIL"."""
        return axis_codes(self.affine)

    @property
    def is_label(self) -> bool:
        """Whether this is a label map."""
        return bool(self.meta.get("labels", False))

    def with_array(self, array: np.ndarray, *, labels: bool | None = None) -> Volume:
        """Return a volume with the same grid, path and meta and other values.

        Args:
            array: (X, Y, Z) or (C, X, Y, Z) with this volume's grid size.
            labels: mark the result as a label map, or as an image; None keeps the mark.

        Raises:
            VolumeError: the grid size differs.
        """
        if np.shape(array)[-3:] != self.shape:
            raise VolumeError(f"an array of shape {np.shape(array)} does not fit the grid {self.shape}")
        meta = self.meta if labels is None else {**self.meta, "labels": labels}
        return Volume(array, self.affine, path=self.path, meta=meta)

    def same_grid(self, other: Volume, tolerance: float = 0.05) -> bool:
        """Return whether both have the same grid: `grid_difference` finds nothing."""
        return self.grid_difference(other, tolerance) is None

    def grid_difference(self, other: Volume, tolerance: float = 0.05) -> str | None:
        """Say in one line how the grid of `other` differs from this one, or return None.

        Args:
            other: the volume to compare with.
            tolerance: how far corner voxels may lie apart, as a part of the smallest voxel side.
        """
        if self.shape != other.shape:
            return f"shape {format_numbers(self.shape)} and {format_numbers(other.shape)}"
        distance = corner_distance(self.affine, other.affine, self.shape)
        if distance <= tolerance * min(*self.spacing, *other.spacing):
            return None
        if not np.allclose(self.spacing, other.spacing, rtol=1e-3):
            return f"spacing {format_numbers(self.spacing)} and {format_numbers(other.spacing)} mm"
        if self.axcodes != other.axcodes:
            return f"orientation {self.axcodes} and {other.axcodes}"
        if not np.allclose(self.direction, other.direction, atol=1e-3):
            return f"direction of the axes; corners lie up to {distance:.3g} mm apart"
        return f"origin; corners lie up to {distance:.3g} mm apart"

    @property
    def is_sheared(self) -> bool:
        """Whether the axes are clearly not at right angles (gantry tilt)."""
        return shear_of(self.affine) > SHEAR_TOLERANCE

    def __repr__(self) -> str:
        place = "" if self.path is None else f", path={str(self.path)!r}"
        size = " x ".join(str(size) for size in self.array.shape)
        return f"Volume({size} {self.array.dtype}, {format_numbers(self.spacing)} mm, {self.axcodes}{place})"
