"""Checks the evidence of a run against every promise, and counts the cases.

A promise without a case shows nothing. The checks are pure and don't know which faults a run had, so that no fault
excuses a violation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from chaos import audit_checks, ledger_checks, payment_checks, status_checks
from chaos.check_context import CheckContext, Finding
from chaos.evidence import Evidence

PROMISES: tuple[tuple[str, Callable[[CheckContext], Iterator[Finding]]], ...] = (
    ("a client that repeats its request is answered, and never wrongly", audit_checks.answers),
    ("each accepted order is stored once, and no order exists without a request", audit_checks.recorded),
    ("each accepted order reached an end", audit_checks.ends),
    ("an order moved only along its transition table", audit_checks.steps),
    (
        "a shipped order took its total once, any other returned what it took; nothing stays authorized",
        ledger_checks.money,
    ),
    (
        "the provider moved money once, for known orders, and never more than authorized or captured",
        ledger_checks.ledger,
    ),
    ("no parcel is booked before its payment is captured", ledger_checks.captures),
    ("an accepted refund moved exactly its amount once, a rejected one nothing", payment_checks.refunds),
    ("a refund that fits is not rejected", payment_checks.rejections),
    ("each capture and each refund has ended, as at the provider, and none is left open", payment_checks.intents),
    ("order, ledger and provider agree on what is authorized, captured and refunded", payment_checks.agreement),
    ("each refund has its events in the audit trail", payment_checks.refund_events),
    ("one parcel for a shipped order, none for a canceled or failed one", ledger_checks.parcels),
    ("a parcel went to the order's address, under its tracking number", ledger_checks.addresses),
    ("the audit trail explains every state", audit_checks.events),
    ("what a client received as accepted is so", audit_checks.accepted_changes),
    ("Temporal ended each order as the order store shows, and no workflow still runs", status_checks.temporal),
    ("each Order's status in Kubernetes equals the order store", status_checks.kubernetes),
    ("each edit of an Order is applied, or rejected in its status", status_checks.edits),
    ("no finalizer is left, and deleted Orders are gone", status_checks.finalizers),
)


@dataclass
class Promise:
    """A promise, the number of cases that were checked, and the violations."""

    text: str
    cases: int = 0
    broken: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        verdict = f"{len(self.broken)} BROKEN" if self.broken else "kept"
        return f"{self.text}: {self.cases} cases, {verdict}"


def promises(evidence: Evidence) -> list[Promise]:
    """Check every promise."""
    context = CheckContext(evidence)
    return [_check(text, find(context)) for text, find in PROMISES]


def _check(text: str, findings: Iterator[Finding]) -> Promise:
    promise = Promise(text)
    for subject, violation in findings:
        promise.cases += 1
        if violation:
            promise.broken.append(f"{subject}: {violation}")
    return promise
