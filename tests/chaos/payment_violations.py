"""Violations of the promises on payments, for the test of the checker: a name, the promise, and what violates it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from chaos.client_logs import ChangeResult, RefundLog
from chaos.order_plans import Place, RefundPlan
from chaos.valid_evidence import (
    AMOUNT_REFUND,
    CANCELED,
    CAPTURED,
    DECLARED,
    FAILED,
    HELD,
    LATER,
    LINE_REFUND,
    SHIPPED,
    entry,
    intent,
    part_entry,
)
from orderfleet.domain.events import EventKind
from orderfleet.domain.ledger import IntentStatus
from orderfleet.domain.status import PaymentStatus

Violate = Callable[[Any], Any]

MONEY, LEDGER, BOOKED = "a shipped order took", "the provider", "no parcel is booked"
REFUNDS, FITS, INTENTS = "an accepted refund", "a refund that fits", "each capture and each refund has ended"
AGREEMENT, REFUND_EVENTS, ANSWERED = "order, ledger and provider", "each refund has its events", "a client that repeats"
KUBERNETES_STATUS, EDITS = "each Order's status", "each edit"


def _add_entry(kind: str, name: str, **changes: Any) -> Violate:
    return lambda found: found.money.append(entry(kind, name, **changes))


def _without_entry(kind: str, name: str) -> Violate:
    return lambda found: found.money.remove(entry(kind, name))


def _change_entry(kind: str, name: str, **changes: Any) -> Violate:
    def violate(found: Any) -> None:
        found.money[found.money.index(entry(kind, name))] = entry(kind, name, **changes)

    return violate


def _without_part(found: Any) -> None:
    found.money.remove(part_entry(AMOUNT_REFUND))


def _change_payment(name: str, **changes: Any) -> Violate:
    def violate(found: Any) -> None:
        found.payments[f"pay-{name}"] = found.payments[f"pay-{name}"].model_copy(update=changes)

    return violate


def _change_intent(key_end: str, **changes: Any) -> Violate:
    """Change an intent of the order that is captured on shipment."""

    def violate(found: Any) -> None:
        intents = found.payments[f"pay-{CAPTURED}"].intents
        assert any(each.key.endswith(key_end) for each in intents)
        changed = [each.model_copy(update=changes if each.key.endswith(key_end) else {}) for each in intents]
        _change_payment(CAPTURED, intents=tuple(changed))(found)

    return violate


def _add_intent(found: Any) -> None:
    made = entry("refund", SHIPPED, key=f"pay-{SHIPPED}/refund/unknown/1")
    found.money.append(made)
    _change_payment(SHIPPED, intents=(intent(made),))(found)


def _open_authorization(found: Any) -> None:
    (authorization,) = found.payments[f"pay-{HELD}"].authorizations
    _change_payment(HELD, authorizations=(authorization.model_copy(update={"state": "open"}),))(found)


def _answer(refund: RefundPlan, **changes: Any) -> Violate:
    """Change the answer that a client got to a request of a refund."""

    def violate(found: Any) -> None:
        logs = found.client_logs[CAPTURED].refunds
        logs[:] = [replace(each, **changes) if each.plan is refund else each for each in logs]

    return violate


def _rejected(refund: RefundPlan) -> Violate:
    log = RefundLog(refund, Place.API, LATER, ChangeResult.REJECTED)
    return lambda found: found.client_logs[CAPTURED].refunds.append(log)


def _derived(name: str, **changes: Any) -> Violate:
    return lambda found: found.derived.update({f"pay-{name}": replace(found.derived[f"pay-{name}"], **changes)})


def _events(name: str, keep: Callable[[Any], bool]) -> Violate:
    return lambda found: found.events[name].__setitem__(
        slice(None), [each for each in found.events[name] if keep(each)]
    )


def _dispatched_first(found: Any) -> None:
    events = found.events[CAPTURED]
    events.sort(key=lambda event: event.kind is not EventKind.DISPATCHED)


def _event_of_unknown_refund(found: Any) -> None:
    last = found.events[CAPTURED][-1]
    found.events[CAPTURED].append(last.model_copy(update={"detail": {"refund": "unknown"}}))


def _shown_payment(**changes: Any) -> Violate:
    return lambda found: found.resources[DECLARED]["status"]["payment"].update(changes)


def _paid_with_another_method(found: Any) -> None:
    found.resources[DECLARED]["spec"]["payment"] = {"method": "pm_other"}


PAYMENT_VIOLATIONS: Final[list[tuple[str, str, Violate]]] = [
    ("charged twice", MONEY, _add_entry("charge", SHIPPED)),
    ("captured twice", MONEY, _add_entry("capture", CAPTURED, key="other", amount=Decimal(1))),
    ("shipped without a charge", MONEY, _without_entry("charge", SHIPPED)),
    ("shipped without a capture", MONEY, _without_entry("capture", CAPTURED)),
    ("captured in part", MONEY, _change_entry("capture", CAPTURED, amount=Decimal(5))),
    ("shipped and undone", MONEY, _add_entry("refund", SHIPPED)),
    ("shipped and voided", MONEY, _add_entry("refund", CAPTURED, key=f"pay-{CAPTURED}/void", amount=Decimal(1))),
    ("canceled without a refund", MONEY, _without_entry("refund", CANCELED)),
    ("canceled and captured", MONEY, _add_entry("capture", HELD)),
    ("canceled without a release", MONEY, _without_entry("release", HELD)),
    ("authorized beside the capture", MONEY, _add_entry("authorize", CAPTURED, key="second", number=2)),
    ("failed and charged", MONEY, _add_entry("charge", FAILED)),
    ("refunded twice", MONEY, _add_entry("refund", CANCELED)),
    ("a charge of an unknown order", LEDGER, _add_entry("charge", "unknown")),
    ("two ledger entries", LEDGER, _add_entry("charge", SHIPPED)),
    ("another currency", LEDGER, lambda found: found.money.append(replace(entry("charge", SHIPPED), currency="EUR"))),
    ("captured more than authorized", LEDGER, _add_entry("capture", CAPTURED, key="other", amount=Decimal(1))),
    ("refunded more than captured", LEDGER, _add_entry("refund", CAPTURED, key="other")),
    ("a parcel of a payment that is authorized only", BOOKED, _without_entry("capture", CAPTURED)),
    ("dispatched before its capture", BOOKED, _dispatched_first),
    ("an accepted refund without money", REFUNDS, _change_intent("/part-1/1", status=IntentStatus.REFUSED)),
    ("a refund of another amount", REFUNDS, _change_intent("/part-1/1", amount=500)),
    ("lines that pay more than they are worth", REFUNDS, _change_intent("/part-2/1", amount=1500)),
    ("an answer with another amount", REFUNDS, _answer(AMOUNT_REFUND, amount=Decimal(4))),
    ("a rejected refund that moved money", REFUNDS, _answer(LINE_REFUND, outcome=ChangeResult.REJECTED, amount=None)),
    ("a rejected amount that fits", FITS, _rejected(RefundPlan("part-4", (Place.API,), Decimal(5)))),
    ("rejected lines that are left", FITS, _rejected(RefundPlan("part-4", (Place.API,), pieces=1))),
    ("an open capture", INTENTS, _change_intent("/capture/1", status=IntentStatus.OPEN)),
    ("an open refund", INTENTS, _change_intent("/part-1/1", status=IntentStatus.OPEN)),
    ("an open authorization", INTENTS, _open_authorization),
    ("a refund that no client asked for", INTENTS, _add_intent),
    ("refused and made", INTENTS, _change_intent("/part-1/1", status=IntentStatus.REFUSED)),
    ("a refund that the provider does not have", INTENTS, _without_part),
    ("a refund of another amount at the provider", INTENTS, _change_intent("/part-1/1", amount=500)),
    ("a refund of the provider only", AGREEMENT, _add_entry("refund", SHIPPED, amount=Decimal(1))),
    ("a capture of the provider only", AGREEMENT, _add_entry("capture", HELD)),
    ("a release of the order store only", AGREEMENT, _without_entry("release", HELD)),
    ("entries that derive another sum", AGREEMENT, _derived(SHIPPED, captured=Decimal(1))),
    ("entries that derive another status", AGREEMENT, _derived(SHIPPED, status=PaymentStatus.AUTHORIZED)),
    ("another amount in the order", AGREEMENT, _change_payment(SHIPPED, captured=1)),
    ("no payment in the ledger", AGREEMENT, lambda found: found.payments.pop(f"pay-{SHIPPED}")),
    ("a discrepancy", AGREEMENT, lambda found: found.discrepancies.append((f"pay-{SHIPPED}", "contradicting_entry"))),
    (
        "accepted without an event",
        REFUND_EVENTS,
        _events(CAPTURED, lambda event: event.kind is not EventKind.REFUND_PENDING),
    ),
    ("made without an event", REFUND_EVENTS, _events(CAPTURED, lambda event: event.kind is not EventKind.REFUNDED)),
    ("an event without a refund", REFUND_EVENTS, _event_of_unknown_refund),
    ("undone without an event", REFUND_EVENTS, _events(CANCELED, lambda event: event.kind is not EventKind.REFUNDED)),
    ("a refund never answered", ANSWERED, lambda found: found.client_logs[CAPTURED].refunds.pop()),
    ("more refunded in Kubernetes", KUBERNETES_STATUS, _shown_payment(refunded="1.00", status="PARTIALLY_REFUNDED")),
    ("not captured in Kubernetes", KUBERNETES_STATUS, _shown_payment(captured="0.00")),
    ("a method without an outcome", EDITS, _paid_with_another_method),
]
