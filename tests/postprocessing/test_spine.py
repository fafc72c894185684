"""Order along the spine, on columns of boxes with known levels."""

from __future__ import annotations

import numpy as np
import pytest

from medicalseg.errors import ConfigError, DataError
from medicalseg.inference.task import TaskSpec
from medicalseg.io import Volume
from medicalseg.postprocessing import OrderAlongSpine, postprocess
from tests.postprocessing.spine_phantom import DISCS, VERTEBRAE, column, half_as_neighbour, shifted, speckled

SPACING = (1.0, 1.0, 1.0)


def ordered(labels: np.ndarray, **arguments: object) -> np.ndarray:
    return OrderAlongSpine(VERTEBRAE, DISCS, **arguments)(labels, SPACING, "RAS")  # type: ignore[arg-type]


def test_a_right_map_stays_and_the_argument_too() -> None:
    labels = column()
    before = labels.copy()
    result = ordered(labels)
    np.testing.assert_array_equal(result, before)
    np.testing.assert_array_equal(labels, before)
    assert result.dtype == labels.dtype


@pytest.mark.parametrize("first", [3, 4, 5])
def test_the_smaller_stretch_gives_way(first: int) -> None:
    labels = column(7)
    np.testing.assert_array_equal(ordered(shifted(labels, first + 1)), labels)


def test_an_anchor_settles_where_most_levels_are_wrong() -> None:
    labels = column(7)
    wrong = shifted(labels, 1)
    assert (ordered(wrong)[labels == 4] == 5).all()
    np.testing.assert_array_equal(ordered(wrong, anchor=100.0), labels)


def test_a_crumb_at_the_border_is_not_where_the_column_ends() -> None:
    labels = column(7)
    wrong = shifted(labels, 1)
    free = np.argwhere((wrong == 0) & (labels == 0))
    bottom = free[free[:, 2] == 0][0]
    wrong[tuple(bottom)] = VERTEBRAE[0]
    result = ordered(wrong, anchor=100.0)
    assert (result == labels).mean() > 0.999


@pytest.mark.parametrize("share", [0.05, 0.25])
@pytest.mark.parametrize("kind", [VERTEBRAE, DISCS])
def test_a_small_false_piece_below_the_column_is_not_its_lowest_level(kind: tuple[int, ...], share: float) -> None:
    labels = np.concatenate([np.zeros((30, 60, 20), np.uint8), column(7)], axis=2)
    wrong = shifted(labels, 1)
    wide = round(20 * share * (12 if kind is VERTEBRAE else 4) / 3)
    wrong[8:22, 25 : 25 + wide, 18:21] = kind[0]
    column_only = np.where(labels > 0, ordered(wrong, anchor=100.0), 0)
    np.testing.assert_array_equal(column_only, labels)


@pytest.mark.parametrize("label", [VERTEBRAE[0], DISCS[0]])
def test_a_false_piece_aside_of_the_column_has_no_say(label: int) -> None:
    labels = np.concatenate([np.zeros((30, 60, 20), np.uint8), column(7)], axis=2)
    wrong = shifted(labels, 1)
    wrong[8:22, 1:13, 22:29] = label
    column_only = np.where(labels > 0, ordered(wrong, anchor=100.0), 0)
    np.testing.assert_array_equal(column_only, labels)


@pytest.mark.parametrize("lower", [0, 6])
def test_processes_aside_of_the_column_move_with_it(lower: int) -> None:
    labels = column(7)
    for level, vertebra in enumerate(VERTEBRAE[:7]):
        z = 15 + 18 * level - lower
        labels[12:18, 1:9, z : z + 11] = vertebra
    np.testing.assert_array_equal(ordered(shifted(labels, 1), anchor=100.0), labels)
    np.testing.assert_array_equal(ordered(labels), labels)


@pytest.mark.parametrize("axcodes", ["RAS", "RAI"])
def test_an_anchor_needs_an_image_that_goes_on_below(axcodes: str) -> None:
    whole = column(7)
    start = int(np.argwhere(whole == DISCS[2])[:, 2].min())
    cut, above = whole[:, :, start:], np.where(np.isin(whole, VERTEBRAE[:2] + DISCS[:2]), 0, whole)
    order = OrderAlongSpine(VERTEBRAE, DISCS, anchor=100.0)
    turn = slice(None, None, -1 if axcodes == "RAI" else 1)
    np.testing.assert_array_equal(order(cut[..., turn], SPACING, axcodes), cut[..., turn])
    found = order(above[..., turn], SPACING, axcodes)
    np.testing.assert_array_equal(found, np.where(above > 0, above - 2, 0)[..., turn])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_halves_of_a_body_join_the_other(axis: int) -> None:
    labels = column()
    wrong = half_as_neighbour(half_as_neighbour(labels, 4, 5, axis), 14, 13, axis)
    np.testing.assert_array_equal(ordered(wrong), labels)


def test_two_neighbours_with_one_label_are_told_apart() -> None:
    labels = column()
    np.testing.assert_array_equal(ordered(np.where(labels == 4, 3, labels)), labels)


@pytest.mark.parametrize("missing", [[13], [4], [13, 4, 14], [11], [11, 2]])
def test_missing_parts_leave_a_gap(missing: list[int]) -> None:
    labels = np.where(np.isin(column(), missing), 0, column())
    np.testing.assert_array_equal(ordered(labels), labels)
    np.testing.assert_array_equal(ordered(np.where(labels == 5, 6, labels)), labels)


def test_bodies_that_touch_are_cut_at_the_disc() -> None:
    labels = column()
    place = np.argwhere(labels == 13)
    bridge = place[place[:, 0] < 11]
    wrong = labels.copy()
    wrong[8:11, bridge[:, 1].min() : bridge[:, 1].max(), bridge[:, 2].min() - 1 : bridge[:, 2].max() + 2] = 3
    wrong = np.where(wrong == 4, 3, wrong)
    result = ordered(wrong)
    assert (result[labels == 4] == 4).mean() > 0.98
    assert (result[(labels == 3)] == 3).mean() > 0.98


def test_bodies_fused_over_a_lost_disc_are_cut_at_their_middle() -> None:
    labels = column()
    wrong = np.where(np.isin(labels, [13, 4]), 3, labels)
    result = ordered(wrong)
    assert (result[labels == 4] == 4).mean() > 0.95
    assert (result[labels == 3] == 3).mean() > 0.95


def test_pieces_of_one_body_are_joined() -> None:
    labels = column()
    labels[14][labels[14] == 4] = 0
    np.testing.assert_array_equal(ordered(half_as_neighbour(labels, 4, 6, 0)), labels)


def test_speckle_is_outvoted() -> None:
    labels = column()
    np.testing.assert_array_equal(ordered(speckled(labels, 0.3)), labels)


def test_crumbs_follow_the_part_beside_them() -> None:
    labels = column()
    wrong = labels.copy()
    place = np.argwhere(labels == 4).max(axis=0)
    wrong[24, place[1] - 4, place[2] - 5] = 7
    assert ordered(wrong)[24, place[1] - 4, place[2] - 5] == 4


@pytest.mark.parametrize("axcodes", ["RAS", "LPI", "PIL", "SRA", "IPR"])
def test_any_order_of_axes(axcodes: str) -> None:
    labels = column(7)
    wrong = shifted(labels, 5)
    turned, target = (_turned(array, axcodes) for array in (wrong, labels))
    result = OrderAlongSpine(VERTEBRAE, DISCS)(turned, SPACING, axcodes)
    np.testing.assert_array_equal(result, target)


def _turned(array: np.ndarray, axcodes: str) -> np.ndarray:
    axes = ["RL", "AP", "SI"]
    order = [next(i for i, pair in enumerate(axes) if code in pair) for code in axcodes]
    flips = [axis for axis, code in enumerate(axcodes) if code in "LPI"]
    return np.flip(array.transpose(order), flips)


def test_spacing_counts_not_voxels() -> None:
    labels = column(7)[:, :, ::2]
    np.testing.assert_array_equal(OrderAlongSpine(VERTEBRAE, DISCS)(shifted(labels, 5), (1, 1, 2), "RAS"), labels)


def test_a_sacrum_may_be_long() -> None:
    labels = column(6, sacrum=True)
    step = OrderAlongSpine([1, *VERTEBRAE], DISCS)
    np.testing.assert_array_equal(step(labels, SPACING, "RAS"), labels)
    np.testing.assert_array_equal(step(shifted(labels, 4), SPACING, "RAS"), labels)


def test_vertebrae_alone() -> None:
    labels = np.where(column(7) > 10, 0, column(7))
    step = OrderAlongSpine(VERTEBRAE)
    np.testing.assert_array_equal(step(labels, SPACING, "RAS"), labels)
    np.testing.assert_array_equal(step(shifted(labels, 5), SPACING, "RAS"), labels)


def test_other_classes_and_nothing_stay() -> None:
    labels = column()
    labels[0:3] = 20
    np.testing.assert_array_equal(ordered(labels), labels)
    empty = np.zeros((4, 5, 6), np.uint8)
    np.testing.assert_array_equal(ordered(empty), empty)
    one = np.zeros((12, 12, 12), np.uint8)
    one[4:8, 4:8, 4:8] = 5
    np.testing.assert_array_equal(ordered(one), one)
    single = np.zeros((3, 3, 3), np.uint8)
    single[1, 1, 1] = 12
    np.testing.assert_array_equal(ordered(single), single)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"vertebrae": []}, "vertebrae"),
        ({"vertebrae": [0, 1]}, "from 1 on"),
        ({"vertebrae": [1, 2, 3], "discs": [4]}, "discs: 1 ids for 3"),
        ({"vertebrae": [1, 2], "discs": [2, 3]}, "vertebrae too"),
        ({"vertebrae": [1, 2], "anchor": -1}, "anchor"),
        ({"vertebrae": [1, 2], "gap_penalty": "x"}, "gap_penalty"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        OrderAlongSpine(**arguments)  # type: ignore[arg-type]


def test_needs_an_axis_from_feet_to_head_and_levels_that_exclude_each_other() -> None:
    with pytest.raises(DataError, match="feet"):
        OrderAlongSpine(VERTEBRAE, DISCS)(column(), SPACING, "RAR")
    block = {"type": "OrderAlongSpine", "vertebrae": [1, 2]}
    task = TaskSpec(2, head="sigmoid", postprocessing=(block,))
    with pytest.raises(ConfigError, match="overlap"):
        postprocess(Volume(np.ones((3, 3, 3), np.int32), np.eye(4)), task)
