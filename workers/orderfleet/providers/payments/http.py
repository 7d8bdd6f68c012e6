"""A payment provider over HTTP. `deploy/docs/providers.md` is the contract of its service.

An answer is valid only if it names the payment and repeats amount and currency. A rejection that doesn't name the
payment rejects only the request: the payment may have been charged before.
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

_VOIDED: Final = 410

Reference = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,200}$")]
"""The provider's id of a charge: 1 to 200 printable characters."""


class PaymentRequest(Contract):
    """Body of each call."""

    payment_id: str
    order_id: str
    amount: str
    """A decimal without an exponent."""
    currency: str


class ChargeAnswer(Contract):
    """The provider's answer to a charge: this call or an earlier one with its id charged the payment."""

    payment_id: str
    status: Literal["charged"]
    amount: Money
    currency: str
    reference: Reference


class VoidAnswer(Contract):
    """The provider's answer to a void: no later charge of the payment id can succeed."""

    payment_id: str
    outcome: VoidOutcome


class RefundAnswer(Contract):
    """The provider's answer to a refund: this call or an earlier one refunded the charge."""

    payment_id: str
    status: Literal["refunded"]
    amount: Money
    currency: str


class HttpPayments:
    """`PaymentProvider` over HTTP calls."""

    def __init__(self, calls: HttpCalls) -> None:
        self._calls = calls

    async def charge(self, payment: PaymentIntent) -> Charge:
        """Charge once, under the payment id as idempotency key.

        Raises:
            PaymentRefused: the provider refused this payment.
            PaymentVoided: the payment id was voided.
            ProviderRequestRejected: it refused the request, and does not name the payment.
            ProviderUnavailable: the answer is none of these and no charge of this amount and currency.
        """
        with _translate_errors():
            answer = await self._calls.post(
                "/charges",
                _request(payment),
                ChargeAnswer,
                key=payment.payment_id,
                named=("payment_id", payment.payment_id),
                expected={"amount": payment.amount, "currency": payment.currency},
            )
        return Charge(reference=answer.reference)

    async def void(self, payment: PaymentIntent) -> VoidOutcome:
        """Close the payment id to every later charge, and refund what it had charged. Raises as `charge`."""
        with _translate_errors():
            answer = await self._calls.post(
                "/voids",
                _request(payment),
                VoidAnswer,
                key=f"{payment.payment_id}/void",
                named=("payment_id", payment.payment_id),
            )
        return answer.outcome

    async def refund(self, payment: PaymentIntent) -> None:
        """Refund the whole charge, once. Raises as `charge`."""
        with _translate_errors():
            await self._calls.post(
                "/refunds",
                _request(payment),
                RefundAnswer,
                key=f"{payment.payment_id}/refund",
                named=("payment_id", payment.payment_id),
                expected={"amount": payment.amount, "currency": payment.currency},
            )


def _request(payment: PaymentIntent) -> PaymentRequest:
    return PaymentRequest(
        payment_id=payment.payment_id,
        order_id=payment.order_id,
        amount=f"{payment.amount:f}",
        currency=payment.currency,
    )


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except CallFailed as error:
        raise ProviderUnavailable(str(error), error.after) from error
    except CallRejected as error:
        if not error.named:
            raise ProviderRequestRejected(str(error)) from error
        raise (PaymentVoided if error.status == _VOIDED else PaymentRefused)(str(error)) from error
