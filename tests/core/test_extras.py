"""What is reported beside Dice: orders of levels from a configuration, arguments handed on."""

from __future__ import annotations

import numpy as np
import pytest

from medicalseg.core.extras import Extras, check_levels, level_orders_of
from medicalseg.errors import UserError
from medicalseg.inference.task import TaskSpec
from medicalseg.metrics import MeasureOptions

TASK = TaskSpec(num_classes=4)


@pytest.mark.parametrize(
    ("block", "orders"),
    [({}, ()), ({"level_order": [1, 2]}, ((1, 2),)), ({"level_order": [[1, 2], [3, 2]]}, ((1, 2), (3, 2)))],
)
def test_orders_of_a_configuration(block, orders):
    assert level_orders_of(block) == orders


def test_nothing_by_default():
    labels = np.zeros((4, 4, 4), int)
    assert Extras().of_case(labels, labels, (1, 1, 1), TASK) == {"measures": {}, "levels": ()}
    assert Extras().of_summary(5) == {"rules": {}, "bootstrap": None}


def test_a_picture_without_voxel_size_is_measured_in_pixels():
    labels = np.zeros((8, 8, 1), int)
    labels[2:5, 2:5] = 1
    found = Extras(MeasureOptions(("hd",))).of_case(np.roll(labels, 2, 0), labels, (float("nan"),) * 3, TASK)
    assert found["measures"]["hd"][1] == 2


@pytest.mark.parametrize(
    ("orders", "task", "named"),
    [
        ([[1, 1]], TASK, "each once"),
        ([[1, 4]], TASK, r"\[4\]"),
        ([[0, 1]], TASK, r"\[0\]"),
        ([[1, 2]], TaskSpec(num_classes=3, head="sigmoid"), "overlap"),
    ],
)
def test_wrong_orders(orders, task, named):
    with pytest.raises(UserError, match=named):
        check_levels(orders, task)
