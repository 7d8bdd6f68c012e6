"""Holds the evidence of a run against every promise, and counts. Pure.

`chaos` and the tests print what it finds. Each promise says how many things it was held against: one that
was held against none shows nothing. It must never excuse what it finds by what went wrong in the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import audit_checks
import ledger_checks
import status_checks
from check_context import CheckContext, Finding
from evidence import Evidence

PROMISES: tuple[tuple[str, Callable[[CheckContext], Iterator[Finding]]], ...] = (
    ("a client that asks again is answered, and never wrongly", audit_checks.answers),
    ("each accepted order is recorded once, and no order that nobody asked for", audit_checks.recorded),
    ("each accepted order reached an end", audit_checks.ends),
    ("an order moved only along the table of its steps", audit_checks.steps),
    ("no charge, or one unrefunded for a shipped order, or one fully refunded", ledger_checks.money),
    ("the provider moved money for known orders only, each kind once, in full", ledger_checks.ledger),
    ("one parcel for a shipped order, none for a canceled or failed one", ledger_checks.parcels),
    ("a parcel went to the order's address, by its tracking number", ledger_checks.addresses),
    ("the audit trail explains every state", audit_checks.events),
    ("what a client was told was taken is so", audit_checks.accepted_changes),
    ("Temporal ended each order as the record says, and nothing goes on", status_checks.temporal),
    ("each Order's status in Kubernetes equals the record", status_checks.kubernetes),
    ("each edit of an Order is applied or refused in its status", status_checks.edits),
    ("no finalizer is left, and deleted Orders are gone", status_checks.finalizers),
)


@dataclass
class Promise:
    """A promise, how many things it was held against, and those that broke it."""

    text: str
    cases: int = 0
    broken: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        verdict = f"{len(self.broken)} BROKEN" if self.broken else "kept"
        return f"{self.text}: {self.cases} looked at, {verdict}"


def promises(evidence: Evidence) -> list[Promise]:
    """Every promise, judged."""
    context = CheckContext(evidence)
    return [_check(text, find(context)) for text, find in PROMISES]


def _check(text: str, findings: Iterator[Finding]) -> Promise:
    promise = Promise(text)
    for about, wrong in findings:
        promise.cases += 1
        if wrong:
            promise.broken.append(f"{about}: {wrong}")
    return promise
