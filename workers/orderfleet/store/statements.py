"""The statements: each is a file in `sql/`, read once when it is first used.

The writes, the reads and the feed call it by the file's name. SQL stands nowhere else but in those
files and in the migrations.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def statement(name: str) -> str:
    """The text of `sql/{name}.sql`.

    Raises:
        FileNotFoundError: there is no such statement.
    """
    return (files("orderfleet.store") / "sql" / f"{name}.sql").read_text(encoding="utf-8")
