"""The imports that the migration page names exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[1] / "docs" / "how-to" / "migrate.md"
SECTION = PAGE.read_text(encoding="utf-8").partition("## Code of your own")[2].partition("\nA network may")[0]
ROWS = [row.strip("| ").split(" | ") for row in SECTION.splitlines() if row.startswith("| ")][1:]
STATEMENT = re.compile(r"`(from [\w.]+ import [\w, ]+)`")


def statements() -> list[str]:
    """The imports of the right column, and of the left where nothing changes."""
    columns = [old if new.startswith("the same") else new for old, new in ROWS]
    return [found for column in columns for found in STATEMENT.findall(column)]


def test_the_page_has_its_table() -> None:
    assert len(ROWS) > 15
    assert len(statements()) > 15


@pytest.mark.parametrize("statement", statements())
def test_the_import_exists(statement: str) -> None:
    _, module, _, names = statement.split(" ", 3)
    wanted = names.split(", ")
    found = __import__(module, fromlist=wanted)
    assert [name for name in wanted if not hasattr(found, name)] == []


def test_the_logger_has_its_functions(caplog: pytest.LogCaptureFixture) -> None:
    from medicalseg.utils import logger

    with caplog.at_level("WARNING", logger="medicalseg"):
        logger.warning("said by %s", "a plugin")
    assert "said by a plugin" in caplog.text
