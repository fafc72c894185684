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
        DataError: if it is neither; regions (lists of ids) are not supported.
    """
    if not isinstance(content, Mapping) or not content:
        raise DataError(f"{where}: 'labels' must map ids to names or names to ids, got {content!r}")
    if all(_is_id(key) for key in content):
        pairs = [(int(key), str(name)) for key, name in content.items()]
    elif all(_is_id(value) for value in content.values()):
        pairs = [(int(value), str(name)) for name, value in content.items()]
    else:
        raise DataError(f"{where}: 'labels' needs one integer id per name; regions of several ids are not supported")
    if len(dict(pairs)) != len(pairs):
        raise DataError(f"{where}: 'labels' gives one id to several names: {dict(content)}")
    return dict(sorted(pairs))


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
