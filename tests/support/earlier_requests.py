"""The table of the requests that earlier systems print: reads it, and compares a document with what a row expects."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from orderfleet_local.stack import paths

TABLE: Final = paths.checkout() / "tests" / "contracts" / "earlier_requests.toml"
ANY: Final = "*"
"""An expected value: any but null."""


@dataclass(frozen=True)
class RawCall:
    """A call with a Temporal client: `start`, `signal` or `query`, the name of the latter two, and the arguments."""

    kind: str
    name: str
    arguments: list[Any]

    @classmethod
    def read(cls, text: str) -> RawCall:
        call, bracket, arguments = text.partition("[")
        kind, *names = call.split()
        return cls(kind, " ".join(names), json.loads(bracket + arguments))


@dataclass(frozen=True)
class EarlierRequest:
    """A row of the table, whose head describes the fields."""

    name: str
    curl: str
    status: int
    answer: Mapping[str, Any]
    order: Mapping[str, Any]
    waiting: bool = False
    cli: str = ""
    no_cli: str = ""
    raw: list[str] = field(default_factory=list)
    no_raw: str = ""


REQUESTS: Final = [EarlierRequest(**row) for row in tomllib.loads(TABLE.read_text("utf-8"))["request"]]


def differences(found: Any, expected: Any, path: str = "") -> list[str]:
    """Compare a document with what is expected of some of its fields.

    Args:
        found: the document.
        expected: values, objects of them, or `ANY`. An empty text also expects null. A whole `address` expects all of
            its fields that are not empty.
        path: of `found` in the document.

    Returns:
        A line for each field that differs.
    """
    if isinstance(expected, Mapping):
        if not isinstance(found, Mapping):
            return [f"{path}: {found!r} is no object"]
        more = {name for name, value in found.items() if value and name not in expected}
        unexpected = more if path == "address" and "city" in expected else set()
        return [
            *(f"{path}.{name}: {found[name]!r} is not expected" for name in sorted(unexpected)),
            *(
                line
                for name, value in expected.items()
                for line in differences(found.get(name), value, f"{path}.{name}".lstrip("."))
            ),
        ]
    if expected == ANY:
        return [f"{path}: is missing"] if found is None else []
    if found == expected or (expected == "" and found is None):
        return []
    return [f"{path}: {found!r}, expected {expected!r}"]
