"""Splits are sorted, seeded, honest and recorded."""

from __future__ import annotations

import json
import random

import pytest
from sklearn.model_selection import KFold

from medicalseg.datasets.splits import (
    LEAKING_NOTE,
    group_by_pattern,
    holdout,
    kfold,
    leaking_tail,
    read_splits,
    write_splits,
)
from medicalseg.errors import ConfigError, DataError

CASES = [f"case_{number:03d}" for number in range(23)]


def shuffled(cases):
    return random.Random(1).sample(cases, len(cases))


def test_kfold_equals_sklearns():
    splits = kfold(shuffled(CASES))
    expected = KFold(n_splits=5, shuffle=True, random_state=12345).split(CASES)
    for split, (train, val) in zip(splits, expected, strict=True):
        assert split.train == tuple(CASES[index] for index in train)
        assert split.val == tuple(CASES[index] for index in val)
        assert not split.leaking


def test_kfold_equals_the_file_beside_real_data(shared_data):
    path = shared_data / "hippocampus" / "splits_final.json"
    given = read_splits(path)
    cases = [*given[0].train, *given[0].val]
    assert [(split.train, split.val) for split in kfold(cases)] == [(split.train, split.val) for split in given]


def test_holdout_ignores_the_order_of_the_listing():
    split = holdout(shuffled(CASES), 0.2, 0.1, seed=3)
    assert split == holdout(CASES, 0.2, 0.1, seed=3)
    assert split != holdout(CASES, 0.2, 0.1, seed=4)
    assert (len(split.train), len(split.val), len(split.test)) == (16, 5, 2)
    assert sorted([*split.train, *split.val, *split.test]) == CASES
    assert split.notes == ()


def test_patients_stay_together():
    frames = [f"patient{number:02d}_frame{frame}" for number in range(10) for frame in (1, 2, 3)]
    group_of = group_by_pattern(r"(patient\d+)_")
    for split in [holdout(frames, 0.3, group_of=group_of), *kfold(frames, group_of=group_of)]:
        assert not {group_of(name) for name in split.train} & {group_of(name) for name in split.val}
        assert len(split.val) % 3 == 0
    with pytest.raises(DataError, match="case x1"):
        holdout([*frames, "x1"], group_of=group_of)


def test_upstreams_leaking_rule_is_marked():
    split = leaking_tail(shuffled(CASES))
    assert split.train == tuple(CASES)
    assert split.val == tuple(CASES[18:])
    assert split.leaking
    assert split.notes == (LEAKING_NOTE,)


def test_recorded_files_read_back(tmp_path):
    split = holdout(CASES)
    split.write(tmp_path / "split.json")
    assert read_splits(tmp_path / "split.json") == [split]
    write_splits(tmp_path / "splits_final.json", kfold(CASES))
    assert read_splits(tmp_path / "splits_final.json") == kfold(CASES)


def test_overlap_in_a_file_is_marked(tmp_path):
    path = tmp_path / "splits_final.json"
    path.write_text(json.dumps([{"train": ["a", "b"], "val": ["b"]}]))
    assert read_splits(path)[0].leaking


@pytest.mark.parametrize("text", ["[", "[]", "3", '[{"train": ["a"]}]', '[{"train": "a", "val": []}]', "[1]"])
def test_broken_files_are_named(tmp_path, text):
    path = tmp_path / "splits_final.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"splits_final\.json"):
        read_splits(path)


def test_wrong_requests():
    with pytest.raises(DataError, match="twice"):
        holdout(["a", "a"])
    with pytest.raises(ConfigError, match="nothing to train on"):
        holdout(["a", "b"], 0.5, 0.4)
    with pytest.raises(ConfigError, match="val fraction"):
        holdout(CASES, 1.5)
    with pytest.raises(ConfigError, match="5 folds"):
        kfold(["a", "b"])
    with pytest.raises(ConfigError, match="regular expression"):
        group_by_pattern("(")
