"""A payment provider over HTTP. `deploy/docs/providers.md` is the contract of its service.

An answer is valid only if it names the payment and repeats amount and currency. A rejection that doesn't name the
payment rejects only the request: the payment may have been charged before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Final, Literal

from pydantic import StringConstraints

from orderfleet.domain.base import Contract
from orderfleet.domain.errors import PaymentRefused, PaymentVoided, ProviderRequestRejected, ProviderUnavailable
from orderfleet.domain.money import Money
from orderfleet.domain.payment import Charge, PaymentIntent, RefundIntent, VoidOutcome
from orderfleet.providers.http_answers import Answer
from orderfleet.providers.http_calls import CallFailed, CallRejected, HttpCalls

_VOIDED: Final = 410

Reference = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,200}$")]
"""The provider's id of a charge: 1 to 200 printable characters."""


class PaymentRequest(Contract):
    """Body of each call."""

    payment_id: str
    order_id: str
    amount: str
    """A decimal with exactly the decimals of the currency, such as 9.00 USD and 101 JPY."""
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
        expected = {"amount": payment.decimal_amount, "currency": payment.currency}
        answer = await self._post("/charges", payment, ChargeAnswer, payment.payment_id, expected)
        return Charge(reference=answer.reference)

    async def void(self, payment: PaymentIntent) -> VoidOutcome:
        """Close the payment id to every later charge, and refund what it had charged. Raises as `charge`."""
        return (await self._post("/voids", payment, VoidAnswer, f"{payment.payment_id}/void")).outcome

    async def refund(self, refund: RefundIntent) -> None:
        """Refund the whole charge, once. Raises as `charge`."""
        payment = refund.payment
        expected = {"amount": payment.decimal_amount, "currency": payment.currency}
        await self._post("/refunds", payment, RefundAnswer, f"{payment.payment_id}/refund", expected)

    async def _post(
        self,
        path: str,
        payment: PaymentIntent,
        model: type[Answer],
        key: str,
        expected: Mapping[str, object] | None = None,
    ) -> Answer:
        request = PaymentRequest(**dict(payment) | {"amount": str(payment.decimal_amount)})
        named = ("payment_id", payment.payment_id)
        with _translate_errors():
            return await self._calls.post(path, request, model, key=key, named=named, expected=expected)


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
