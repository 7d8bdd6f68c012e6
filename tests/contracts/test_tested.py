"""The table of promises names tests that exist, and leaves no promise without a word on how it is shown."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from orderfleet.stack import paths

TABLE = paths.checkout() / "deploy" / "docs" / "tested.md"
HEAD = ["promised", "shown by"]
NOT_SHOWN = "not shown by a test"
NAME = re.compile(r"^`(?P<file>tests/[\w/]+\.py)::(?P<test>test_\w+)(\[[^`]*\])?`$")


def rows() -> list[tuple[str, list[str]]]:
    """Each promise with what stands beside it."""
    lines = [line for line in TABLE.read_text().splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [(row[0], row[1].split("<br>")) for row in cells if row != HEAD and set(row[0]) != {"-"}]


@cache
def functions_of(file: Path) -> frozenset[str]:
    """Names of the functions that a file defines; none if there is no such file."""
    body = ast.parse(file.read_text()).body if file.is_file() else []
    return frozenset(node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_there_is_a_table():
    assert len(rows()) > 100


def test_every_promise_stands_once_in_its_table_and_says_how_it_is_shown():
    for promise, shown in rows():
        assert promise, shown
        assert shown == [NOT_SHOWN] or all(NAME.match(each) for each in shown), promise
    promises = [section.count(f"| {promise} |") for section in _sections() for promise, _ in rows()]
    assert max(promises) == 1


def test_every_test_that_is_named_exists():
    named = [match for _, shown in rows() for each in shown if (match := NAME.match(each))]
    missing = [match[0] for match in named if match["test"] not in functions_of(paths.checkout() / match["file"])]
    assert not missing


def _sections() -> list[str]:
    return TABLE.read_text().split("\n## ")
