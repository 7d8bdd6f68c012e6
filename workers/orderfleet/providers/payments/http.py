"""The payment provider over HTTP: the user's own service. Implements `PaymentProvider`.

`deploy/docs/providers.md` is the contract it speaks. An answer counts only if it names the payment
and repeats the money; a refusal that doesn't name the payment is a word on the request alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final, Literal

from pydantic import StringConstraints

from orderfleet.domain.base import Contract
from orderfleet.domain.errors import PaymentRefused, PaymentVoided, ProviderRequestRejected, ProviderUnavailable
from orderfleet.domain.money import Money
from orderfleet.domain.payment import Charge, PaymentIntent, VoidOutcome
from orderfleet.providers.http_calls import CallFailed, CallRejected, HttpCalls

WHO: Final = "the payment provider"
_VOIDED: Final = 410

Reference = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,200}$")]
"""Somebody else's id: 1 to 200 characters that can be printed."""


class PaymentRequest(Contract):
    """What each call says."""

    payment_id: str
    order_id: str
    amount: str
    """A decimal, never in exponents."""
    currency: str


class ChargeAnswer(Contract):
    """The money was taken, now or before under the same payment id."""

    payment_id: str
    status: Literal["charged"]
    amount: Money
    currency: str
    reference: Reference


class VoidAnswer(Contract):
    """The payment id can never charge again."""

    payment_id: str
    outcome: VoidOutcome


class RefundAnswer(Contract):
    """The money is given back, now or before."""

    payment_id: str
    status: Literal["refunded"]
    amount: Money
    currency: str


class HttpPayments:
    """A payment provider behind HTTP."""

    def __init__(self, calls: HttpCalls) -> None:
        self._calls = calls

    async def charge(self, payment: PaymentIntent) -> Charge:
        """Charge once, under the payment id as idempotency key.

        Raises:
            PaymentRefused: the provider refused this payment.
            PaymentVoided: the payment id was voided.
            RequestTurnedAway: it refused the request, without a word on the payment.
            ProviderUnavailable: anything else but a charge of exactly this money.
        """
        with _translated():
            answer = await self._calls.post(
                "/charges",
                _request(payment),
                ChargeAnswer,
                key=payment.payment_id,
                named=("payment_id", payment.payment_id),
                same={"amount": payment.amount, "currency": payment.currency},
            )
        return Charge(reference=answer.reference)

    async def void(self, payment: PaymentIntent) -> VoidOutcome:
        """Close the payment id for good; give back what it had charged. Raises as `charge`."""
        with _translated():
            answer = await self._calls.post(
                "/voids",
                _request(payment),
                VoidAnswer,
                key=f"{payment.payment_id}/void",
                named=("payment_id", payment.payment_id),
            )
        return answer.outcome

    async def refund(self, payment: PaymentIntent) -> None:
        """Give back the whole charge, once. Raises as `charge`."""
        with _translated():
            await self._calls.post(
                "/refunds",
                _request(payment),
                RefundAnswer,
                key=f"{payment.payment_id}/refund",
                named=("payment_id", payment.payment_id),
                same={"amount": payment.amount, "currency": payment.currency},
            )


def _request(payment: PaymentIntent) -> PaymentRequest:
    return PaymentRequest(
        payment_id=payment.payment_id,
        order_id=payment.order_id,
        amount=f"{payment.amount:f}",
        currency=payment.currency,
    )


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except CallFailed as error:
        raise ProviderUnavailable(str(error), error.after) from error
    except CallRejected as error:
        if not error.named:
            raise ProviderRequestRejected(f"{WHO} {error}") from error
        raise (PaymentVoided if error.status == _VOIDED else PaymentRefused)(f"{WHO} {error}") from error
