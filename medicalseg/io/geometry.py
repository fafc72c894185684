"""Affines: axis codes, spacing, the checks every reader makes, and the change between LPS and RAS.

An affine is 4x4, takes voxel indices (x, y, z) to millimetres, and its world axes run to the patient's Right, Anterior
and Superior (RAS). ITK, DICOM, NRRD and MetaImage use LPS, which differs in the sign of the first two rows.
"""

from __future__ import annotations

import itertools

import numpy as np

from medicalseg.errors import VolumeError

SHEAR_TOLERANCE = 2e-3
"""Largest cosine between two axes that still counts as a right angle (0.1 degree; headers round to 4 digits)."""

_LETTERS = ("LR", "PA", "IS")
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def swap_lps_ras(affine: np.ndarray) -> np.ndarray:
    """Return the affine with the first two world axes reversed: LPS to RAS and back."""
    return _LPS_TO_RAS @ affine


def compose_affine(direction: np.ndarray, spacing: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """Return the 4x4 affine with unit columns `direction` (3, 3), `spacing` (3,) in mm and `origin` (3,) in mm."""
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(direction, dtype=float) * np.asarray(spacing, dtype=float)
    affine[:3, 3] = origin
    return affine


def spacing_of(affine: np.ndarray) -> np.ndarray:
    """Return the voxel size (3,) in mm: the lengths of the affine's columns."""
    with np.errstate(over="ignore"):
        return np.sqrt((np.asarray(affine, dtype=float)[:3, :3] ** 2).sum(axis=0))


def shear_of(affine: np.ndarray) -> float:
    """Return the largest absolute cosine between two voxel axes; 0 means that all are at right angles."""
    unit = affine[:3, :3] / spacing_of(affine)
    return float(np.abs(unit.T @ unit - np.eye(3)).max())


def check_affine(affine: np.ndarray, *, sheared: bool = False) -> None:
    """Refuse an affine on which voxels have no size or axes are not at right angles.

    Args:
        affine: (4, 4).
        sheared: accept axes that are not at right angles.

    Raises:
        VolumeError: the reason, without a file name.
    """
    if affine.shape != (4, 4):
        raise VolumeError(f"the affine has shape {affine.shape}, (4, 4) is needed")
    if not np.isfinite(affine).all():
        raise VolumeError("the geometry holds NaN or infinite numbers (spacing, origin or direction)")
    spacing = spacing_of(affine)
    if spacing.min() < 1e-6 or spacing.max() > 1e6:
        raise VolumeError(f"the voxel spacing is {format_numbers(spacing)} mm, which cannot be")
    if abs(np.linalg.det(affine[:3, :3] / spacing)) < 1e-3:
        raise VolumeError("two axes of the geometry point the same way, so the voxels have no volume")
    shear = shear_of(affine)
    if shear > SHEAR_TOLERANCE and not sheared:
        degrees = np.degrees(np.arcsin(min(shear, 1.0)))
        raise VolumeError(
            f"the grid is sheared: its axes are {degrees:.1f} degrees off right angles (gantry tilt?); resample it to "
            "a right-angled grid first: medicalseg.io.deskew(medicalseg.io.read_volume(path, sheared=True))"
        )


def axis_matching(affine: np.ndarray) -> tuple[tuple[int, int], ...]:
    """Return, for each voxel axis, the world axis (0 R, 1 A, 2 S) it follows most closely and the sign (1 or -1).

    The three are always different. At exactly 45 degrees the choice depends on neither the order nor the direction of
    the voxel axes, so that reorienting there and back gives the same codes.
    """
    unit = affine[:3, :3] / spacing_of(affine)
    tie_break = np.stack([unit[0] * unit[1] + unit[0] * unit[2], -unit[0] * unit[1] + unit[1] * unit[2], -unit[0] * 0])
    score = unit**2 + 1e-6 * tie_break
    best = max(itertools.permutations(range(3)), key=lambda world: sum(score[w, v] for v, w in enumerate(world)))
    return tuple((w, 1 if unit[w, v] >= 0 else -1) for v, w in enumerate(best))


def axis_codes(affine: np.ndarray) -> str:
    """Return three letters, the ends towards which the voxel axes run: "RAS", "LPS", "PIR" ..."""
    return "".join(_LETTERS[world][sign > 0] for world, sign in axis_matching(affine))


def parse_axis_codes(codes: str) -> tuple[tuple[int, int], ...]:
    """Return world axis and sign for each letter of `codes`.

    Raises:
        VolumeError: not three letters, one of each of the pairs L/R, P/A, I/S.
    """
    found = [
        (world, 1 if letter == pair[1] else -1)
        for letter in str(codes).upper()
        for world, pair in enumerate(_LETTERS)
        if letter in pair
    ]
    if len(str(codes)) != 3 or sorted(world for world, _ in found) != [0, 1, 2]:
        raise VolumeError(
            f"orientation {codes!r} is not known: give three letters, one of each pair L/R, P/A, I/S, such as RAS"
        )
    return tuple(found)


def corner_distance(first: np.ndarray, second: np.ndarray, shape: tuple[int, ...]) -> float:
    """Return the largest distance in mm between the corner voxels of a grid of `shape` under two affines."""
    corners = np.array(list(itertools.product(*[(0, size - 1) for size in shape[:3]])), dtype=float)
    difference = (first - second)[:3]
    return float(np.sqrt(((corners @ difference[:, :3].T + difference[:, 3]) ** 2).sum(axis=1)).max())


def format_numbers(numbers: object) -> str:
    """Return numbers as short text: "0.9 x 1.1 x 2.5"."""
    return " x ".join(f"{number:.6g}" for number in np.ravel(np.asarray(numbers, dtype=float)))
