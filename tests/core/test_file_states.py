"""That files which change are noticed, wherever in them they change."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from medicalseg.core.file_states import changed_files, file_states
from medicalseg.datasets.case import Case


@pytest.mark.parametrize("side", [16, 64, 128])
def test_a_relabelled_object_in_arrays_without_compression(tmp_path, side):
    label = np.zeros((side, side, side), np.int32)
    label[side // 2 : side // 2 + side // 4, 3:9, 3:9] = 1
    cases = [Case(name, (tmp_path / f"{name}_image.npy",), tmp_path / f"{name}.npy") for name in ("a", "b")]
    for case in cases:
        np.save(case.images[0], np.zeros(4))
        np.save(case.label, label)
    dataset = SimpleNamespace(cases=cases)
    before = file_states(dataset)
    assert changed_files(before, file_states(dataset)) == []
    np.save(tmp_path / "b.npy", label * 2)
    assert changed_files(before, file_states(dataset)) == ["b"]


def test_cases_that_came_are_not_changed_and_foreign_datasets_tell_nothing():
    assert changed_files({"a": "1"}, {"a": "1", "b": "2"}) == []
    assert changed_files({}, {"b": "2"}) == []
    assert file_states(SimpleNamespace(cases=["a"])) == {}
    assert file_states(object()) == {}
