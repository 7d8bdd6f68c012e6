"""`PaymentProvider` over Stripe: each charge or authorization is a PaymentIntent, whose id is known before it charges.

Each call first reads the PaymentIntent, so it finds what an earlier attempt did, also when Stripe has forgotten the
idempotency keys, which it keeps for a day.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

from orderfleet.domain.errors import AuthorizationLapsed, PaymentRefused, PaymentVoided, ProviderUnavailable
from orderfleet.domain.order import CaptureMode
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
from orderfleet.domain.status import PendingCustomer
from orderfleet.providers.payments.stripe import amounts, movements, objects
from orderfleet.providers.payments.stripe.api import StripeApi
from orderfleet.providers.payments.stripe.client import KeyReused, StateChanged, StripeCalls, with_new_keys
from orderfleet.providers.payments.stripe.objects import IntentStatus, StripeDispute, StripeIntent, StripeRefund

_CUSTOMER_SEPARATOR: Final = "/"
"""In a means of payment that is saved for a customer: `cus_…/pm_…`."""


class StripePayments:
    """`PaymentProvider` and `PreparesPayments` over Stripe.

    Args:
        calls: to Stripe.
        return_url: of the shop, for customers that Stripe has sent to their bank; empty without one.
    """

    def __init__(self, calls: StripeCalls, *, return_url: str = "") -> None:
        self._within_timeout = calls.within_timeout
        self._api = StripeApi(calls, return_url)

    def limits(self, currency: str) -> AmountLimits:
        """What Stripe asks of an amount of a currency."""
        return amounts.limits(currency)

    async def prepare(self, payment: PaymentIntent, capture: CaptureMode) -> str:
        """Create the PaymentIntent, unconfirmed; the same key again returns it for a day.

        Args:
            payment: the charge or the authorization.
            capture: whether Stripe captures by itself.

        Raises:
            PaymentRefused: Stripe does not take the amount or the currency, or the key had other content.
            ProviderRequestRejected: the API key lacks a permission.
            ProviderUnavailable: there is no valid answer.
        """
        async with self._within_timeout():
            return (await self._api.create(payment, capture)).id

    async def charge(self, payment: PaymentIntent) -> Charge:
        """Confirm the PaymentIntent, unless it is confirmed. It captures by itself.

        Raises:
            PaymentRefused: Stripe declined it, or the PaymentIntent has other content.
            PaymentVoided: the PaymentIntent is canceled, or voided.
            ProviderRequestRejected: the PaymentIntent is unknown, or the API key lacks a permission.
            ProviderUnavailable: there is no valid answer.
        """
        async with self._within_timeout():
            intent = await self._confirmed(payment, CaptureMode.IMMEDIATE)
            return Charge(reference=intent.id, pending=_pending(intent))

    async def authorize(self, payment: PaymentIntent) -> Authorization:
        """Confirm the PaymentIntent, unless it is confirmed. It waits for captures. Raises as `charge`."""
        async with self._within_timeout():
            intent = await self._confirmed(payment, CaptureMode.ON_SHIPMENT)
            card = intent.charge.card if intent.charge is not None else None
            return Authorization(
                reference=intent.id,
                pending=_pending(intent),
                expires_at=card.capture_before if card is not None else None,
                multiple_captures=card is not None and card.multicapture.status == "available",
            )

    async def capture(self, capture: CaptureIntent) -> Capture:
        """Capture from the PaymentIntent, unless its metadata have this capture.

        Raises:
            AuthorizationLapsed: Stripe has canceled the authorization.
            PaymentRefused: Stripe refused it, or the number was captured with another amount.
            PaymentVoided: the PaymentIntent is canceled.
            ProviderRequestRejected: the PaymentIntent is unknown, or the API key lacks a permission.
            ProviderUnavailable: there is no valid answer.
        """
        async with self._within_timeout():
            intent = await with_new_keys(lambda end: self._captured(capture, end))
            return Capture(reference=intent.charge_id)

    async def refund(self, refund: RefundIntent) -> Refund:
        """Refund from the PaymentIntent, unless a refund of it has this key in its metadata.

        Raises:
            PaymentRefused: Stripe refused it, or the refund under this key failed or has another amount.
            PaymentVoided: the payment is voided, so nothing is left.
            ProviderRequestRejected: the PaymentIntent is unknown, or the API key lacks a permission.
            ProviderUnavailable: there is no valid answer.
        """
        async with self._within_timeout():
            made = await with_new_keys(lambda end: self._refunded(refund, end))
            if made.failed:
                raise PaymentRefused(f"refund {refund.key} failed at Stripe: {made.failure_reason or made.status}")
            return Refund(reference=made.id)

    async def void(self, payment: PaymentIntent) -> VoidOutcome:
        """Cancel the PaymentIntent, or refund what it has captured and not refunded.

        Without a reference, every PaymentIntent of the payment is searched; and the one that a late `prepare` would get
        is created or found by its key, so that it is canceled before anything can confirm it.

        Raises:
            PaymentRefused: Stripe refused the refund.
            ProviderRequestRejected: the PaymentIntent is unknown, or the API key lacks a permission.
            ProviderUnavailable: there is no valid answer, or the payment is in process and can't be canceled yet.
        """
        async with self._within_timeout():
            if payment.reference is not None:
                return await self._void(await self._existing(payment), payment)
            intents = await self._of_key(payment)
            intents += [each for each in await self._api.search(payment) if each.id not in {one.id for one in intents}]
            outcomes = [await self._void(each, payment) for each in intents]
            return max(outcomes, key=list(VoidOutcome).index, default=VoidOutcome.NEVER_CHARGED)

    async def look_up(self, payment: PaymentIntent) -> ProviderPayment | None:
        """What Stripe has of a charge or an authorization; without a reference it is searched.

        A PaymentIntent that was never confirmed is none: a repeated `prepare` may leave one behind.

        Raises:
            PaymentRefused: the PaymentIntent has other content.
            ProviderRequestRejected: the PaymentIntent is unknown, or the API key lacks a permission.
            ProviderUnavailable: there is no valid answer.
        """
        async with self._within_timeout():
            intent = await self._found(payment)
            return None if intent is None or intent.untried else await self._with_movements(intent)

    async def payments(self, since: datetime, until: datetime) -> AsyncIterator[ProviderPayment]:
        """Every charge and authorization of ours that was created or moved money in a time range. Raises as `look_up`.

        Args:
            since: beginning of the range.
            until: end of the range, which is not in it.
        """
        first, last = int(since.timestamp()), int(until.timestamp())
        seen = set()
        async for intent in self._api.created(first, last):
            seen.add(intent.id)
            if intent.is_ours and not intent.untried:
                yield await self._with_movements(intent)
        async for intent_id in self._api.moved(first, last):
            if intent_id not in seen:
                seen.add(intent_id)
                async with self._within_timeout():
                    intent = await self._api.retrieve(intent_id)
                if intent.is_ours:
                    yield await self._with_movements(intent)

    async def _found(self, payment: PaymentIntent) -> StripeIntent | None:
        """The PaymentIntent by its reference, else by a search: one that was confirmed before the others."""
        if payment.reference is not None:
            intent = await self._api.retrieve(payment.reference)
        else:
            found = await self._api.search(payment)
            if not found:
                return None
            intent = min(found, key=lambda each: (each.status in objects.UNCONFIRMED, each.created))
        _check_content(intent, payment)
        return intent

    async def _existing(self, payment: PaymentIntent, capture: CaptureMode | None = None) -> StripeIntent:
        intent = await self._found(payment)
        if intent is None:
            raise ProviderUnavailable(f"Stripe has not found payment {payment.payment_id} yet")
        # A void that came first created it, with a capture method of its own.
        if capture is not None and not intent.voided and intent.capture_method != objects.CAPTURE_METHODS[capture]:
            raise PaymentRefused(f"{intent.id} of payment {payment.payment_id} has another capture method")
        return intent

    async def _confirmed(self, payment: PaymentIntent, capture: CaptureMode) -> StripeIntent:
        if payment.reference is None and await self._found(payment) is None:
            reference = (await self._api.create(payment, capture)).id
            payment = payment.model_copy(update={"reference": reference})
        intent = await self._existing(payment, capture)
        if intent.status in objects.UNCONFIRMED:
            intent = await self._confirm(intent, payment.method)
        if intent.voided:
            raise PaymentVoided(f"payment {payment.payment_id} is voided: {intent.id} is closed")
        if intent.status in objects.UNCONFIRMED:
            raise PaymentRefused(f"Stripe declined it: {intent.decline or intent.status}")
        return intent

    async def _confirm(self, intent: StripeIntent, method: str) -> StripeIntent:
        customer, separator, method_id = method.rpartition(_CUSTOMER_SEPARATOR)
        if not method_id and intent.payment_method is None:
            raise PaymentRefused("Stripe needs a means of payment: give its id as payment.method, such as `pm_…`")
        if separator and intent.customer != customer:
            await self._api.set_customer(intent.id, customer)
        try:
            return await self._api.confirm(intent.id, method_id)
        except StateChanged:
            # Another attempt has confirmed or canceled it.
            return await self._api.retrieve(intent.id)

    async def _captured(self, capture: CaptureIntent, end: str) -> StripeIntent:
        intent = await self._existing(capture.payment, CaptureMode.ON_SHIPMENT)
        if _is_captured(intent, capture):
            return intent
        _check_capturable(intent)
        try:
            return await self._api.capture(intent.id, capture, end)
        except StateChanged:
            intent = await self._api.retrieve(intent.id)
            if not _is_captured(intent, capture):
                _check_capturable(intent)
                raise
            return intent

    async def _refunded(self, refund: RefundIntent, end: str) -> StripeRefund:
        amount = amounts.to_stripe(refund.amount, refund.payment.currency)
        intent_id = refund.payment.reference or (await self._existing(refund.payment)).id
        refunds = await self._api.refunds(intent_id)
        made = next((each for each in refunds if each.metadata.get(objects.KEY) == refund.key), None)
        if made is None:
            try:
                made = await self._api.refund(intent_id, amount, refund.payment, refund.key, once=refund.key + end)
            except (StateChanged, PaymentRefused) as error:
                if (await self._api.retrieve(intent_id)).voided:
                    raise PaymentVoided(f"payment {refund.payment.payment_id} is voided: {error}") from error
                raise PaymentRefused(str(error)) from error
        if made.amount != amount:
            raise PaymentRefused(f"refund {refund.key} was made before with another amount")
        return made

    async def _of_key(self, payment: PaymentIntent) -> list[StripeIntent]:
        """The PaymentIntent that a `prepare` under this key would return; it is created where there is none."""
        for capture in CaptureMode:
            try:
                created = await self._api.create(payment, capture)
            except KeyReused:
                continue
            except PaymentRefused:
                # A `prepare` would be refused too.
                return []
            # A repeated request returns it as it was when it was created.
            return [await self._api.retrieve(created.id)]
        raise ProviderUnavailable(f"the PaymentIntent of payment {payment.payment_id} was created with other settings")

    async def _void(self, intent: StripeIntent, payment: PaymentIntent) -> VoidOutcome:
        if intent.status is IntentStatus.PROCESSING:
            raise ProviderUnavailable(f"{intent.id} is in process: Stripe can't cancel it yet")
        authorized = intent.authorized
        if intent.status not in {IntentStatus.SUCCEEDED, IntentStatus.CANCELED}:
            intent = await self._api.cancel(intent.id)
        if not intent.amount_received:
            return VoidOutcome.RELEASED if authorized else VoidOutcome.NEVER_CHARGED
        if not intent.voided:
            await self._api.mark_voided(intent.id)
        await with_new_keys(lambda end: self._refund_rest(intent, payment, end))
        return VoidOutcome.REFUNDED

    async def _refund_rest(self, intent: StripeIntent, payment: PaymentIntent, end: str) -> None:
        refunds, disputes = await self._returned(intent)
        rest = intent.amount_received
        rest -= sum(each.amount for each in refunds if not each.failed)
        rest -= sum(each.withdrawn for each in disputes)
        if rest > 0:
            key = f"{payment.key}/void"
            earlier = sum(each.metadata.get(objects.KEY, "").startswith(key) for each in refunds)
            # Another one follows if the first failed.
            key = f"{key}/{earlier + 1}" if earlier else key
            await self._api.refund(intent.id, rest, payment, key, once=f"{key}/{rest}{end}")

    async def _with_movements(self, intent: StripeIntent) -> ProviderPayment:
        return movements.provider_payment(intent, *await self._returned(intent))

    async def _returned(self, intent: StripeIntent) -> tuple[list[StripeRefund], list[StripeDispute]]:
        refunds = await self._api.refunds(intent.id) if intent.amount_received else []
        disputes = await self._api.disputes(intent.id) if intent.charge is not None and intent.charge.disputed else []
        return refunds, disputes


def _pending(intent: StripeIntent) -> PendingCustomer | None:
    return intent.pending if intent.status in objects.WAITING else None


def _check_content(intent: StripeIntent, payment: PaymentIntent) -> None:
    """Check that a PaymentIntent is that of a charge or an authorization.

    Raises:
        PaymentRefused: it has another payment, order, number, amount or currency.
    """
    content = (intent.amount, intent.currency)
    asked = (amounts.to_stripe(payment.amount, payment.currency), payment.currency.lower())
    if objects.metadata_of(payment).items() <= intent.metadata.items() and content == asked:
        return
    raise PaymentRefused(
        f"{intent.id} is not payment {payment.payment_id} of order {payment.order_id} over"
        f" {payment.decimal_amount} {payment.currency}"
    )


def _is_captured(intent: StripeIntent, capture: CaptureIntent) -> bool:
    """Whether a capture was made.

    Raises:
        PaymentRefused: its number was captured with another amount.
    """
    recorded = intent.captures.get(capture.number)
    if recorded is None or intent.amount_received < sum(intent.captures.values()):
        return False
    if recorded != amounts.to_stripe(capture.amount, capture.payment.currency):
        raise PaymentRefused(f"{capture.key} was captured before with another amount")
    return True


def _check_capturable(intent: StripeIntent) -> None:
    if intent.status is IntentStatus.REQUIRES_CAPTURE:
        return
    if intent.lapsed:
        raise AuthorizationLapsed(f"Stripe has canceled {intent.id}: its authorization has lapsed")
    if intent.voided:
        raise PaymentVoided(f"{intent.id} is closed")
    raise PaymentRefused(f"{intent.id} can't be captured: it is {intent.status}")
