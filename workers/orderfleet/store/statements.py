"""The SQL statements: each is a file in `sql/`, read when it is first used."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

_names: dict[str, str] = {}
"""Name of each statement by its text: the driver accepts a plain string only."""


@cache
def statement(name: str) -> str:
    """Return the text of `sql/{name}.sql`.

    Raises:
        FileNotFoundError: there is no such statement.
    """
    text = (files("orderfleet.store") / "sql" / f"{name}.sql").read_text(encoding="utf-8")
    _names[text] = name
    return text


def name_of(sql: str) -> str:
    """Return the name of a statement in metrics; `other` for a text that is not from a file."""
    return _names.get(sql, "other")
