"""A parser whose errors are one line, and which knows flags by their whole names only."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

NO_INPUT = 2


class Parser(argparse.ArgumentParser):
    """`argparse.ArgumentParser` with one-line errors; shortened flags would change meaning with new ones."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(allow_abbrev=False, **arguments)

    def parse_all(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse; what is not known is told with the nearest flag."""
        parsed, unknown = self.parse_known_args(arguments)
        if unknown:
            self.error(unknown_text(unknown, self.flags()))
        return parsed

    def flags(self) -> list[str]:
        """Every flag, by its whole name, and those of sub-commands."""
        found = [option for action in self._actions for option in action.option_strings if option.startswith("--")]
        below = [action.choices.values() for action in self._actions if isinstance(action.choices, dict)]
        parsers = [parser for parsers in below for parser in parsers if isinstance(parser, Parser)]
        return found + [flag for parser in parsers for flag in parser.flags()]

    def error(self, message: str) -> NoReturn:
        """End with a line and exit code 2."""
        print(f"error: {message} (`{self.prog} --help` explains)", file=sys.stderr)
        raise SystemExit(NO_INPUT)


def unknown_text(unknown: Sequence[str], flags: Iterable[str]) -> str:
    """What is said of arguments that a verb does not take."""
    from medicalseg.cvlibs.tree import nearest

    name = next((word.partition("=")[0] for word in unknown if word.startswith("-")), None)
    if name is None:
        return f"what is {' '.join(unknown)}? No flag stands before it"
    return f"unknown flag {name}{nearest(name, flags)}"


def unknown_verb(word: str, verbs: Iterable[str]) -> str:
    """What is said of a verb that does not exist."""
    from medicalseg.cvlibs.tree import nearest

    names = list(verbs)
    return f"unknown verb '{word}'{nearest(word, names)}; there are: {', '.join(names)}"
