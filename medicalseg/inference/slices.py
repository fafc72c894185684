"""How a network for images sees a volume: slices along an axis, each alone or in a stack with its neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from medicalseg.errors import ConfigError
from medicalseg.inference.intensity import nearest

EDGES = ("clamp", "zero", "reflect")
KEYS = ("axis", "num_slices", "stride", "edge")


@dataclass(frozen=True)
class SliceSpec:
    """Slices of a volume (C, X, Y, Z) as images.

    A slice is shown as its picture: of the two remaining axes the second gives the rows (H), the first the columns
    (W), as a NIfTI or DICOM plane is usually displayed. Neighbours are stacked as channels, slice after slice, each
    with all channels of the volume; the slice in the middle is the one that is segmented.

    Attributes:
        axis: which axis of the network's grid is cut, 0 to 2.
        num_slices: slices in a stack, odd; 1 = 2D, more = 2.5D.
        stride: distance between the slices of a stack.
        edge: what lies beyond the first and last slice: "clamp" repeats it, "zero" is 0, "reflect" mirrors there.

    Raises:
        ConfigError: if a value is wrong; names the key.
    """

    axis: int = 2
    num_slices: int = 1
    stride: int = 1
    edge: str = "clamp"

    def __post_init__(self) -> None:
        if isinstance(self.axis, bool) or self.axis not in (0, 1, 2):
            raise ConfigError(f"slices.axis: expected 0, 1 or 2, got {self.axis!r}")
        for name in ("num_slices", "stride"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"slices.{name}: expected a positive integer, got {value!r}")
        if self.num_slices % 2 == 0:
            raise ConfigError(
                f"slices.num_slices: expected an odd number, since the middle slice is segmented, got {self.num_slices}"
            )
        if self.edge not in EDGES:
            raise ConfigError(f"slices.edge: expected one of {list(EDGES)}, got {self.edge!r}")

    @property
    def plane(self) -> tuple[int, int]:
        """The two axes that stay, in order: columns (W), rows (H)."""
        first, second = (axis for axis in range(3) if axis != self.axis)
        return first, second

    def stack(self, image: np.ndarray, start: int = 0, stop: int | None = None, zero: float = 0) -> np.ndarray:
        """The stacks whose middle slices are `start` to `stop`.

        Args:
            image: (C, X, Y, Z).
            start: first middle slice.
            stop: one past the last; None = all.
            zero: what the edge "zero" puts in: of an image that is normalised later, what will then be 0.

        Returns:
            (n, num_slices * C, W, H), the axes of the plane in the volume's order.
        """
        slices = np.moveaxis(image, 1 + self.axis, 0)
        middle = np.arange(start, len(slices) if stop is None else stop)
        reach = (np.arange(self.num_slices) - self.num_slices // 2) * self.stride
        wanted = middle[:, None] + reach
        stacks = slices[self.existing(wanted, len(slices))]
        if self.edge == "zero":
            stacks[(wanted < 0) | (wanted >= len(slices))] = zero
        return stacks.reshape(len(middle), -1, *slices.shape[2:])

    def existing(self, wanted: np.ndarray, count: int) -> np.ndarray:
        """Which of `count` slices stand for wanted ones, some of which may lie beyond the ends."""
        return _within(wanted, count, self.edge)

    def as_images(self, stacks: np.ndarray) -> np.ndarray:
        """What the network takes, (n, ..., H, W), of stacks or labels (n, ..., W, H); a view."""
        return np.swapaxes(stacks, -1, -2)

    def as_volume(self, maps: np.ndarray) -> np.ndarray:
        """Images (n, K, H, W) of n slices put together: (K, x, y, z), a view."""
        return np.moveaxis(np.swapaxes(maps, -1, -2), 0, 1 + self.axis)

    def to_dict(self) -> dict[str, Any]:
        """JSON- and YAML-able form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any] | None) -> SliceSpec | None:
        """Inverse of `to_dict`; missing keys take their defaults, None stays None.

        Raises:
            ConfigError: if a key is unknown or a value is wrong.
        """
        if content is None:
            return None
        if not isinstance(content, Mapping):
            raise ConfigError(f"slices: expected a dict with some of {list(KEYS)}, got {content!r}")
        for key in content:
            if key not in KEYS:
                raise ConfigError(f"slices.{key}: unknown key; allowed: {list(KEYS)}{nearest(key, KEYS)}")
        return cls(**content)


def _within(wanted: np.ndarray, count: int, edge: str) -> np.ndarray:
    """Indices of existing slices for wanted ones."""
    if edge == "reflect" and count > 1:
        period = 2 * (count - 1)
        folded = np.abs(wanted) % period
        return np.minimum(folded, period - folded)
    return np.clip(wanted, 0, count - 1)
