"""Activities of the order worker on refunds: decide about one, and make it.

The order store decides what can be refunded, and reserves it before the payment provider is asked. Each activity is
idempotent: run again after its result was lost, it asks under the same key.
"""

from __future__ import annotations

from datetime import datetime

from temporalio import activity

from orderfleet.domain import names
from orderfleet.domain.activities import (
    BeginRefundInput,
    BeginRefundResult,
    RefundInput,
    RefundStepResult,
)
from orderfleet.domain.errors import PaymentOutcomeUnknown, PaymentRefused, PaymentVoided
from orderfleet.domain.events import AuditEvent, Progress
from orderfleet.domain.ledger import IntentStatus, PaymentRecord, RefundDecision
from orderfleet.domain.payment import MovementKind, Refund, RefundIntent
from orderfleet.domain.ports import OrderStore
from orderfleet.domain.status import Step
from orderfleet.orders.payment_activities import SETTLED
from orderfleet.providers.interfaces import PaymentProvider
from orderfleet.temporal.step_interceptors import AttemptClock, attempt_of


class RefundActivities:
    """Activities on refunds.

    Args:
        store: the order store.
        provider: the payment provider, which is asked for no amount of 0 (`without_zero_amounts`).
    """

    def __init__(self, store: OrderStore, provider: PaymentProvider) -> None:
        self._store = store
        self._provider = provider

    @activity.defn(name="begin_refund")
    async def begin_refund(self, step: BeginRefundInput) -> BeginRefundResult:
        """Decide about a refund that a client asked for, and reserve its amount; one round trip."""
        payment = step.payment
        decision = await self._store.begin_refund(
            payment.payment_id, step.order_id, step.request, events=[step.pending]
        )
        return BeginRefundResult(attempt=attempt_of(step), decision=decision)

    @activity.defn(name="refund")
    async def refund(self, step: RefundInput) -> RefundStepResult:
        """Refund what is reserved, or everything that is left of the payment; two round trips.

        Raises:
            PaymentOutcomeUnknown: the provider refused this request, but an earlier one may still refund.
            PaymentRefused: the provider refused the refund of an undone order, which is asked for again without end.
        """
        clock, payment = AttemptClock(), step.payment
        undo = step.request.refund_id == names.ORDER_REFUND
        decision = await self._store.begin_refund(
            payment.payment_id, step.order_id, step.request, undo=undo, events=[step.pending]
        )
        failure, row = "", decision.payment
        for part in decision.parts:
            unsure = _may_be_asked(step, decision, clock.now())
            row, refusal = await self._refund_part(step, part, clock, unsure=unsure, last=part is decision.parts[-1])
            failure = refusal or failure
        if not decision.parts and decision.status is not IntentStatus.REFUSED:
            # An earlier attempt recorded it, or nothing was left.
            done = Progress(seq=0, step=Step.CHARGE, events=(_at(step.done, clock.now()),))
            await self._store.record(step.order_id, done)
        refused = failure or decision.status is IntentStatus.REFUSED
        status = IntentStatus.REFUSED if refused else IntentStatus.DONE
        return RefundStepResult(
            attempt=attempt_of(step), status=status, failure=failure, payment=row if step.reserved else None
        )

    async def _refund_part(
        self, step: RefundInput, part: RefundIntent, clock: AttemptClock, *, unsure: bool, last: bool
    ) -> tuple[PaymentRecord, str]:
        """Ask for one part of a refund and record the answer.

        Returns:
            The payment afterwards, and why the provider refused the part; empty if it refunded.
        """
        answer: Refund | None
        try:
            answer = await self._provider.refund(part)
        except PaymentVoided:
            # The void refunded it.
            answer = Refund(reference=part.payment.reference or "")
        except PaymentRefused as error:
            answer = await self._refunded_before(part)
            if answer is None:
                if unsure:
                    raise PaymentOutcomeUnknown(str(error)) from error
                if step.request.refund_id == names.ORDER_REFUND:
                    raise  # The order is undone, so nothing but this refund can return the money.
                failed = [] if step.failed is None else [_at(step.failed, clock.now(), error=str(error))]
                async with clock.store_deadline():
                    return await self._store.finish_refund(part, None, error=str(error), events=failed), str(error)
        done = [_at(step.done, clock.now())] if last else []
        async with clock.store_deadline():
            return await self._store.finish_refund(part, answer, events=done), ""

    async def _refunded_before(self, part: RefundIntent) -> Refund | None:
        """The refund that an earlier request made, as the provider has it."""
        found = await self._provider.look_up(part.payment)
        made = None if found is None else found.movement(MovementKind.REFUNDED, part.key)
        return None if made is None else Refund(reference=made.reference)


def _may_be_asked(step: RefundInput, decision: RefundDecision, now: datetime) -> bool:
    """Whether an earlier request for the refund may still arrive at the provider."""
    if attempt_of(step) > 1:
        return True
    if step.asked_at is not None:
        return now - step.asked_at < SETTLED
    return not step.reserved and not decision.is_new


def _at(event: AuditEvent, now: datetime, **detail: str) -> AuditEvent:
    return event.model_copy(update={"at": now, "detail": {**event.detail, **detail}})
