"""What Stripe's objects say of a payment: its status and how its money moved, with our keys."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from orderfleet.domain.order import CaptureMode
from orderfleet.domain.payment import (
    CaptureIntent,
    Movement,
    MovementKind,
    PaymentIntent,
    ProviderPayment,
    ProviderStatus,
)
from orderfleet.providers.payments.stripe import objects
from orderfleet.providers.payments.stripe.amounts import from_stripe
from orderfleet.providers.payments.stripe.objects import IntentStatus, StripeDispute, StripeIntent, StripeRefund


def capture_key(intent: StripeIntent, number: int | None = None) -> str:
    """Our idempotency key of a capture; that of the charge for a PaymentIntent that captures by itself.

    Args:
        intent: captured.
        number: of the capture; None for that of a charge.
    """
    payment = PaymentIntent(
        payment_id=intent.metadata[objects.PAYMENT_ID],
        order_id=intent.metadata[objects.ORDER_ID],
        currency=intent.currency.upper(),
        amount=0,
        number=intent.number,
    )
    return payment.key if number is None else CaptureIntent(payment=payment, number=number, amount=0).key


def provider_payment(
    intent: StripeIntent, refunds: Iterable[StripeRefund], disputes: Iterable[StripeDispute]
) -> ProviderPayment:
    """A PaymentIntent with its movements of money.

    Args:
        intent: one of ours, with its charge.
        refunds: all of it.
        disputes: all of it.
    """
    currency = intent.currency.upper()
    charge = intent.charge
    at = charge.created if charge is not None else intent.created
    movements = [
        *captures(intent, at),
        *refund_movements(refunds, currency),
        *_chargebacks(disputes, currency),
    ]
    return ProviderPayment(
        payment_id=intent.metadata[objects.PAYMENT_ID],
        order_id=intent.metadata[objects.ORDER_ID],
        number=intent.number,
        reference=intent.id,
        currency=currency,
        amount=from_stripe(intent.amount, currency),
        status=_status(intent),
        reason=intent.decline if intent.status is IntentStatus.REQUIRES_PAYMENT_METHOD else "",
        pending=intent.pending if intent.status in objects.WAITING else None,
        authorized=from_stripe(intent.amount, currency) if intent.authorized else 0,
        expires_at=charge.card.capture_before if charge is not None else None,
        movements=tuple(sorted(movements, key=lambda each: each.at)),
    )


def _status(intent: StripeIntent) -> ProviderStatus:
    if intent.voided:
        return ProviderStatus.VOIDED
    match intent.status:
        case IntentStatus.SUCCEEDED:
            return ProviderStatus.CAPTURED
        case IntentStatus.REQUIRES_CAPTURE:
            return ProviderStatus.AUTHORIZED
        case IntentStatus.REQUIRES_PAYMENT_METHOD if intent.decline:
            return ProviderStatus.FAILED
        case _:
            return ProviderStatus.PENDING


def captures(intent: StripeIntent, at: datetime) -> Iterable[Movement]:
    """The captures of a PaymentIntent of ours.

    Args:
        intent: captured in whole or in part.
        at: time of the captures, which a PaymentIntent does not have.
    """
    currency = intent.currency.upper()
    recorded = 0
    for number, amount in sorted(intent.captures.items()):
        if recorded + amount > intent.amount_received:
            # The request of this capture was not executed.
            continue
        recorded += amount
        key = capture_key(intent, number)
        yield _movement(MovementKind.CAPTURED, key, intent.charge_id, from_stripe(amount, currency), at)
    if intent.amount_received > recorded:
        # Captured by itself, as a charge is, or by a person.
        key = capture_key(intent) if intent.capture_method != objects.CAPTURE_METHODS[CaptureMode.ON_SHIPMENT] else ""
        amount = from_stripe(intent.amount_received - recorded, currency)
        yield _movement(MovementKind.CAPTURED, key, intent.charge_id, amount, at)


def refund_movements(refunds: Iterable[StripeRefund], currency: str) -> Iterable[Movement]:
    """The movements of refunds: two for one that failed.

    Args:
        refunds: of one PaymentIntent.
        currency: its ISO 4217 code.
    """
    for refund in refunds:
        key, amount = refund.metadata.get(objects.KEY, ""), from_stripe(refund.amount, currency)
        yield _movement(MovementKind.REFUNDED, key, refund.id, amount, refund.created)
        if refund.failed:
            yield _movement(MovementKind.REFUND_FAILED, key, refund.id, amount, refund.created)


def _chargebacks(disputes: Iterable[StripeDispute], currency: str) -> Iterable[Movement]:
    for dispute in disputes:
        for each in dispute.balance_transactions:
            # Stripe withdraws the amount of a dispute by a negative transaction, and reinstates it by a positive one.
            kind = MovementKind.CHARGED_BACK if each.amount < 0 else MovementKind.CHARGE_BACK_REVERSED
            yield _movement(kind, "", dispute.id, from_stripe(dispute.amount, currency), each.created)


def _movement(kind: MovementKind, key: str, reference: str, amount: int, at: datetime) -> Movement:
    return Movement(kind=kind, key=key, reference=reference, amount=amount, at=at)
