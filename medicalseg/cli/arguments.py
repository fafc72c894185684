"""Argument types that several verbs share."""

from __future__ import annotations

import argparse


def truth(text: str) -> bool:
    """True or False as text, in any of the usual spellings.

    Raises:
        argparse.ArgumentTypeError: if it is neither.
    """
    value = text.strip().lower()
    if value in ("true", "yes", "on", "1"):
        return True
    if value in ("false", "no", "off", "0", ""):
        return False
    raise argparse.ArgumentTypeError(f"'{text}' is neither True nor False")
