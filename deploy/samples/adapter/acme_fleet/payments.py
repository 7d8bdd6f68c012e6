"""A payment provider: Orderfleet's calls as those of the bank, and the bank's errors as those of Orderfleet."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import datetime

from acme_fleet.bank import Bank, Closed, Deal, Rejected
from orderfleet.domain.errors import PaymentRefused, PaymentVoided, ProviderUnavailable
from orderfleet.domain.payment import (
    AmountLimits,
    Authorization,
    Capture,
    CaptureIntent,
    Charge,
    Movement,
    MovementKind,
    PaymentIntent,
    ProviderPayment,
    ProviderStatus,
    Refund,
    RefundIntent,
    VoidOutcome,
)


@contextmanager
def _translated(payment: PaymentIntent) -> Iterator[None]:
    """Raise Orderfleet's errors for those of the bank. Text of the bank is behind a colon: it may name a customer."""
    try:
        yield
    except Closed as error:
        raise PaymentVoided(f"payment {payment.key} was voided: {error}") from error
    except Rejected as error:
        raise PaymentRefused(f"the bank rejected payment {payment.key}: {error}") from error
    except ConnectionError as error:
        raise ProviderUnavailable(f"the bank did not answer: {error}") from error


class AcmePayments:
    """`PaymentProvider` over the bank. Every key of Orderfleet is a key of the bank."""

    def __init__(self, bank: Bank) -> None:
        self._bank = bank

    def limits(self, _currency: str) -> AmountLimits:
        """The bank takes every amount."""
        return AmountLimits()

    async def charge(self, payment: PaymentIntent) -> Charge:
        """Take the amount at once."""
        return Charge(reference=(await self._open(payment, take=True)).id)

    async def authorize(self, payment: PaymentIntent) -> Authorization:
        """Hold the amount; the bank holds it for ever, and lets several parts be taken."""
        return Authorization(reference=(await self._open(payment, take=False)).id, multiple_captures=True)

    async def capture(self, capture: CaptureIntent) -> Capture:
        """Take a part of what is held."""
        with _translated(capture.payment):
            made = await self._bank.take(capture.payment.key, capture.key, capture.amount, last=capture.final)
        return Capture(reference=made.id)

    async def refund(self, refund: RefundIntent) -> Refund:
        """Pay back a part of what the bank took."""
        with _translated(refund.payment):
            made = await self._bank.pay_back(refund.payment.key, refund.key, refund.amount)
        return Refund(reference=made.id)

    async def void(self, payment: PaymentIntent) -> VoidOutcome:
        """Close the deal."""
        with _translated(payment):
            deal = await self._bank.close(payment.key, _reference(payment), payment.currency, payment.amount)
        if deal.posted(1):
            return VoidOutcome.REFUNDED
        return VoidOutcome.RELEASED if deal.held else VoidOutcome.NEVER_CHARGED

    async def look_up(self, payment: PaymentIntent) -> ProviderPayment | None:
        """Return what the bank has; the bank finds a deal by its key alone."""
        with _translated(payment):
            deal = await self._bank.find(payment.key)
        return None if deal is None else _shown(deal)

    async def payments(self, since: datetime, until: datetime) -> AsyncIterator[ProviderPayment]:
        """Yield what was opened or had a posting in a time range."""
        for deal in await self._bank.changed(since, until):
            yield _shown(deal)

    async def _open(self, payment: PaymentIntent, *, take: bool) -> Deal:
        with _translated(payment):
            return await self._bank.open(
                payment.key, _reference(payment), payment.currency, payment.amount, card=payment.method, take=take
            )


def _reference(payment: PaymentIntent) -> str:
    """What the bank keeps beside a deal, so that its books name the payment: ids have no `|`."""
    return f"{payment.payment_id}|{payment.number}|{payment.order_id}"


def _shown(deal: Deal) -> ProviderPayment:
    payment_id, number, order_id = deal.reference.split("|")
    if deal.closed:
        status = ProviderStatus.VOIDED
    else:
        status = ProviderStatus.AUTHORIZED if deal.held else ProviderStatus.CAPTURED
    return ProviderPayment(
        payment_id=payment_id,
        number=int(number),
        order_id=order_id,
        reference=deal.id,
        currency=deal.currency,
        amount=deal.cents,
        status=status,
        authorized=deal.cents if deal.held or deal.postings else 0,
        movements=tuple(
            Movement(
                kind=MovementKind.CAPTURED if posting.cents > 0 else MovementKind.REFUNDED,
                key=posting.key,
                reference=posting.id,
                amount=abs(posting.cents),
                at=posting.at,
            )
            for posting in deal.postings
        ),
    )
