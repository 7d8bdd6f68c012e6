"""Applies what a payment provider reports without being asked: late ends, failed refunds, disputes.

A report may come late, repeatedly and out of order. Its movements are facts, which the ledger records once, and an
order that waits looks up its payment at the provider itself.
"""

from __future__ import annotations

from orderfleet.domain import names
from orderfleet.domain.events import reported_event
from orderfleet.domain.ledger import EntrySource, PaymentEntry, PaymentRecord, ReferencedPayment
from orderfleet.domain.payment import Movement, MovementKind, PaymentUpdate
from orderfleet.domain.payment_ports import PaymentStore
from orderfleet.observability.metrics import PAYMENT_WEBHOOKS
from orderfleet.services.errors import OrderNotFound, UpdateResult
from orderfleet.services.workflow_client import OrderClient


class PaymentUpdateService:
    """Applies reports of the payment provider.

    Args:
        store: the ledger.
        client: to the workflows of the orders.
    """

    def __init__(self, store: PaymentStore, client: OrderClient) -> None:
        self._store = store
        self._client = client

    async def apply(self, update: PaymentUpdate) -> UpdateResult:
        """Record the movements of a report, and signal the order if it waits for that or money went back.

        An order that is held captures again when it is signaled. So the decline of its own request must not signal it:
        each would lead to the next one.

        Returns:
            `ignored` if there is no such payment, or nothing was new and no order was signaled.

        Raises:
            StoreUnavailable: Postgres is unavailable or too slow; the same report may be applied later.
            TemporalUnavailable: Temporal did not answer; the movements are recorded.
        """
        payment = await self._store.referenced(update.reference)
        if payment is None:
            PAYMENT_WEBHOOKS.labels(event=update.event, result="unknown").inc()
            return UpdateResult.IGNORED
        recorded = [await self._record(payment, each, update.currency) for each in update.movements]
        is_new = any(each is not None and each.is_new for each in recorded)
        awaited = update.decided and (payment.pending or bool(update.movements))
        signaled = awaited and await self._signal(payment.order_id, names.PAYMENT_UPDATE)
        if any(each.kind is not MovementKind.CAPTURED for each in update.movements):
            # Also for a repeated report: the signal of the first one may be lost.
            await self._signal(payment.order_id, names.PAYMENT_RECORDED, recorded[-1])
        result = UpdateResult.ACCEPTED if is_new or signaled else UpdateResult.IGNORED
        PAYMENT_WEBHOOKS.labels(event=update.event, result=result).inc()
        return result

    async def _record(self, payment: ReferencedPayment, movement: Movement, currency: str) -> PaymentRecord | None:
        entry = PaymentEntry.of(movement, payment.number, currency, EntrySource.WEBHOOK)
        return await self._store.record_fact(payment.payment_id, entry, [reported_event(payment.payment_id, entry)])

    async def _signal(self, order_id: str, name: str, *args: object) -> bool:
        try:
            await self._client.signal(order_id, name, args)
        except OrderNotFound:
            return False
        return True
