"""Workflows that compensate: `RefundWorkflow` for one payment, `CompensationWorkflow` for one orphaned order.

Both retry without limit and have no deadline, so an open one is a pending refund, whose age raises an alert. A refund
has an id in its payment, so each is made once. It ends without success only if the provider refuses it.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any

from temporalio import workflow

from orderfleet.temporal.step_runner import ActivityRef, LastError, StepFailed, StepRunner, backoff, read_start

with workflow.unsafe.imports_passed_through():
    from temporalio.exceptions import ApplicationError

    from orderfleet.domain import names
    from orderfleet.domain.activities import (
        BeginRefundInput,
        BeginRefundResult,
        RecordShipmentInput,
        RefundInput,
        RefundStepResult,
        StepResult,
        VoidBookingInput,
        VoidBookingResult,
        VoidInput,
        VoidResult,
    )
    from orderfleet.domain.events import AuditEvent, EventKind
    from orderfleet.domain.ledger import IntentStatus, PaymentRecord, RefundDecision
    from orderfleet.domain.money import to_decimal
    from orderfleet.domain.orphans import Compensation, RecordCompensationInput
    from orderfleet.domain.policy import OrderPolicy
    from orderfleet.domain.refunds import RefundOrder, RefundResult, refusal_reason
    from orderfleet.domain.shipment import Booking, BookingState, ShipmentRecord
    from orderfleet.domain.status import ShipmentStatus, Step
    from orderfleet.orders.maintenance import MaintenanceActivities
    from orderfleet.orders.payment_activities import PaymentActivities
    from orderfleet.orders.refund_activities import RefundActivities


_BEGIN_REFUND = ActivityRef(RefundActivities.begin_refund, BeginRefundResult)
_REFUND = ActivityRef(RefundActivities.refund, RefundStepResult)
_VOID = ActivityRef(PaymentActivities.void_payment, VoidResult)
_RECORD = ActivityRef(MaintenanceActivities.record_compensation, StepResult)


@workflow.defn(name=names.REFUND_WORKFLOW)
class RefundWorkflow(LastError):
    """One refund of a payment: of everything that is left, or of what a client asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._decision: RefundDecision | None = None
        self._is_undo = False

    @workflow.update(name=names.REFUND_DECISION)
    async def decision(self, *_args: Any) -> RefundDecision:
        """Wait for the decision about the refund and return it.

        Raises:
            ApplicationError: no client asked for this refund, so it has no decision.
        """
        await workflow.wait_condition(lambda: self._decision is not None or self._is_undo)
        if self._decision is None:
            raise ApplicationError("a refund of everything that is left has no decision", non_retryable=True)
        return self._decision

    @workflow.run
    async def run(self, *args: Any) -> RefundResult:
        """Refund; retried until the provider has done it or refuses it.

        Raises:
            ApplicationError: the input is rejected; the message has the reason.
        """
        refund = read_start(
            RefundOrder,
            args,
            lambda refund: names.refund_workflow_id(refund.payment.payment_id, refund_id=refund.refund_id),
        )
        steps = StepRunner(refund.policy, self._on_error)
        self._is_undo = not refund.partial
        if refund.partial:
            self._decision = await self._decide(steps, refund)
            await _show(refund, None if self._decision.refused else self._decision.payment)
        result = await self._refund(steps, refund)
        # Each update that has arrived is answered.
        await workflow.wait_condition(workflow.all_handlers_finished)
        return result

    async def _decide(self, steps: StepRunner, refund: RefundOrder) -> RefundDecision:
        """Reserve the amount, unless it cannot be refunded or an earlier workflow of this refund reserved it."""
        amount = "" if refund.amount is None else str(to_decimal(refund.amount, refund.payment.currency))
        lines = ", ".join(f"{each.qty} of {each.line}" for each in refund.lines)
        begin = BeginRefundInput(
            order_id=refund.order_id,
            payment=refund.payment,
            request=refund.request,
            pending=_refund_event(EventKind.REFUND_PENDING, refund, amount=amount, lines=lines),
        )
        begun = await steps.retry_forever(_BEGIN_REFUND, begin, refund.policy.refund)
        # The answer of an earlier attempt, which reserved it, may have been lost.
        is_new = begun.decision.is_new or begun.attempt > 1
        return begun.decision.model_copy(update={"is_new": is_new})

    async def _refund(self, steps: StepRunner, refund: RefundOrder) -> RefundResult:
        decision, amount = self._decision, refund.payment.amount
        if decision is not None and decision.refused is not None:
            failure = refusal_reason(refund, decision)
            return RefundResult(status=IntentStatus.REFUSED, failure=failure, decision=decision)
        if decision is not None:
            amount = decision.amount
        text = str(to_decimal(amount, refund.payment.currency))
        arg = RefundInput(
            order_id=refund.order_id,
            payment=refund.payment,
            request=refund.request,
            pending=_refund_event(EventKind.REFUND_PENDING, refund, amount=text),
            done=_refund_event(EventKind.REFUNDED, refund, amount=text),
            failed=_refund_event(EventKind.REFUND_FAILED, refund, amount=text),
            reserved=decision is not None,
        )
        # A workflow of this refund that was terminated may have asked the provider.
        asked_at = workflow.now() if decision is not None and not decision.is_new else None
        done = await self._make(steps, arg, refund.policy, asked_at)
        await _show(refund, done.payment)
        return RefundResult(status=done.status, failure=done.failure, decision=decision)

    async def _make(
        self, steps: StepRunner, arg: RefundInput, policy: OrderPolicy, asked_at: datetime | None
    ) -> RefundStepResult:
        """Run the refund in rounds until the provider has made it or refuses it; each knows of the one before."""
        for wait in backoff(policy.retry_forever_backoff):
            try:
                return await steps.run(_REFUND, arg.model_copy(update={"asked_at": asked_at}), policy.refund)
            except StepFailed as failed:
                self._on_error(str(failed))
            asked_at = workflow.now()
            await workflow.sleep(wait)
        raise AssertionError("a backoff has no end")


async def _show(refund: RefundOrder, payment: PaymentRecord | None) -> None:
    """Send the payment to the workflow of an order that runs, for its live status; one that has ended needs none."""
    if refund.order_runs and payment is not None:
        order = workflow.get_external_workflow_handle(names.order_workflow_id(refund.order_id))
        with suppress(ApplicationError):
            await order.signal(names.PAYMENT_RECORDED, payment)


def _refund_event(kind: EventKind, refund: RefundOrder, **detail: str) -> AuditEvent:
    """An event of a refund; the key and the detail of a partial one have its id."""
    key = kind.replace("_", "-") + (f"/{refund.refund_id}" if refund.partial else "")
    shown = {
        "payment": refund.payment.payment_id,
        **({"refund": refund.refund_id} if refund.partial else {}),
        **{name: text for name, text in detail.items() if text},
        "reason": refund.reason,
    }
    return _event(key, kind, shown)


def _event(key: str, kind: EventKind, detail: dict[str, str]) -> AuditEvent:
    return AuditEvent(key=key, kind=kind, step=Step.CHARGE, at=workflow.now(), detail=dict(detail))


@workflow.defn(name=names.COMPENSATION_WORKFLOW)
class CompensationWorkflow(LastError):
    """Compensates one order."""

    @workflow.run
    async def run(self, *args: Any) -> None:
        """Compensate the order; it ends failed, or shipped if its parcel is dispatched.

        Raises:
            ApplicationError: the input is rejected; the message has the reason.
        """
        compensation = read_start(
            Compensation, args, lambda given: names.compensation_workflow_id(given.orphan.order_id)
        )
        orphan = self._orphan = compensation.orphan
        self._policy = compensation.policy
        self._steps = StepRunner(compensation.policy, self._on_error)
        booking = await self._void_booking()
        reason = f"its workflow was ended from outside ({orphan.how})"
        if booking is None:
            detail = {"payment": orphan.payment.payment_id}
            voided = _event("compensated-payment", EventKind.PAYMENT_VOIDED, detail)
            void = VoidInput(order_id=orphan.order_id, payment=orphan.payment, events=(voided,))
            await self._steps.retry_forever(_VOID, void, self._policy.refund)
        end = RecordCompensationInput(
            order_id=orphan.order_id,
            shipped=booking is not None,
            reason=reason,
            at=workflow.now(),
            conflicts=compensation.conflicts,
        )
        await self._steps.retry_forever(_RECORD, end, self._policy.record)

    async def _void_booking(self) -> Booking | None:
        """Void every booking that can still be made.

        Returns:
            The booking of a parcel that is already dispatched; None if there is none.
        """
        queue = self._policy.shipping_task_queue
        # The void covers shipments that have started and are not recorded.
        attempt = max(self._orphan.shipments, self._policy.shipping_attempts)
        void: ActivityRef[VoidBookingInput, VoidBookingResult] = ActivityRef("void_booking", VoidBookingResult, queue)
        arg = VoidBookingInput(order_id=self._orphan.order_id, shipment_attempt=attempt)
        found = await self._steps.retry_forever(void, arg, self._policy.dispatch_carrier)
        if found.state is not BookingState.DISPATCHED or found.booking is None:
            return None
        record: ActivityRef[RecordShipmentInput, StepResult] = ActivityRef("record_shipment", StepResult, queue)
        await self._steps.retry_forever(record, self._shipment(found.booking), self._policy.record)
        return found.booking

    def _shipment(self, booking: Booking) -> RecordShipmentInput:
        attempt = max(self._orphan.shipments, 1)
        return RecordShipmentInput(
            order_id=self._orphan.order_id,
            shipment=ShipmentRecord(
                shipment_id=names.shipment_id(self._orphan.order_id, attempt),
                order_id=self._orphan.order_id,
                attempt=attempt,
                status=ShipmentStatus.DISPATCHED,
                **dict(booking),
            ),
            events=(),
        )
