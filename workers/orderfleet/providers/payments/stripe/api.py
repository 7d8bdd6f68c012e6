"""The requests to Stripe's API that the adapter makes, each with validated objects of its answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, cast

from stripe.params import (
    BalanceTransactionListParams,
    BalanceTransactionListParamsCreated,
    DisputeListParams,
    PaymentIntentCaptureParams,
    PaymentIntentConfirmParams,
    PaymentIntentCreateParams,
    PaymentIntentListParams,
    PaymentIntentListParamsCreated,
    RefundListParams,
)

from orderfleet.domain.order import CaptureMode
from orderfleet.domain.payment import CaptureIntent, PaymentIntent
from orderfleet.providers.payments.stripe import objects
from orderfleet.providers.payments.stripe.amounts import to_stripe
from orderfleet.providers.payments.stripe.client import Page, Request, StripeCalls, with_new_keys
from orderfleet.providers.payments.stripe.objects import StripeDispute, StripeIntent, StripeRefund, read

_EXPAND: Final = ["latest_charge"]
_EXPAND_EACH: Final = ["data.latest_charge"]
_SEARCHED: Final = 20
"""PaymentIntents of one key that a search returns at most; a repeated `prepare` leaves one a day."""


class StripeApi:
    """Requests for PaymentIntents, refunds and disputes. Each raises as `StripeCalls.send`.

    Args:
        calls: to Stripe.
        return_url: of the shop, for customers that Stripe has sent to their bank; empty without one.
    """

    def __init__(self, calls: StripeCalls, return_url: str) -> None:
        self.calls = calls
        self._return_url = return_url

    async def create(self, payment: PaymentIntent, capture: CaptureMode) -> StripeIntent:
        """Create a PaymentIntent under the key of a charge or an authorization, or return that of the key.

        Its content follows from the payment and the capture mode alone, so that a repeated request is the same. The
        means of payment may change from one attempt to the next, so it is given at the confirmation.

        Args:
            payment: the charge or the authorization.
            capture: whether it captures by itself.
        """
        params: PaymentIntentCreateParams = {
            "amount": to_stripe(payment.amount, payment.currency),
            "currency": payment.currency.lower(),
            "capture_method": objects.CAPTURE_METHODS[capture],
            "automatic_payment_methods": {
                "enabled": True,
                "allow_redirects": "always" if self._return_url else "never",
            },
            "metadata": objects.metadata_of(payment),
        }
        if capture is CaptureMode.ON_SHIPMENT:
            params["payment_method_options"] = {"card": {"request_multicapture": "if_available"}}
        content = await with_new_keys(
            lambda end: self.calls.send(
                lambda client, options: client.v1.payment_intents.create_async(params, options), key=payment.key + end
            )
        )
        return read(StripeIntent, content)

    async def retrieve(self, intent_id: str) -> StripeIntent:
        """Return a PaymentIntent with its charge."""
        content = await self.calls.send(
            lambda client, options: client.v1.payment_intents.retrieve_async(intent_id, {"expand": _EXPAND}, options)
        )
        return read(StripeIntent, content)

    async def search(self, payment: PaymentIntent) -> list[StripeIntent]:
        """Return the PaymentIntents of a charge or an authorization. New ones are found after a minute."""
        # No payment id contains a quote.
        query = " AND ".join(f"metadata['{name}']:'{value}'" for name, value in objects.metadata_of(payment).items())
        content = await self.calls.send(
            lambda client, options: client.v1.payment_intents.search_async(
                {"query": query, "limit": _SEARCHED, "expand": _EXPAND_EACH}, options
            )
        )
        return [read(StripeIntent, each) for each in content["data"]]

    async def set_customer(self, intent_id: str, customer: str) -> None:
        """Set the customer of a PaymentIntent, whose saved means of payment it may then use."""
        await self.calls.send(
            lambda client, options: client.v1.payment_intents.update_async(intent_id, {"customer": customer}, options)
        )

    async def confirm(self, intent_id: str, method: str) -> StripeIntent:
        """Confirm a PaymentIntent, which charges or authorizes it.

        Args:
            intent_id: of it.
            method: means of payment; empty for the one that it has.
        """
        params: PaymentIntentConfirmParams = {"expand": _EXPAND}
        if method:
            params["payment_method"] = method
        if self._return_url:
            params["return_url"] = self._return_url
        content = await self.calls.send(
            lambda client, options: client.v1.payment_intents.confirm_async(intent_id, params, options)
        )
        return read(StripeIntent, content)

    async def capture(self, intent_id: str, capture: CaptureIntent, end: str = "") -> StripeIntent:
        """Capture from a PaymentIntent, whose metadata have the capture then.

        Args:
            intent_id: of it.
            capture: to make.
            end: of the idempotency key.
        """
        amount = to_stripe(capture.amount, capture.payment.currency)
        params: PaymentIntentCaptureParams = {
            "amount_to_capture": amount,
            "metadata": {f"{objects.CAPTURE}{capture.number}": str(amount)},
            "expand": _EXPAND,
        }
        if not capture.final:
            # Only a PaymentIntent with several captures takes this parameter.
            params["final_capture"] = False
        content = await self.calls.send(
            lambda client, options: client.v1.payment_intents.capture_async(intent_id, params, options),
            key=capture.key + end,
        )
        return read(StripeIntent, content)

    async def cancel(self, intent_id: str) -> StripeIntent:
        """Cancel a PaymentIntent, which releases what it has authorized."""
        content = await self.calls.send(
            lambda client, options: client.v1.payment_intents.cancel_async(
                intent_id, {"cancellation_reason": "abandoned", "expand": _EXPAND}, options
            )
        )
        return read(StripeIntent, content)

    async def mark_voided(self, intent_id: str) -> None:
        """Write into the metadata of a PaymentIntent that it is voided."""
        await self.calls.send(
            lambda client, options: client.v1.payment_intents.update_async(
                intent_id, {"metadata": {objects.VOIDED: "true"}}, options
            )
        )

    async def refund(self, intent_id: str, amount: int, payment: PaymentIntent, key: str, *, once: str) -> StripeRefund:
        """Refund a part of a PaymentIntent.

        Args:
            intent_id: of it.
            amount: as Stripe writes it.
            payment: of the PaymentIntent.
            key: the refund's, in its metadata.
            once: idempotency key of the request.
        """
        content = await self.calls.send(
            lambda client, options: client.v1.refunds.create_async(
                {
                    "payment_intent": intent_id,
                    "amount": amount,
                    "metadata": {**objects.metadata_of(payment), objects.KEY: key},
                },
                options,
            ),
            key=once,
        )
        return read(StripeRefund, content)

    async def refunds(self, intent_id: str) -> list[StripeRefund]:
        """Return every refund of a PaymentIntent, the oldest first."""

        def page(page: Page) -> Request:
            params = cast("RefundListParams", {"payment_intent": intent_id, **page})
            return lambda client, options: client.v1.refunds.list_async(params, options)

        return [read(StripeRefund, each) async for each in self.calls.pages(page)][::-1]

    async def disputes(self, intent_id: str) -> list[StripeDispute]:
        """Return every dispute of a PaymentIntent."""

        def page(page: Page) -> Request:
            params = cast("DisputeListParams", {"payment_intent": intent_id, **page})
            return lambda client, options: client.v1.disputes.list_async(params, options)

        return [read(StripeDispute, each) async for each in self.calls.pages(page)]

    async def created(self, since: int, until: int) -> AsyncIterator[StripeIntent]:
        """Iterate over the PaymentIntents that were created in a time range.

        Args:
            since: its beginning, in Unix seconds.
            until: its end, which is not in it.
        """
        created: PaymentIntentListParamsCreated = {"gte": since, "lt": until}

        def page(page: Page) -> Request:
            params = cast("PaymentIntentListParams", {"created": created, "expand": _EXPAND_EACH, **page})
            return lambda client, options: client.v1.payment_intents.list_async(params, options)

        async for each in self.calls.pages(page):
            yield read(StripeIntent, each)

    async def moved(self, since: int, until: int) -> AsyncIterator[str]:
        """Iterate over the ids of the PaymentIntents whose money moved in a time range; an id may come repeatedly.

        Args:
            since: its beginning, in Unix seconds.
            until: its end, which is not in it.
        """
        created: BalanceTransactionListParamsCreated = {"gte": since, "lt": until}

        def page(page: Page) -> Request:
            params = cast("BalanceTransactionListParams", {"created": created, "expand": ["data.source"], **page})
            return lambda client, options: client.v1.balance_transactions.list_async(params, options)

        async for each in self.calls.pages(page):
            source = each.get("source")
            intent_id = source.get("payment_intent") if isinstance(source, dict) else None
            if isinstance(intent_id, str):
                yield intent_id
