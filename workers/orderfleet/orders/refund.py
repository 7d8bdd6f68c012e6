"""`RefundWorkflow`: a refund is owed until it is done.

Started by the order that is undone, or by a shipment that can't reach its order; its id is the
payment's, so it is owed once, and its memo names its order. It has no attempt limit and no deadline;
Temporal shows it open, and alerts watch its age.
"""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from orderfleet.contracts import names
    from orderfleet.contracts.record import AuditEvent, EventKind
    from orderfleet.contracts.refund import RefundOrder
    from orderfleet.contracts.status import Step
    from orderfleet.contracts.steps import PaymentResult, RefundInput
    from orderfleet.orders.activities import OrderActivities

from orderfleet.steps.running import Activity, StepRunner

_REFUND = Activity(OrderActivities.refund, PaymentResult)


@workflow.defn(name=names.REFUND_WORKFLOW)
class RefundWorkflow:
    """Gives one payment back."""

    @workflow.init
    def __init__(self, owed: RefundOrder) -> None:
        self._last_error: str | None = None
        self._steps = StepRunner(owed.policy.outage, self._trouble)

    @workflow.run
    async def run(self, owed: RefundOrder) -> PaymentResult:
        """Try until the provider has given the money back."""
        detail = {"payment": owed.payment.payment_id, "amount": str(owed.payment.amount), "reason": owed.reason}
        arg = RefundInput(
            order_id=owed.order_id,
            payment=owed.payment,
            owed=_event("refund-owed", EventKind.REFUND_OWED, detail),
            done=_event("refunded", EventKind.REFUNDED, detail),
        )
        return await self._steps.run_until_done(_REFUND, arg, owed.policy.refund, owed.policy.owed)

    @workflow.query
    def last_error(self) -> str | None:
        """Why the refund is not done yet."""
        return self._last_error

    def _trouble(self, text: str) -> None:
        self._last_error = text


def _event(key: str, kind: EventKind, detail: dict[str, str]) -> AuditEvent:
    return AuditEvent(key=key, kind=kind, step=Step.CHARGE, at=workflow.now(), detail=dict(detail))
