"""Whole numbers and colours in the settings of masks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from medicalseg.errors import ConfigError


def numbers_by_number(values: Mapping[Any, int] | None) -> dict[int, int]:
    """`mask_values` with whole numbers on both sides; {} for None.

    Raises:
        ConfigError: if there is something else.
    """
    return {whole(key, "mask_values"): whole(value, "mask_values") for key, value in (values or {}).items()}


def whole(value: Any, where: str) -> int:
    """A whole number from 0 on, also as text.

    Raises:
        ConfigError: if it is something else; names `where`.
    """
    if isinstance(value, bool) or not (isinstance(value, int) or (isinstance(value, str) and value.isdigit())):
        raise ConfigError(f"{where}: expected whole numbers from 0 on, got {value!r}")
    return int(value)


def colour(value: Any) -> tuple[int, int, int]:
    """Red, green and blue of [red, green, blue] or "#rrggbb".

    Raises:
        ConfigError: if it is something else.
    """
    if isinstance(value, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", value):
        value = list(bytes.fromhex(value[1:]))
    right = isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 3
    if not right or not all(isinstance(part, int) and 0 <= part <= 255 for part in value):
        raise ConfigError(f"mask_colours: expected [red, green, blue] from 0 to 255 or '#rrggbb', got {value!r}")
    return value[0], value[1], value[2]
