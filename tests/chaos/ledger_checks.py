"""Checks of money and parcels against the ledgers of payment provider and carrier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from chaos.check_context import Book, CheckContext, Finding
from orderfleet.domain.events import EventKind
from orderfleet.domain.order import Address
from orderfleet.domain.status import OrderStatus, PaymentStatus
from support.ledgers import REFUNDED_STATUSES, SHIPPED, parcel_errors

_SHIPPED_STATUSES = {PaymentStatus.CHARGED, PaymentStatus.PARTIALLY_REFUNDED, PaymentStatus.REFUNDED}
_PAID_OR_DISPATCHED = {EventKind.CHARGED, EventKind.CAPTURED, EventKind.DISPATCHED}


def money(context: CheckContext) -> Iterator[Finding]:
    """What each ended order took, in the provider's ledger and in the order store."""
    for order_id, status in context.statuses.items():
        yield order_id, "; ".join(_money_errors(status, context.book(status.payment.id)))


def ledger(context: CheckContext) -> Iterator[Finding]:
    """Each entry of the provider's ledger, and the sums of each payment."""
    times = Counter((entry.kind, entry.payment_id, entry.number, entry.key) for entry in context.evidence.money)
    for entry in context.evidence.money:
        order = context.evidence.orders.get(entry.order_id)
        if order is None or order.status.payment.id != entry.payment_id:
            yield entry.payment_id, f"{entry.kind} for {entry.order_id}, whose payment it isn't"
        elif entry.currency != order.status.payment.currency or entry.amount <= 0:
            yield entry.payment_id, f"{entry.kind} of {entry.amount} {entry.currency}"
        else:
            count = times[entry.kind, entry.payment_id, entry.number, entry.key]
            yield entry.payment_id, "" if count == 1 else f"{entry.kind} {entry.key} {count} times"
    for payment_id in sorted({entry.payment_id for entry in context.evidence.money}):
        book = context.book(payment_id)
        if book.captured > book.authorized:
            yield payment_id, f"captured {book.captured} of {book.authorized} authorized"
        elif book.refunded > book.captured:
            yield payment_id, f"refunded {book.refunded} of {book.captured} captured"


def captures(context: CheckContext) -> Iterator[Finding]:
    """Each parcel, also one that was voided before it left, was paid before it was booked."""
    for parcel in context.evidence.parcels:
        order = context.evidence.orders.get(parcel.order_id)
        if order is None:
            continue
        status = order.status
        kinds = (event.kind for event in context.evidence.events.get(parcel.order_id, ()))
        first = next((kind for kind in kinds if kind in _PAID_OR_DISPATCHED), None)
        if context.book(status.payment.id).captured < status.payment.amount:
            yield parcel.order_id, "a parcel, and its payment is not captured"
        else:
            yield parcel.order_id, "dispatched before its payment was captured" if first is EventKind.DISPATCHED else ""


def parcels(context: CheckContext) -> Iterator[Finding]:
    """Each order's parcels, in the carrier's ledger and in the order store."""
    parcels = Counter(parcel.order_id for parcel in context.evidence.parcels if not parcel.voided)
    for order_id, status in context.statuses.items():
        yield order_id, "; ".join(parcel_errors(order_id, status, parcels))
    for order_id in parcels.keys() - context.evidence.orders.keys():
        yield order_id, "a parcel of no known order"


def addresses(context: CheckContext) -> Iterator[Finding]:
    """Each parcel's address and tracking number."""
    for order_id, parcel in context.parcel_of.items():
        status = context.statuses.get(order_id)
        if status is None or status.step not in SHIPPED or not status.shipments:
            continue
        destination = Address.model_validate_json(parcel.address)
        violations = (
            []
            if destination == status.address
            else [f"went to {destination.street}, the order says {status.address.street}"]
        )
        if status.shipments[-1].tracking_number != parcel.tracking_number:
            violations.append(f"is {parcel.tracking_number}, the order says {status.shipments[-1].tracking_number}")
        yield order_id, "; ".join(violations)


def _money_errors(status: OrderStatus, book: Book) -> Iterator[str]:
    if book.takes > 1:
        yield f"captured {book.takes} times"
    if book.authorized - book.released != book.captured:
        yield f"{book.authorized - book.released - book.captured} are still authorized"
    if status.step in SHIPPED:
        if book.captured != status.payment.amount:
            yield f"{status.step}, and {book.captured} of {status.payment.amount} are captured"
        if book.undone:
            yield f"{status.step}, and its payment was returned as of a canceled order"
        expected = _SHIPPED_STATUSES
    else:
        if book.captured != book.refunded:
            yield f"{status.step} with {book.captured} captured, {book.refunded} refunded"
        if status.payment.status is PaymentStatus.REFUNDED and not book.refunded:
            yield "refunded in the order store, and not by the provider"
        expected = REFUNDED_STATUSES
    if status.payment.status not in expected:
        yield f"{status.step}, and its payment is {status.payment.status}"
