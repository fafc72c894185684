"""What a checkpoint says about its classes."""

from __future__ import annotations

import json

import pytest

from medicalseg.errors import ConfigError
from medicalseg.inference.preprocess import Preprocessing
from medicalseg.inference.task import TaskSpec


def test_round_trip_as_json():
    task = TaskSpec(
        num_classes=3,
        labels={0: "background", 2: "disc"},
        class_groups={"all": (0, 1, 2)},
        preprocessing=Preprocessing(size=(8, 8, 4), normalize="max", channels=(2, 0)),
        in_channels=2,
        stored_channels=3,
        contrasts=("FLAIR", "T1w", "T2w"),
        ignore_index=None,
        notes=("leaking",),
    )
    assert TaskSpec.from_dict(json.loads(json.dumps(task.to_dict()))) == task
    assert task.names == ["background", "class 1", "disc"]


def test_label_of_the_ignored_id_may_have_a_name():
    assert TaskSpec(2, labels={0: "a", 255: "ignore"}).labels[255] == "ignore"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "num_classes"),
        ({"num_classes": 0}, "num_classes"),
        ({"num_classes": True}, "num_classes"),
        ({"num_classes": 2, "in_channels": 0}, "in_channels"),
        ({"num_classes": 2, "stored_channels": 0}, "stored_channels"),
        ({"num_classes": 2, "contrasts": ["T1w", "T1w"]}, r"task\.contrasts"),
        ({"num_classes": 2, "preprocessing": {"channels": []}}, r"preprocessing\.channels"),
        ({"num_classes": 2, "preprocessing": {"channels": [0, -1]}}, r"preprocessing\.channels"),
        ({"num_classes": 2, "ignore_index": "255"}, "ignore_index"),
        ({"num_classes": 2, "labels": {"x": "y"}}, r"task\.labels"),
        ({"num_classes": 2, "labels": {"2": "y"}}, r"\[2\]"),
        ({"num_classes": 2, "class_groups": {"g": [0, 5]}}, r"class_groups\.g: \[5\]"),
        ({"num_classes": 2, "class_groups": {"g": "01"}}, r"class_groups\.g"),
        ({"num_classes": 2, "class_groups": ["g"]}, "class_groups"),
        ({"num_classes": 2, "label": {}}, "did you mean 'labels'"),
        ({"num_classes": 2, "preprocessing": {"size": 1}}, r"preprocessing\.size"),
    ],
)
def test_wrong_values_name_the_field(settings, message):
    with pytest.raises(ConfigError, match=message):
        TaskSpec.from_dict(settings)


def test_the_background_of_sigmoids_has_a_name() -> None:
    assert TaskSpec(1, labels={1: "spine"}, head="sigmoid").names == ["background", "spine"]
    assert TaskSpec(2, labels={0: "rest"}, head="sigmoid").names == ["rest", "class 1", "class 2"]
    assert TaskSpec(2, labels={1: "spine"}).names == ["class 0", "spine"]


def test_files_of_an_image_are_those_of_all_stored_channels() -> None:
    chosen = Preprocessing(channels=(1,))
    assert TaskSpec(2, in_channels=2).files_per_image == 2
    assert TaskSpec(2, preprocessing=chosen).files_per_image == 2
    assert TaskSpec(2, preprocessing=chosen, stored_channels=4).files_per_image == 4
    assert TaskSpec(2, in_channels=3, preprocessing=Preprocessing(colour="rgb")).files_per_image == 1
