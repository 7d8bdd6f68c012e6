"""The order worker's activities: record, check, charge, void, refund.

Called by the order worker's workflows only. They talk to the record and the payment provider,
never to Kubernetes or Temporal's client. Each is idempotent: run again after a lost answer, it
has the same effect once.
"""

from __future__ import annotations

from datetime import datetime

from temporalio import activity

from orderfleet.domain.activities import (
    ChargeInput,
    PaymentResult,
    ReceiveInput,
    RecordInput,
    RefundInput,
    StepInput,
    StepResult,
    ValidateInput,
    VoidInput,
    VoidResult,
)
from orderfleet.domain.errors import InvalidOrder, PaymentConflict, PaymentOutcomeUnknown, PaymentRefused, PaymentVoided
from orderfleet.domain.events import Progress
from orderfleet.domain.payment import VoidOutcome
from orderfleet.domain.ports import OrderStore
from orderfleet.domain.status import PaymentStatus
from orderfleet.domain.validation import problems
from orderfleet.providers.interfaces import PaymentProvider
from orderfleet.temporal.step_interceptors import AttemptClock, attempt_of


class OrderActivities:
    """The activities, over the order store and the payment provider.

    Args:
        store: the order store.
        provider: of payments.
        require_prices: whether an item needs a price in an order whose policy doesn't say, as of a raw start.
    """

    def __init__(self, store: OrderStore, provider: PaymentProvider, *, require_prices: bool = True) -> None:
        self._store = store
        self._provider = provider
        self._require_prices = require_prices

    @activity.defn(name="receive")
    async def receive(self, step: ReceiveInput) -> StepResult:
        """Record the order; one round trip."""
        info = activity.info()
        await self._store.receive(
            step.order,
            workflow_id=info.workflow_id or "",
            run_id=info.workflow_run_id or "",
            first_run_id=step.first_run_id,
            started_at=step.started_at,
            progress=step.progress,
        )
        return _done(step)

    @activity.defn(name="validate")
    async def validate(self, step: ValidateInput) -> StepResult:
        """Check the order and record that it is right; one round trip."""
        wrong = problems(step.order, require_prices=self._require_prices)
        if wrong:
            raise InvalidOrder("; ".join(wrong))
        await self._store.record(step.order_id, step.progress)
        return _done(step)

    @activity.defn(name="record")
    async def record(self, step: RecordInput) -> StepResult:
        """Record progress; one round trip."""
        await self._store.record(step.order_id, step.progress)
        return _done(step)

    @activity.defn(name="charge")
    async def charge(self, step: ChargeInput) -> PaymentResult:
        """Charge the payment, whose id is the provider's idempotency key; two round trips.

        A payment that the record knows as charged is not charged again; one that it knows as
        refused, voided or given back never will be.

        A refusal ends the payment only if no other attempt can have asked the provider: this is the first attempt,
        and it inserted the payment's row. Else an earlier request may still arrive and charge, so the payment is
        voided.

        Raises:
            PaymentRefused: the provider refused the first request for this payment.
            PaymentOutcomeUnknown: it refused this request, but another one may still charge.
            PaymentVoided: the payment id can't be charged any more.
            PaymentConflict: the payment id belongs to another order.
        """
        payment = step.payment
        clock = AttemptClock()
        known = await self._store.begin_payment(payment, step.begin)
        if known.status is PaymentStatus.CHARGED:
            # The charge was recorded and its answer lost on the way.
            await self._store.record(step.order_id, step.done)
            return PaymentResult(attempt=attempt_of(step), status=known.status, reference=known.reference)
        if known.status is PaymentStatus.FAILED:
            # The attempt that recorded this was the first; a later one may have asked the provider too.
            raise PaymentOutcomeUnknown(f"payment {payment.payment_id} was refused before")
        if known.status is not PaymentStatus.INIT:
            raise PaymentVoided(f"payment {payment.payment_id} is {known.status}; it can't be charged")
        try:
            charge = await self._provider.charge(payment)
        except (PaymentRefused, PaymentVoided) as error:
            refused = isinstance(error, PaymentRefused)
            if refused and not (known.is_new and attempt_of(step) == 1):
                raise PaymentOutcomeUnknown(str(error)) from error
            end = PaymentStatus.FAILED if refused else PaymentStatus.VOIDED
            async with clock.store_deadline():
                await self._store.finish_payment(payment, end, None, progress=step.begin)
            raise
        async with clock.store_deadline():
            status = await self._store.finish_payment(
                payment, PaymentStatus.CHARGED, charge.reference, progress=_happening(step.done, clock.now())
            )
        if status is not PaymentStatus.CHARGED:
            # The refusal of an earlier attempt was recorded while this one asked the provider.
            raise PaymentOutcomeUnknown(f"payment {payment.payment_id} is charged, and was {status} before")
        return PaymentResult(attempt=attempt_of(step), status=PaymentStatus.CHARGED, reference=charge.reference)

    @activity.defn(name="void_payment")
    async def void_payment(self, step: VoidInput) -> VoidResult:
        """Make sure the payment can never charge, and give back what it did; two to four round trips."""
        try:
            # Ours before the provider is asked: another order's payment is not ours to give back.
            await self._store.begin_payment(step.payment)
        except PaymentConflict:
            return VoidResult(attempt=attempt_of(step), outcome=VoidOutcome.NEVER_CHARGED, status=None)
        outcome = await self._provider.void(step.payment)
        status = await self._store.finish_payment(
            step.payment, PaymentStatus.VOIDED, None, progress=step.progress, events=step.events
        )
        if status in {PaymentStatus.CHARGED, PaymentStatus.REFUNDING}:
            # The charge was recorded, but its answer never reached the workflow.
            await self._store.finish_payment(step.payment, PaymentStatus.REFUNDING, None)
            status = await self._store.finish_payment(step.payment, PaymentStatus.REFUNDED, None)
        return VoidResult(attempt=attempt_of(step), outcome=outcome, status=status)

    @activity.defn(name="refund")
    async def refund(self, step: RefundInput) -> PaymentResult:
        """Give the whole charge back; two round trips."""
        clock = AttemptClock()
        await self._store.finish_payment(step.payment, PaymentStatus.REFUNDING, None, events=[step.owed])
        await self._provider.refund(step.payment)
        done = step.done.model_copy(update={"at": clock.now()})
        await self._store.finish_payment(step.payment, PaymentStatus.REFUNDED, None, events=[done])
        return PaymentResult(attempt=attempt_of(step), status=PaymentStatus.REFUNDED)


def _done(step: StepInput) -> StepResult:
    return StepResult(attempt=attempt_of(step))


def _happening(progress: Progress, now: datetime) -> Progress:
    """The events of a step drafted before an outage happened when the step did."""
    return progress.model_copy(update={"events": tuple(e.model_copy(update={"at": now}) for e in progress.events)})
