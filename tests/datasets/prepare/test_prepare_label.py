"""Labels whose headers differ from their images': a little is rounding, more is another place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medicalseg.datasets.prepare.label import read_label_on
from medicalseg.datasets.verify.inspection import DIRECTION_TOLERANCE, ORIGIN_TOLERANCE, SPACING_TOLERANCE
from medicalseg.errors import DataError
from medicalseg.io import Volume, write_volume

SPACING = (1.5, 1.5, 2.0)
SHAPE = (300, 6, 5)


def taken(folder: Path, spacing: tuple[float, ...] = SPACING, shift: float = 0.0, turn: float = 0.0) -> Volume:
    """The label at `shift` mm and turned by `turn` radians, on an image's grid."""
    image = Volume(np.zeros(SHAPE, np.int16), np.diag([*SPACING, 1.0]))
    affine = np.diag([*spacing, 1.0])
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    affine[:3, :3] = rotation @ affine[:3, :3]
    affine[0, 3] = shift
    write_volume(Volume(np.ones(SHAPE, np.uint8), affine, meta={"labels": True}), folder / "label.mha")
    label = read_label_on(image, folder / "label.mha", Path("image.mha"))
    assert label.same_grid(image)
    return label


def test_another_place_is_refused_with_both_grids(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"label\.mha: label and image image\.mha do not belong together") as failure:
        taken(tmp_path, (9.0, 9.0, 20.0), 5000.0)
    for text in ("9 x 9 x 20 mm", "(5000, 0, 0)", "1.5 x 1.5 x 2 mm", "(0, 0, 0)"):
        assert text in str(failure.value)


@pytest.mark.parametrize("part", ["spacing", "shift", "turn"])
def test_the_limits_are_those_of_verify(tmp_path: Path, part: str) -> None:
    def differing(factor: float) -> dict[str, object]:
        longer = (SPACING[0] * (1 + factor * SPACING_TOLERANCE), *SPACING[1:])
        amounts = {"shift": factor * ORIGIN_TOLERANCE * SPACING[0], "turn": factor * DIRECTION_TOLERANCE}
        return {"spacing": longer} if part == "spacing" else {part: amounts[part]}

    taken(tmp_path, **differing(0.9))
    with pytest.raises(DataError, match="do not belong together"):
        taken(tmp_path, **differing(1.1))
