"""Slices of volumes as training samples: from which case and place, and what normalises them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from medicalseg.datasets.case import Case
from medicalseg.datasets.slice_draw import SliceDraw, presence_of
from medicalseg.errors import DataError
from medicalseg.inference.slices import SliceSpec
from medicalseg.utils.seeding import rng

OTHER_CASES = 10

Numbers = tuple[float, float]


class TrainingSlices:
    """Draws slices, and remembers per case which class is where and what normalises the volume.

    Args:
        spec: how a volume is cut.
        foreground: share of slices that have foreground, or "balanced", see `SliceDraw`.
        ids: ids that labels may have, the background's 0 counted.

    Raises:
        ConfigError: if `foreground` is wrong.
    """

    def __init__(self, spec: SliceSpec, foreground: float | str | None, ids: int) -> None:
        self.spec, self.draw, self.ids = spec, SliceDraw(foreground, ids), ids
        self._presence: dict[str, np.ndarray] = {}
        self._numbers: dict[str, Numbers] = {}

    def choose(
        self, case: Case, cases: Sequence[Case], label_of: Callable[[Case], np.ndarray]
    ) -> tuple[Case, np.ndarray | None]:
        """The case to take a slice of, and where its classes are if that slice has to have foreground.

        Args:
            case: whose turn it is; where it has no foreground another is drawn, up to 10 times.
            cases: the others.
            label_of: ids (X, Y, Z) or masks (K, X, Y, Z) of a case.
        """
        if not self.draw.wants_foreground():
            return case, None
        for _ in range(OTHER_CASES):
            presence = self._table(case, label_of)
            if presence[:, 1:].any():
                return case, presence
            case = cases[int(rng().integers(len(cases)))]
        return case, None

    def cut(
        self, image: np.ndarray, label: np.ndarray, presence: np.ndarray | None, zero: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """A slice, with foreground if `presence` tells where that is.

        Args:
            image: (C, X, Y, Z).
            label: ids (X, Y, Z) or masks (K, X, Y, Z).
            presence: which class is in which slice.
            zero: what will be 0 once the image is normalised.

        Returns:
            The stack (num_slices * C, W, H) and the plane of its middle, ids (W, H) or masks (K, W, H).
        """
        count = image.shape[1 + self.spec.axis]
        place = self.draw.any_slice(count) if presence is None else self.draw.foreground_slice(presence)
        stack = self.spec.stack(image, place, place + 1, zero=zero)[0]
        return stack, np.take(label, place, axis=label.ndim - 3 + self.spec.axis)

    def numbers(self, case: Case, image: np.ndarray, of: Callable[[np.ndarray], Numbers]) -> Numbers:
        """What normalises the whole volume, and so each of its slices.

        Args:
            case: whose volume it is.
            image: the volume.
            of: shift and scale of a volume, such as `Compose.normalization`.

        Raises:
            DataError: if they are not finite.
        """
        numbers = self._numbers.get(case.name)
        if numbers is None:
            numbers = of(np.asarray(image, np.float32))
            if not np.isfinite(numbers).all():
                raise DataError("the image has NaN, infinite or too large values; prepare the data again")
            self._numbers[case.name] = numbers
        return numbers

    def _table(self, case: Case, label_of: Callable[[Case], np.ndarray]) -> np.ndarray:
        table = self._presence.get(case.name)
        if table is None:
            table = self._presence[case.name] = presence_of(label_of(case), self.spec, self.ids)
        return table
