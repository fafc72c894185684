"""Durations as people write them: 90s, 30m, 2h, 1h30m."""

from __future__ import annotations

import re

from medicalseg.errors import UserError

FORMS = "90s, 30m, 2h or 1h30m"
_PARTS = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")
_SECONDS = (3600.0, 60.0, 1.0)


def seconds_of(text: str) -> float:
    """Seconds of a duration such as `1h30m`.

    Raises:
        UserError: the text is not such a duration, or it is 0.

    Example:
        >>> seconds_of("1h30m")
        5400.0
    """
    plain = str(text).strip().lower().replace(" ", "")
    found = _PARTS.fullmatch(plain) if plain else None
    seconds = (
        sum(float(part) * unit for part, unit in zip(found.groups(), _SECONDS, strict=True) if part) if found else 0
    )
    if seconds <= 0:
        raise UserError(f"'{text}' is not a duration such as {FORMS}")
    return float(seconds)
