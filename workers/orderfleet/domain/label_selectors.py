"""Label selectors of Kubernetes: parses them, formats them, and matches labels against them.

It supports the notation of `kubectl get -l`, except comparisons of numbers (`>`, `<`).
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
_SEPARATOR: Final = re.compile(r",(?![^(]*\))")
"""A comma outside parentheses."""


class Relation(StrEnum):
    """What a selector requires of one label."""

    IN = "in"
    NOT_IN = "notin"
    EXISTS = "exists"
    DOES_NOT_EXIST = "does not exist"


@dataclass(frozen=True)
class Requirement:
    """What a selector requires of one label."""

    key: str
    relation: Relation
    values: tuple[str, ...] = ()

    @classmethod
    def read(cls, text: str) -> Self:
        """Parse `key`, `!key`, `key=a`, `key!=a`, `key in (a,b)` or `key notin (a,b)`.

        Raises:
            ValueError: the text is none of these.
        """
        if found := _EXISTENCE.fullmatch(text):
            return cls(found["key"], Relation.DOES_NOT_EXIST if found["not"] else Relation.EXISTS)
        if found := _EQUALITY.fullmatch(text):
            relation = Relation.NOT_IN if found["relation"] == "!=" else Relation.IN
            return cls(found["key"], relation, (found["value"],))
        if found := _SET.fullmatch(text):
            values = tuple(value.strip() for value in found["values"].split(","))
            return cls(found["key"], Relation(found["relation"]), values)
        msg = f"{text!r} is not a label selector: write KEY, !KEY, KEY=A, KEY!=A, KEY in (A,B) or KEY notin (A,B)"
        raise ValueError(msg)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels meet the requirement; a missing label is not in any list."""
        match self.relation:
            case Relation.IN:
                return labels.get(self.key) in self.values
            case Relation.NOT_IN:
                return labels.get(self.key) not in self.values
            case Relation.EXISTS:
                return self.key in labels
            case Relation.DOES_NOT_EXIST:
                return self.key not in labels

    def __str__(self) -> str:
        """The requirement in the notation of set-based selectors."""
        match self.relation:
            case Relation.EXISTS:
                return self.key
            case Relation.DOES_NOT_EXIST:
                return f"!{self.key}"
            case _:
                return f"{self.key} {self.relation} ({','.join(self.values)})"


@dataclass(frozen=True)
class LabelSelector:
    """Requirements that an object has to meet; an empty selector matches every object."""

    requirements: tuple[Requirement, ...] = ()

    @classmethod
    def read(cls, text: str) -> Self:
        """Parse requirements that commas separate; an empty text has none.

        Raises:
            ValueError: a requirement can't be parsed; the message repeats it.
        """
        parts = _SEPARATOR.split(text) if text.strip() else ()
        return cls(tuple(Requirement.read(part.strip()) for part in parts))

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        return all(requirement.matches(labels) for requirement in self.requirements)

    def __str__(self) -> str:
        """The selector as the API server accepts it."""
        return ",".join(map(str, self.requirements))
