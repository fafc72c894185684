"""Class names by id, from the two ways datasets write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medicalseg.errors import ConfigError, DataError


def names_by_id(content: Any, where: str) -> dict[int, str]:
    """Names by id from MSD's {"0": name} or nnU-Net's {name: 0}.

    Args:
        content: the mapping.
        where: file, for messages.

    Raises:
        DataError: if it is neither.
    """
    if not isinstance(content, Mapping) or not content:
        raise DataError(f"{where}: 'labels' must map ids to names or names to ids, got {content!r}")
    if all(_is_id(key) for key in content):
        pairs = [(int(key), str(name)) for key, name in content.items()]
    elif all(_is_id(value) for value in content.values()):
        pairs = [(int(value), str(name)) for name, value in content.items()]
    else:
        raise DataError(f"{where}: 'labels' needs one integer id per name, got {dict(content)}")
    if len(dict(pairs)) != len(pairs):
        raise DataError(f"{where}: 'labels' gives one id to several names: {dict(content)}")
    return dict(sorted(pairs))


def region_arguments(content: Any, region_order: Any, where: str) -> dict[str, Any]:
    """A dataset's arguments that say what lists of values under a description's `labels` do; empty without lists.

    Lists that share values, or come with a `regions_class_order`, are regions (nnU-Net); else they are merged classes.

    Args:
        content: {name: value or list of values}; "ignore" and "background" are no regions.
        region_order: nnU-Net's `regions_class_order`; None if there is none.
        where: file, for messages.

    Raises:
        DataError: if a value is no whole number.
    """
    if not isinstance(content, Mapping) or not any(isinstance(value, (list, tuple)) for value in content.values()):
        return {}
    lists = {str(name): _as_list(value) for name, value in content.items()}
    wrong = [name for name, values in lists.items() if not values or not all(map(_is_id, values))]
    if wrong:
        raise DataError(f"{where}: 'labels' needs ids or lists of ids, got {content[wrong[0]]!r} for '{wrong[0]}'")
    values = {name: [int(value) for value in found] for name, found in lists.items()}
    ignored = [value for name in values if name.lower() == "ignore" for value in values[name]]
    values = {name: found for name, found in values.items() if name.lower() != "ignore"}
    every = [value for found in values.values() for value in found]
    regions = region_order is not None or len(set(every)) < len(every)
    arguments: dict[str, Any] = {"regions" if regions else "labels": values}
    if region_order is not None:
        arguments["region_order"] = _as_list(region_order)
    return arguments | ({"ignore": ignored} if ignored else {})


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def class_names(labels: Any) -> dict[int, str]:
    """Names by id from an argument `labels`: a mapping either way, a list of names from id 0 on, or None.

    Raises:
        ConfigError: if it is something else.
    """
    if labels is None:
        return {}
    if isinstance(labels, Sequence) and not isinstance(labels, str):
        return {number: str(name) for number, name in enumerate(labels)}
    try:
        return names_by_id(labels, "the dataset's arguments")
    except DataError as error:
        raise ConfigError(str(error)) from error


def _is_id(value: Any) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool) and str(value).strip().lstrip("-").isdigit()
