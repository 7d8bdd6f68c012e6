"""The statements: each is a file in `sql/`, read once when it is first used.

The writes, the reads and the feed call it by the file's name. SQL stands nowhere else but in those
files and in the migrations.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

_names: dict[str, str] = {}
"""Name of each statement by its text: the driver takes a plain string only."""


@cache
def statement(name: str) -> str:
    """The text of `sql/{name}.sql`.

    Raises:
        FileNotFoundError: there is no such statement.
    """
    text = (files("orderfleet.store") / "sql" / f"{name}.sql").read_text(encoding="utf-8")
    _names[text] = name
    return text


def name_of(sql: str) -> str:
    """The name that a statement is measured by; `other` for a text that has none."""
    return _names.get(sql, "other")
