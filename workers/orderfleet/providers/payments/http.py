"""A payment provider over HTTP. `deploy/docs/providers.md` is the contract of its service.

An answer is valid only if it names the payment and repeats amount and currency. A rejection that doesn't name the
payment rejects only the request: the payment may have been charged before.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from orderfleet.domain.errors import (
    AuthorizationLapsed,
    PaymentRefused,
    PaymentsNotListed,
    PaymentVoided,
    ProviderRequestRejected,
    ProviderUnavailable,
)
from orderfleet.domain.payment import (
    AmountLimits,
    Authorization,
    Capture,
    CaptureIntent,
    Charge,
    PaymentIntent,
    ProviderPayment,
    Refund,
    RefundIntent,
    VoidOutcome,
)
from orderfleet.providers.http_answers import Answer
from orderfleet.providers.http_calls import CallFailed, CallRejected, HttpCalls
from orderfleet.providers.payments.http_contract import (
    AuthorizationAnswer,
    CaptureAnswer,
    ChargeAnswer,
    PaymentAnswer,
    PaymentRequest,
    PaymentsAnswer,
    RefundAnswer,
    VoidAnswer,
    capture_request,
    charge_request,
    refund_request,
)

LAPSED_CODE: Final = "authorization_lapsed"
"""`code` of a capture's rejection because its authorization lapsed."""

MAX_PAGE_BYTES: Final = 1024 * 1024
"""Bytes of a page of the list."""

_NOT_FOUND: Final = 404
_VOIDED: Final = 410
_NO_LIST: Final = frozenset({_NOT_FOUND, 405, 501})
"""Statuses of a service without the list of payments."""


class HttpPayments:
    """`PaymentProvider` over HTTP calls.

    Args:
        calls: to the service.
        limits: of amounts, by currency; a currency without limits takes each amount.
    """

    def __init__(self, calls: HttpCalls, limits: Mapping[str, AmountLimits]) -> None:
        self._calls = calls
        self._limits = limits

    def limits(self, currency: str) -> AmountLimits:
        """What the setting says of an amount of a currency."""
        return self._limits.get(currency, AmountLimits())

    async def charge(self, payment: PaymentIntent) -> Charge:
        """Charge once; the key is the idempotency key.

        Raises:
            PaymentRefused: the service refused this payment.
            PaymentVoided: the charge was voided.
            ProviderRequestRejected: it refused the request, and does not name the payment.
            ProviderUnavailable: the answer is none of these and no charge of this amount and currency.
        """
        answer = await self._post("/charges", payment, charge_request(payment), ChargeAnswer, payment.key)
        return Charge(reference=answer.reference, pending=answer.customer)

    async def authorize(self, payment: PaymentIntent) -> Authorization:
        """Reserve the amount, once. Raises as `charge`."""
        answer = await self._post("/authorizations", payment, charge_request(payment), AuthorizationAnswer, payment.key)
        return Authorization(
            reference=answer.reference,
            pending=answer.customer,
            expires_at=answer.expires_at,
            multiple_captures=answer.multiple_captures,
        )

    async def capture(self, capture: CaptureIntent) -> Capture:
        """Take money from an authorization, once. Raises as `charge`, and `AuthorizationLapsed`."""
        request = capture_request(capture)
        answer = await self._post(
            "/captures", capture.payment, request, CaptureAnswer, capture.key, capture=capture.number
        )
        return Capture(reference=answer.reference)

    async def refund(self, refund: RefundIntent) -> Refund:
        """Return money that was captured, once. Raises as `charge`."""
        request = refund_request(refund)
        named = {"refund_id": refund.refund_id, "part": refund.number}
        answer = await self._post("/refunds", refund.payment, request, RefundAnswer, refund.key, **named)
        return Refund(reference=answer.reference)

    async def void(self, payment: PaymentIntent) -> VoidOutcome:
        """Close the charge or the authorization: it can never take money again. Raises as `charge`."""
        request, key = charge_request(payment), f"{payment.key}/void"
        with _translate_errors():
            answer = await self._calls.post(
                "/voids", request, VoidAnswer, key=key, named=_name(payment), expected={"number": payment.number}
            )
        return answer.outcome

    async def look_up(self, payment: PaymentIntent) -> ProviderPayment | None:
        """What the service has of a charge or an authorization; None for a 404 that names it. Raises as `charge`."""
        path, expected = f"/payments/{payment.payment_id}/{payment.number}", {"number": payment.number}
        try:
            with _translate_errors():
                answer = await self._calls.get(path, PaymentAnswer, named=_name(payment), expected=expected)
        except (PaymentRefused, PaymentVoided) as error:
            if isinstance(error.__cause__, CallRejected) and error.__cause__.status == _NOT_FOUND:
                return None
            raise
        return answer.payment()

    async def payments(self, since: datetime, until: datetime) -> AsyncIterator[ProviderPayment]:
        """Yield what the service created or moved from `since` until before `until`.

        Raises:
            PaymentsNotListed: the service has no list.
            ProviderRequestRejected: it refused the request.
            ProviderUnavailable: the answer is none of these and no page of the list.
        """
        query = {"since": _text(since), "until": _text(until)}
        while True:
            with _translate_errors():
                try:
                    page = await self._calls.get("/payments", PaymentsAnswer, query=query, max_bytes=MAX_PAGE_BYTES)
                except (CallFailed, CallRejected) as error:
                    if error.status in _NO_LIST:
                        raise PaymentsNotListed(str(error)) from error
                    raise
            for each in page.payments:
                yield each.payment()
            if page.next is None:
                return
            query["cursor"] = page.next

    async def _post(
        self,
        path: str,
        payment: PaymentIntent,
        request: PaymentRequest,
        model: type[Answer],
        key: str,
        **expected: object,
    ) -> Answer:
        """Post a call whose answer repeats number, amount and currency of its request."""
        money = {"number": request.number, "amount": Decimal(request.amount), "currency": request.currency}
        with _translate_errors():
            return await self._calls.post(
                path, request, model, key=key, named=_name(payment), expected=money | expected
            )


def _name(payment: PaymentIntent) -> tuple[str, object]:
    return "payment_id", payment.payment_id


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except CallFailed as error:
        raise ProviderUnavailable(str(error), error.after) from error
    except CallRejected as error:
        if not error.named:
            raise ProviderRequestRejected(str(error)) from error
        if error.status == _VOIDED:
            raise PaymentVoided(str(error)) from error
        raise (AuthorizationLapsed if error.code == LAPSED_CODE else PaymentRefused)(str(error)) from error
