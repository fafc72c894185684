"""What the scanner adds: coil sensitivity, saturation band, blur, noise, whole numbers, the place of the patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

FIELD_ACROSS = 52.8


@dataclass(frozen=True)
class Scan:
    """One acquisition's settings; lengths in mm."""

    gain: float
    coil_reach: float
    coil_tilt: float
    saturation: float | None
    blur: float
    noise: float
    bias: np.ndarray
    turn: np.ndarray
    shift: np.ndarray


def sample_scan(rng: np.random.Generator) -> Scan:
    """Draw the settings of one scan."""
    saturation = float(rng.uniform(30, 60))
    return Scan(
        gain=float(rng.uniform(0.75, 1.2)),
        coil_reach=float(rng.uniform(90, 220)),
        coil_tilt=float(rng.uniform(-0.0015, 0.0015)),
        saturation=saturation if rng.random() < 0.6 else None,
        blur=float(rng.uniform(0.35, 0.85)),
        noise=float(rng.uniform(12, 45)),
        bias=rng.normal(0, 0.09, (4, 4, 2)).astype(np.float32),
        turn=rng.normal(0, 2.0, 3),
        shift=rng.normal(0, 15, 3),
    )


def sensitivity(scan: Scan, behind_skin: np.ndarray, superior: np.ndarray) -> np.ndarray:
    """Surface coil behind the patient: the signal falls towards the front, `behind_skin` mm from the skin."""
    depth = np.maximum(behind_skin, 0)
    return (
        np.exp(-np.maximum(depth - 15, 0) / scan.coil_reach)
        * (0.85 + 30 / scan.coil_reach)
        * (1 + scan.coil_tilt * superior)
    )


def finish(scan: Scan, planes: np.ndarray, factor: int, pixel: float, rng: np.random.Generator) -> np.ndarray:
    """Blur, reduce by `factor` in the plane, add Rician noise, round.

    Args:
        planes: (X * factor, Y * factor, Z) signal.
        factor: how many fine pixels make one.
        pixel: size of a fine pixel in mm.
        rng: for the noise.

    Returns:
        (X, Y, Z) int16.
    """
    sigma = scan.blur / pixel
    if sigma > 0.3:
        planes = gaussian_filter1d(gaussian_filter1d(planes, sigma, axis=0), sigma, axis=1)
    shape = (planes.shape[0] // factor, factor, planes.shape[1] // factor, factor, planes.shape[2])
    signal = planes.reshape(shape).mean(axis=(1, 3)) * scan.gain
    noise = rng.standard_normal((2, *signal.shape), dtype=np.float32) * scan.noise
    return np.rint(np.hypot(signal + noise[0], noise[1])).clip(0, 32000).astype(np.int16)


def sagittal_affine(scan: Scan, shape: tuple[int, int, int], field_of_view: float) -> np.ndarray:
    """RAS affine of a sagittal series as scanners store it: axes run to the back, down and right; a bit oblique.

    Spacing is `field_of_view` / n in the plane and 52.8 mm / n across, so it does not depend on how fine the grid is.
    """
    spacing = np.array([field_of_view / shape[0], field_of_view / shape[1], FIELD_ACROSS / shape[2]])
    axes = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    direction = Rotation.from_euler("xyz", scan.turn, degrees=True).as_matrix() @ axes
    affine = np.eye(4)
    affine[:3, :3] = direction * spacing
    centre = (np.array(shape) - 1) / 2
    affine[:3, 3] = scan.shift - affine[:3, :3] @ centre
    return np.round(affine, 6)
