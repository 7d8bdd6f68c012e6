"""Label selectors as Kubernetes writes them: read, written again, and held against an object's labels.

The settings check theirs by it, and the operator sends it to the API server. It knows what
`kubectl get -l` knows but comparisons of numbers (`>`, `<`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

_NAME: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_VALUE: Final = f"(?:{_NAME})?"
_KEY: Final = rf"(?P<key>(?:[a-z0-9](?:[a-z0-9.-]{{0,251}}[a-z0-9])?/)?{_NAME})"
_EXISTENCE: Final = re.compile(rf"(?P<not>!?)\s*{_KEY}")
_EQUALITY: Final = re.compile(rf"{_KEY}\s*(?P<relation>==|=|!=)\s*(?P<value>{_VALUE})")
_SET: Final = re.compile(rf"{_KEY}\s+(?P<relation>in|notin)\s*\((?P<values>\s*{_VALUE}\s*(?:,\s*{_VALUE}\s*)*)\)")
_BETWEEN: Final = re.compile(r",(?![^(]*\))")
"""A comma outside parentheses."""


class Relation(StrEnum):
    """What a selector asks of one label."""

    IN = "in"
    NOT_IN = "notin"
    THERE = "there"
    MISSING = "missing"


@dataclass(frozen=True)
class Requirement:
    """What is asked of one label."""

    key: str
    relation: Relation
    values: tuple[str, ...] = ()

    @classmethod
    def read(cls, text: str) -> Self:
        """Read `key`, `!key`, `key=a`, `key!=a`, `key in (a,b)` or `key notin (a,b)`.

        Raises:
            ValueError: it is none of these.
        """
        if found := _EXISTENCE.fullmatch(text):
            return cls(found["key"], Relation.MISSING if found["not"] else Relation.THERE)
        if found := _EQUALITY.fullmatch(text):
            relation = Relation.NOT_IN if found["relation"] == "!=" else Relation.IN
            return cls(found["key"], relation, (found["value"],))
        if found := _SET.fullmatch(text):
            values = tuple(value.strip() for value in found["values"].split(","))
            return cls(found["key"], Relation(found["relation"]), values)
        msg = f"{text!r} is not a label selector: write KEY, !KEY, KEY=A, KEY!=A, KEY in (A,B) or KEY notin (A,B)"
        raise ValueError(msg)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels are so; a label that is missing isn't in any list."""
        match self.relation:
            case Relation.IN:
                return labels.get(self.key) in self.values
            case Relation.NOT_IN:
                return labels.get(self.key) not in self.values
            case Relation.THERE:
                return self.key in labels
            case Relation.MISSING:
                return self.key not in labels

    def __str__(self) -> str:
        """It in the one notation that all readers know."""
        match self.relation:
            case Relation.THERE:
                return self.key
            case Relation.MISSING:
                return f"!{self.key}"
            case _:
                return f"{self.key} {self.relation} ({','.join(self.values)})"


@dataclass(frozen=True)
class LabelSelector:
    """Requirements that all hold; none at all is every object."""

    requirements: tuple[Requirement, ...] = ()

    @classmethod
    def read(cls, text: str) -> Self:
        """Read requirements with commas between them; an empty text has none.

        Raises:
            ValueError: one of them can't be read; the message repeats it.
        """
        parts = _BETWEEN.split(text) if text.strip() else ()
        return cls(tuple(Requirement.read(part.strip()) for part in parts))

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is meant."""
        return all(requirement.matches(labels) for requirement in self.requirements)

    def __str__(self) -> str:
        """It as the API server takes it."""
        return ",".join(map(str, self.requirements))
