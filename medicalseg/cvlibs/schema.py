"""The top-level keys of a configuration: which exist and what their values may be."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from medicalseg.cvlibs.effective import MEANINGLESS_TEST, MEANINGLESS_TOP_LEVEL
from medicalseg.cvlibs.tree import KeyPath, KeyPathError, kind_of, nearest
from medicalseg.errors import UserError
from medicalseg.utils.duration import seconds_of
from medicalseg.utils.interval import Interval

EMA_DECAY = 0.99

EMA_KEYS = ("decay",)
EARLY_STOP_KEYS = ("intervals", "min_delta")
EXPORT_KEYS = ("transforms", "inference_helper")
LOSS_KEYS = ("types", "coef")
EVALUATION_SPACES = ("original", "network")
MIRRORING = ("none", "task")
PRECISIONS = ("fp32", "fp16", "bf16")
BEST_BY = ("dice", "loss")
WRITING = ("last", "every")
MOST_OVERLAYS = 3

Check = Callable[[Any, KeyPath], None]


def check_top_level(plain: Mapping[Any, Any]) -> list[str]:
    """Check every top-level key and the kind of its value; returns notes about keys that mean nothing here.

    Raises:
        KeyPathError: at the first unknown key or wrong kind.
    """
    notes = []
    for key, value in plain.items():
        if key in MEANINGLESS_TOP_LEVEL:
            notes.append(f"{key} is ignored: {MEANINGLESS_TOP_LEVEL[key]}")
        elif key not in CHECKS:
            raise KeyPathError((str(key),), f"unknown key; allowed: {', '.join(CHECKS)}{nearest(key, CHECKS)}")
        elif value is not None:
            CHECKS[key](value, (key,))
    ignored = [key for key in MEANINGLESS_TEST if key in (plain.get("test_config") or {})]
    return notes + [f"test_config.{key} is ignored: {MEANINGLESS_TEST[key]}" for key in ignored]


def positive_whole(value: Any, path: KeyPath) -> None:
    """A whole number above 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise KeyPathError(path, f"must be a whole number above 0, got {kind_of(value)}: {value!r}")


def number(value: Any, path: KeyPath) -> None:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise KeyPathError(path, f"must be a number, got {kind_of(value)}: {value!r}")


def truth(value: Any, path: KeyPath) -> None:
    """True or false."""
    if not isinstance(value, bool):
        raise KeyPathError(path, f"must be true or false, got {kind_of(value)}: {value!r}")


def text(value: Any, path: KeyPath) -> None:
    """A text that is not empty."""
    if not isinstance(value, str) or not value:
        raise KeyPathError(path, f"must be a text, got {kind_of(value)}: {value!r}")


def duration(value: Any, path: KeyPath) -> None:
    """A duration such as 30m."""
    try:
        seconds_of(value)
    except UserError as error:
        raise KeyPathError(path, str(error)) from error


def interval(value: Any, path: KeyPath) -> None:
    """A number of iterations, or a share of the run such as 10%."""
    try:
        Interval.parse(value)
    except UserError as error:
        raise KeyPathError(path, str(error)) from error


def mapping(value: Any, path: KeyPath) -> None:
    """A mapping."""
    if not isinstance(value, Mapping):
        raise KeyPathError(path, f"must be a mapping, got {kind_of(value)}: {value!r}")


def mapping_of(*allowed: str) -> Check:
    """A mapping with these keys only."""

    def check(value: Any, path: KeyPath) -> None:
        mapping(value, path)
        for key in value:
            if key not in allowed:
                raise KeyPathError(
                    (*path, str(key)), f"unknown key; allowed: {', '.join(allowed)}{nearest(key, allowed)}"
                )

    return check


def _number_or_mapping(value: Any, path: KeyPath) -> None:
    if not isinstance(value, Mapping):
        number(value, path)


def _ema(value: Any, path: KeyPath) -> None:
    mapping_of(*EMA_KEYS)(value, path)
    decay = value.get("decay", EMA_DECAY)
    number(decay, (*path, "decay"))
    if not 0 < decay < 1:
        raise KeyPathError((*path, "decay"), f"must lie between 0 and 1, got {decay!r}")


def _early_stop(value: Any, path: KeyPath) -> None:
    mapping_of(*EARLY_STOP_KEYS)(value, path)
    if "intervals" not in value:
        raise KeyPathError(path, "needs 'intervals': how many evaluations without improvement end the training")
    positive_whole(value["intervals"], (*path, "intervals"))
    number(value.get("min_delta", 0), (*path, "min_delta"))
    if value.get("min_delta", 0) < 0:
        raise KeyPathError((*path, "min_delta"), f"must not be below 0, got {value['min_delta']!r}")


def _loss(value: Any, path: KeyPath) -> None:
    mapping_of(*LOSS_KEYS)(value, path)
    for key in LOSS_KEYS:
        if not isinstance(value.get(key), list) or not value[key]:
            raise KeyPathError((*path, key), f"must be a list that is not empty, got {kind_of(value.get(key))}")
    for position, item in enumerate(value["coef"]):
        number(item, (*path, "coef", position))
    types, coefficients = len(value["types"]), len(value["coef"])
    if types not in (1, coefficients):
        raise KeyPathError(
            path, f"has {types} types and {coefficients} coef; give as many of each, or one type for all coefficients"
        )


def _class_groups(value: Any, path: KeyPath) -> None:
    mapping(value, path)
    for name, ids in value.items():
        where = (*path, str(name))
        if not isinstance(ids, list) or not ids:
            raise KeyPathError(where, f"must be a list of class ids, got {kind_of(ids)}")
        for position, item in enumerate(ids):
            if isinstance(item, bool) or not isinstance(item, int) or item < 0:
                raise KeyPathError((*where, position), f"must be a class id (0, 1, …), got {item!r}")
        if len(set(ids)) != len(ids):
            raise KeyPathError(where, "names a class id twice")


def plugin_names(value: Any, path: KeyPath) -> None:
    """A list of module names and `.py` files."""
    if not isinstance(value, list):
        raise KeyPathError(path, f"must be a list of module names or .py files, got {kind_of(value)}: {value!r}")
    for position, item in enumerate(value):
        text(item, (*path, position))


def _sizes(value: Any, path: KeyPath) -> None:
    if not isinstance(value, list) or len(value) not in (2, 3):
        raise KeyPathError(
            path,
            f"must be a list of three numbers of voxels, X, Y and Z, or of two for a network for images, got {value!r}",
        )
    for position, item in enumerate(value):
        positive_whole(item, (*path, position))


def _space(value: Any, path: KeyPath) -> None:
    if value not in EVALUATION_SPACES:
        raise KeyPathError(path, f"must be one of {', '.join(EVALUATION_SPACES)}, got {value!r}")


def _best(value: Any, path: KeyPath) -> None:
    if value not in BEST_BY:
        raise KeyPathError(path, f"must be one of {', '.join(BEST_BY)}, got {value!r}")


def _mirror(value: Any, path: KeyPath) -> None:
    if value not in MIRRORING:
        raise KeyPathError(path, f"must be one of {', '.join(MIRRORING)}, got {value!r}")


def _precision(value: Any, path: KeyPath) -> None:
    if value not in PRECISIONS:
        raise KeyPathError(path, f"must be one of {', '.join(PRECISIONS)}, got {value!r}")


def _write(value: Any, path: KeyPath) -> None:
    if value not in WRITING:
        raise KeyPathError(path, f"must be one of {', '.join(WRITING)}, got {value!r}")


def _level_order(value: Any, path: KeyPath) -> None:
    several = isinstance(value, list) and value and isinstance(value[0], list)
    for order in value if several else [value]:
        _class_groups({path[-1]: order}, path[:-1])


def _postprocessing(value: Any, path: KeyPath) -> None:
    if not isinstance(value, list):
        raise KeyPathError(path, f"must be a list of steps {{type, ...}}, got {kind_of(value)}: {value!r}")
    for position, item in enumerate(value):
        if not isinstance(item, Mapping) or "type" not in item:
            raise KeyPathError((*path, position), f"must be a mapping with 'type', got {item!r}")


def _up_to(most: int | None) -> Check:
    def check(value: Any, path: KeyPath) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= (value if most is None else most):
            limit = "not below 0" if most is None else f"from 0 to {most}"
            raise KeyPathError(path, f"must be a whole number {limit}, got {value!r}")

    return check


def _test_config(value: Any, path: KeyPath) -> None:
    mapping_of(*TEST_CHECKS, *MEANINGLESS_TEST)(value, path)
    for key, item in value.items():
        if key in TEST_CHECKS and item is not None:
            TEST_CHECKS[key](item, (*path, key))


TEST_CHECKS: dict[str, Check] = {
    "best": _best,
    "is_slide": truth,
    "crop_size": _sizes,
    "stride": _sizes,
    "sliding": mapping,
    "sw_num": positive_whole,
    "auc_roc": truth,
    "eval_space": _space,
    "overlays": _up_to(MOST_OVERLAYS),
    "save_predictions": _up_to(None),
    "pseudo_patches": positive_whole,
    "calibration": truth,
    "mirror": _mirror,
    "level_order": _level_order,
    "write": _write,
}

CHECKS: dict[str, Check] = {
    "data_root": text,
    "batch_size": positive_whole,
    "iters": positive_whole,
    "epochs": positive_whole,
    "max_time": duration,
    "precision": _precision,
    "save_interval": interval,
    "val_interval": interval,
    "pseudo_interval": interval,
    "train_dataset": mapping,
    "val_dataset": mapping,
    "test_dataset": mapping,
    "model": mapping,
    "optimizer": mapping,
    "lr_scheduler": mapping,
    "learning_rate": _number_or_mapping,
    "loss": _loss,
    "class_groups": _class_groups,
    "ema": _ema,
    "use_ema": truth,
    "early_stop": _early_stop,
    "early_stop_intervals": positive_whole,
    "test_config": _test_config,
    "postprocessing": _postprocessing,
    "export": mapping_of(*EXPORT_KEYS),
    "to_static_training": truth,
    "plugins": plugin_names,
}
