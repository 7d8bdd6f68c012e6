"""Checks of money and parcels against the ledgers of payment provider and carrier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from chaos.check_context import CheckContext, Finding
from orderfleet.domain.order import Address
from support.ledgers import SHIPPED, parcel_errors, payment_errors


def money(context: CheckContext) -> Iterator[Finding]:
    """Each ended order's charges, in the provider's ledger and in the order store."""
    ledgers = Counter((entry.kind, entry.payment_id) for entry in context.evidence.money)
    for order_id, status in context.statuses.items():
        yield order_id, "; ".join(payment_errors(status, ledgers))


def ledger(context: CheckContext) -> Iterator[Finding]:
    """Each entry of the provider's ledger."""
    count = Counter((entry.kind, entry.payment_id) for entry in context.evidence.money)
    for entry in context.evidence.money:
        order = context.evidence.orders.get(entry.order_id)
        if order is None or order.status.payment.id != entry.payment_id:
            yield entry.payment_id, f"{entry.kind} for {entry.order_id}, whose payment it isn't"
        elif (entry.amount, entry.currency) != (order.status.payment.amount, order.status.payment.currency):
            yield entry.payment_id, f"{entry.kind} of {entry.amount}, the order is {order.status.payment.amount}"
        else:
            times = count[entry.kind, entry.payment_id]
            yield entry.payment_id, "" if times == 1 else f"{entry.kind} {times} times"


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
