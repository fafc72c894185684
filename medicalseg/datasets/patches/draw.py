"""Which case the next patch is of, and where in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from medicalseg.datasets.case import Case
from medicalseg.datasets.patches.class_table import ClassTable
from medicalseg.errors import ConfigError
from medicalseg.transforms.base import choose, happens
from medicalseg.utils.seeding import rng

SAMPLINGS = ("case", "dataset")

Voxel = tuple[int, int, int]
TableOf = Callable[[Case], "ClassTable | None"]


class PatchDraw:
    """Draws cases and voxels.

    Args:
        patch_size: sides of the patch.
        foreground: probability that the patch is centred on a voxel of a class, 0 to 1.
        class_sampling: "case" draws one of the classes of the case whose turn it is; "dataset" one of the classes of
            all cases and then a case that has it, so that every class is met equally often.
        overhang: how far a patch may reach beyond the volume, as a share of its side, 0 to 0.5.

    Raises:
        ConfigError: if an argument is wrong.
    """

    def __init__(self, patch_size: Voxel, foreground: float, class_sampling: str, overhang: float) -> None:
        self.patch_size = patch_size
        self.foreground = _share("foreground", foreground, 1.0)
        self.overhang = _share("overhang", overhang, 0.5)
        if class_sampling not in SAMPLINGS:
            raise ConfigError(f"class_sampling: expected one of {list(SAMPLINGS)}, got {class_sampling!r}")
        self.class_sampling = class_sampling
        self._owners: dict[int, list[int]] | None = None

    def choose(self, case: Case, cases: Sequence[Case], table_of: TableOf) -> tuple[Case, Voxel | None]:
        """The case to take a patch of, and the voxel in its middle; None for any place.

        Where a case has ignored voxels, any place is one around a voxel that is not.

        Args:
            case: whose turn it is.
            cases: all of them.
            table_of: a case's classes.
        """
        if not happens(self.foreground):
            return case, _any_voxel(table_of(case), 0)
        if self.class_sampling == "dataset":
            owners = self.owners(cases, table_of)
            if not owners:
                return case, _any_voxel(table_of(case), 0)
            label = choose(sorted(owners))
            case = cases[choose(owners[label])]
            return case, _any_voxel(table_of(case), label)
        table = table_of(case)
        classes = [] if table is None else table.classes
        return case, _any_voxel(table, choose(classes) if classes else 0)

    def starts(self, sides: Sequence[int], centre: Voxel | None) -> list[int]:
        """First voxel of a patch, negative where it begins before the volume.

        A volume that is smaller than the patch lies in its middle, as far as `overhang` does not move it.

        Args:
            sides: spatial shape of the volume.
            centre: voxel to have in the middle, as far as the volume reaches; None for any place.
        """
        starts = []
        places = rng().random(3).tolist()
        for axis, (side, length, place) in enumerate(zip(sides, self.patch_size, places, strict=True)):
            room = side - length
            beyond = round(self.overhang * length)
            low, high = (0, room) if room > 0 else (room // 2, room // 2)
            low, high = low - beyond, high + beyond
            start = low + min(high - low, int(place * (high - low + 1)))
            if centre is not None and (room > 0 or beyond):
                start = min(max(centre[axis] - length // 2, low), high)
            starts.append(start)
        return starts

    def owners(self, cases: Sequence[Case], table_of: TableOf) -> dict[int, list[int]]:
        """Numbers of the cases that have a class, by class; remembered."""
        if self._owners is None:
            owners: dict[int, list[int]] = {}
            for number, case in enumerate(cases):
                table = table_of(case)
                for label in [] if table is None else table.classes:
                    owners.setdefault(label, []).append(number)
            self._owners = owners
        return self._owners


def _any_voxel(table: ClassTable | None, label: int) -> Voxel | None:
    voxels: np.ndarray | Sequence[int] = [] if table is None else table.voxels_of(label)
    if table is None or not len(voxels):
        return None
    return table.voxel(int(voxels[int(rng().integers(len(voxels)))]))


def _share(name: str, value: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
        raise ConfigError(f"{name}: expected a number from 0 to {most:g}, got {value!r}")
    return float(value)
