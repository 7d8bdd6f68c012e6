"""Holds the evidence of a run against every promise, and counts. Pure.

`chaos` and the tests print what it finds. Each promise says how many things it was held against: one that
was held against none shows nothing. It must never excuse what it finds by what went wrong in the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import moved
import shown
import story
from case import Case, Finding
from evidence import Evidence

PROMISES: tuple[tuple[str, Callable[[Case], Iterator[Finding]]], ...] = (
    ("a client that asks again is answered, and never wrongly", story.answers),
    ("each accepted order is recorded once, and no order that nobody asked for", story.recorded),
    ("each accepted order reached an end", story.ends),
    ("an order moved only along the table of its steps", story.steps),
    ("no charge, or one unrefunded for a shipped order, or one fully refunded", moved.money),
    ("the provider moved money for known orders only, each kind once, in full", moved.ledger),
    ("one parcel for a shipped order, none for a canceled or failed one", moved.parcels),
    ("a parcel went to the order's address, by its tracking number", moved.addresses),
    ("the audit trail explains every state", story.events),
    ("what a client was told was taken is so", story.words),
    ("Temporal ended each order as the record says, and nothing goes on", shown.temporal),
    ("each Order's status in Kubernetes equals the record", shown.kubernetes),
    ("each edit of an Order is applied or refused in its status", shown.edits),
    ("no finalizer is left, and deleted Orders are gone", shown.finalizers),
)


@dataclass
class Promise:
    """A promise, how many things it was held against, and those that broke it."""

    text: str
    held_against: int = 0
    broken: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        verdict = f"{len(self.broken)} BROKEN" if self.broken else "kept"
        return f"{self.text}: {self.held_against} looked at, {verdict}"


def promises(evidence: Evidence) -> list[Promise]:
    """Every promise, judged."""
    case = Case(evidence)
    return [_judged(text, find(case)) for text, find in PROMISES]


def _judged(text: str, findings: Iterator[Finding]) -> Promise:
    promise = Promise(text)
    for about, wrong in findings:
        promise.held_against += 1
        if wrong:
            promise.broken.append(f"{about}: {wrong}")
    return promise
