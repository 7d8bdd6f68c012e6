"""The events of Stripe's webhooks: their signatures, and what they say of a payment.

An event may come late, repeatedly, and before an earlier one. So it is read as facts with keys, which are recorded
once, and never as an order to do something (https://docs.stripe.com/webhooks).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import stripe

from orderfleet.domain.errors import InvalidWebhook, ProviderUnavailable
from orderfleet.domain.payment import Movement, MovementKind, PaymentUpdate
from orderfleet.providers.connections import read_tokens
from orderfleet.providers.http_answers import json_object
from orderfleet.providers.payments.stripe import movements, objects
from orderfleet.providers.payments.stripe.amounts import from_stripe
from orderfleet.providers.payments.stripe.objects import StripeDispute, StripeEvent, StripeIntent, StripeRefund, read

TOLERANCE_SECONDS: Final = 300
"""Age of a signature at most, so that a recorded request can't be sent again later."""


class StripeEvents:
    """Reads the requests of Stripe's webhooks.

    Args:
        secrets_file: the endpoint's signing secrets, one a line: two while they are rotated. Read for every request.

    Raises:
        InvalidProviderFile: the file can't be read or is invalid.
    """

    def __init__(self, secrets_file: Path) -> None:
        self._secrets_file = secrets_file
        read_tokens(secrets_file)

    def read(self, body: bytes, signature: str) -> PaymentUpdate | None:
        """Return what an event says of a payment.

        Args:
            body: of the request, unchanged.
            signature: its header `Stripe-Signature`.

        Returns:
            None for an event that says nothing of a charge or an authorization of ours.

        Raises:
            InvalidWebhook: the signature is wrong or too old, or the body is no event.
            InvalidProviderFile: the file of the secrets can't be read or is invalid.
        """
        if not any(_is_signed(body, signature, secret) for secret in read_tokens(self._secrets_file)):
            raise InvalidWebhook("the signature in Stripe-Signature is wrong or too old; check the signing secret")
        try:
            event = read(StripeEvent, json_object(body))
            reader = _READERS.get(event.type)
            update = None if reader is None else reader(event.data.object, event.created)
        except ProviderUnavailable as error:
            raise InvalidWebhook(f"the body is no event of Stripe that can be read: {error}") from error
        return None if update is None else update.model_copy(update={"event": event.type})


def _is_signed(body: bytes, signature: str, secret: str) -> bool:
    try:
        stripe.WebhookSignature.verify_header(body, signature, secret, TOLERANCE_SECONDS)
    except (stripe.SignatureVerificationError, UnicodeDecodeError):
        return False
    return True


def _of_intent(intent: StripeIntent, moved: Iterable[Movement]) -> PaymentUpdate | None:
    if not intent.is_ours:
        return None
    return PaymentUpdate(
        reference=intent.id,
        currency=intent.currency.upper(),
        movements=tuple(moved),
        decided=True,
    )


def _captured(content: Mapping[str, Any], at: datetime) -> PaymentUpdate | None:
    intent = read(StripeIntent, content)
    return _of_intent(intent, movements.captures(intent, at)) if intent.is_ours else None


def _decided(content: Mapping[str, Any], _at: datetime) -> PaymentUpdate | None:
    return _of_intent(read(StripeIntent, content), ())


def _refund(content: Mapping[str, Any], _at: datetime) -> PaymentUpdate | None:
    refund = read(StripeRefund, content)
    key = refund.metadata.get(objects.KEY, "")
    if refund.payment_intent is None or (key and not refund.failed):
        # The refund's workflow records that it was accepted.
        return None
    return PaymentUpdate(
        reference=refund.payment_intent,
        currency=refund.currency.upper(),
        movements=tuple(movements.refund_movements([refund], refund.currency.upper())),
    )


def _disputed(kind: MovementKind) -> Callable[[Mapping[str, Any], datetime], PaymentUpdate | None]:
    def update(content: Mapping[str, Any], at: datetime) -> PaymentUpdate | None:
        dispute = read(StripeDispute, content)
        if dispute.payment_intent is None:
            return None
        currency = dispute.currency.upper()
        amount = from_stripe(dispute.amount, currency)
        return PaymentUpdate(
            reference=dispute.payment_intent,
            currency=currency,
            movements=(Movement(kind=kind, reference=dispute.id, amount=amount, at=at),),
        )

    return update


_READERS: Final[Mapping[str, Callable[[Mapping[str, Any], datetime], PaymentUpdate | None]]] = {
    "payment_intent.succeeded": _captured,
    "payment_intent.amount_capturable_updated": _decided,
    "payment_intent.payment_failed": _decided,
    "payment_intent.canceled": _decided,
    "refund.created": _refund,
    "refund.updated": _refund,
    "refund.failed": _refund,
    "charge.refund.updated": _refund,
    "charge.dispute.funds_withdrawn": _disputed(MovementKind.CHARGED_BACK),
    "charge.dispute.funds_reinstated": _disputed(MovementKind.CHARGE_BACK_REVERSED),
}
"""Events that are read; all others are accepted and ignored. An inquiry withdraws no funds, so it is none of them."""

EVENTS: Final = tuple(_READERS)
"""Names of the events to send."""
