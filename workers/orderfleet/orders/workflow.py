"""`OrderWorkflow`: one order from `receive` to its end.

Its handlers pass each change to `Changes`. Its main coroutine runs the phases in order, and compensates an order that
is canceled or fails. It must do no I/O.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from temporalio.exceptions import ApplicationError

    from orderfleet.domain import names
    from orderfleet.domain.base import truncate
    from orderfleet.domain.events import EventKind
    from orderfleet.domain.inputs import InputRejected, Model, read_none, read_one, read_optional, read_reason
    from orderfleet.domain.ledger import PaymentRecord
    from orderfleet.domain.order import Address, OrderInput, SpecUpdate
    from orderfleet.domain.payment import RetryPayment
    from orderfleet.domain.shipment import CarrierUpdate, DispatchFailed, ShipmentAnswer
    from orderfleet.domain.status import OrderStatus, Step

from orderfleet.orders import delivery, hold, intake, payment
from orderfleet.orders.changes import Changes
from orderfleet.orders.context import AlreadyShipped, OrderCanceled, OrderContext, OrderFailed
from orderfleet.orders.intake import read_continued, read_order
from orderfleet.orders.shipment import ShipmentPhase, shipped_detail
from orderfleet.orders.state import OrderState
from orderfleet.temporal.step_runner import rejected_start

CANCELED_IN_TEMPORAL = "canceled in Temporal"
CHANGE_REJECTED = "ChangeRejected"
"""Error type of a rejected update."""


@workflow.defn(name=names.ORDER_WORKFLOW)
class OrderWorkflow:
    """One order. Input: an `OrderInput`, also as a plain object, or the four arguments of an earlier system.

    A handler accepts any argument, since any client can send one; an argument that can't be read is rejected.
    """

    @workflow.init
    def __init__(self, *args: Any) -> None:
        info = workflow.info()
        self._rejected_start: str | None = None
        """Reason of a rejected start; then the rest of the object is a placeholder."""
        try:
            read = read_order if info.continued_run_id is None else read_continued
            order, too_long, state = read(args, info)
        except InputRejected as rejected:
            self._rejected_start, order, too_long = str(rejected), OrderInput(order_id="rejected"), None
            state = OrderState.new(order, info.start_time)
        self._ctx = OrderContext(order, state, too_long)
        self._shipment = ShipmentPhase(self._ctx)
        self._changes = Changes(self._ctx, self._shipment)

    @workflow.run
    async def run(self, *args: Any) -> OrderStatus:  # noqa: ARG002 - read in __init__
        """Run the order to its end.

        Returns:
            Its status.

        Raises:
            ApplicationError: the order failed, or its input is rejected; the message has the reason.
        """
        if self._rejected_start is not None:
            raise rejected_start(self._rejected_start)
        # Temporal cancels this coroutine only: the shielded flow compensates the order.
        flow = asyncio.create_task(self._flow())
        while True:
            try:
                return await asyncio.shield(flow)
            except asyncio.CancelledError:
                if flow.done():
                    raise
                self._background = asyncio.create_task(self._changes.cancel(CANCELED_IN_TEMPORAL))

    async def _flow(self) -> OrderStatus:
        ctx = self._ctx
        if ctx.order.deadline is not None:
            self._deadline = asyncio.create_task(self._cancel_at_deadline())
        try:
            if ctx.state.step is Step.SHIPPED:
                return await self._deliver()
            if ctx.state.step is Step.RECEIVE:
                await intake.receive(ctx)
                await intake.validate(ctx)
            await intake.review(ctx)
            ctx.stop_if_canceled()
            if ctx.state.step is not Step.SHIPPING:
                await payment.charge(ctx)
            await self._shipment.ship()
        except OrderCanceled as canceled:
            return await self._compensate(Step.CANCELED, str(canceled))
        except OrderFailed as failed:
            return await self._compensate(Step.FAILED, str(failed))
        return await self._shipped()

    async def _compensate(self, end: Step, reason: str) -> OrderStatus:
        """Void the booking, refund, and end; an order whose parcel is dispatched ends shipped instead."""
        ctx = self._ctx
        hold.end(ctx)
        try:
            await self._shipment.void_booking()
        except AlreadyShipped:
            ctx.state.cancel_requested = None
            ctx.journal.append(EventKind.CHANGE_REJECTED, change=end, reason="the package is already dispatched")
            return await self._shipped()
        await payment.undo(ctx, reason)
        if ctx.state.cancel_requested is not None:
            # The cancel was accepted during the compensation of a failed order, so the order must end canceled.
            end, reason = Step.CANCELED, ctx.state.cancel_requested
        ctx.state.enter(end)
        if end is Step.FAILED:
            ctx.state.last_error = reason
            ctx.journal.append(EventKind.FAILED, reason=reason)
            await self._end()
            raise ApplicationError(reason, type="OrderFailed", non_retryable=True)
        ctx.state.canceled = True
        ctx.state.cancel_reason = reason
        ctx.journal.append(EventKind.CANCELED, reason=reason)
        return await self._end()

    async def _shipped(self) -> OrderStatus:
        self._ctx.state.enter(Step.SHIPPED)
        self._ctx.journal.append(EventKind.SHIPPED, **shipped_detail(self._ctx))
        return await self._deliver()

    async def _deliver(self) -> OrderStatus:
        """Wait for the carrier's confirmation if the order requires one, then end."""
        ctx = self._ctx
        if ctx.order.delivery.confirm:
            await delivery.confirm(ctx)
        return await self._end()

    async def _end(self) -> OrderStatus:
        """Write the end, and the events of handlers that are still running."""
        ctx = self._ctx
        ctx.state.completed_at = workflow.now()
        if not ctx.state.received:
            await intake.record_failed_receipt(ctx)
            return self.status()
        # The child's completion event fixes the outcome: a replay can't change it.
        outcome_determined = ctx.state.step is Step.SHIPPED and not ctx.order.delivery.confirm
        while ctx.journal.dirty or not workflow.all_handlers_finished():
            await workflow.wait_condition(lambda: ctx.journal.dirty or workflow.all_handlers_finished())
            if ctx.journal.dirty:
                await ctx.record(decided=not outcome_determined)
        return self.status()

    async def _cancel_at_deadline(self) -> None:
        deadline = self._ctx.order.deadline
        if deadline is not None:
            await workflow.sleep(max(self._ctx.state.created_at + deadline - workflow.now(), timedelta(0)))
            await self._changes.cancel("deadline passed")

    @workflow.query(name=names.STATUS_QUERY)
    def status(self, *_args: Any) -> OrderStatus:
        """The status of the order."""
        if self._rejected_start is not None:
            raise rejected_start(self._rejected_start)
        info = workflow.info()
        return self._ctx.state.view(self._ctx.order, info.workflow_id, info.first_execution_run_id)

    @workflow.signal(name=names.APPROVE)
    def approve(self, *args: Any) -> None:
        """Approve the order."""
        self._approve(args, "signal")

    @workflow.signal(name="approve_order")
    def approve_order(self, *args: Any) -> None:
        """Approve the order; the name that an earlier system uses."""
        self._approve(args, "signal")

    @workflow.signal(name=names.CANCEL_ORDER)
    async def cancel_order(self, *args: Any) -> None:
        """Cancel the order; the argument is the reason, an object with `reason`, or missing."""
        await self._cancel(args, "canceled")

    @workflow.signal(name=names.CANCEL_PAYMENT)
    async def cancel_payment(self, *args: Any) -> None:
        """Cancel the order, whose payment is then not charged, or refunded."""
        await self._cancel(args, "payment canceled")

    @workflow.signal(name=names.UPDATE_ADDRESS)
    async def update_address(self, *args: Any) -> None:
        """Change the address; the last one wins."""
        address = self._read(Address, args, "address")
        if address is not None:
            await self._changes.change_address(address)

    @workflow.signal(name=names.APPLY_SPEC)
    async def apply_spec(self, *args: Any) -> None:
        """Apply the mutable fields of the Order's spec, which the operator sends."""
        spec = self._read(SpecUpdate, args, names.APPLY_SPEC)
        if spec is not None:
            await self._changes.apply_spec(spec)

    @workflow.signal(name=names.RETRY_PAYMENT)
    def retry_payment(self, *args: Any) -> None:
        """Capture the payment of a held order again; the argument is missing, or an object with `method`."""
        try:
            self._changes.retry_payment(read_optional(RetryPayment, args), "signal")
        except InputRejected as rejected:
            self._reject("payment", rejected)

    @workflow.signal(name=names.PAYMENT_UPDATE)
    def payment_update(self, *_args: Any) -> None:
        """Look up the payment, or capture it again: the provider reported a change."""
        self._ctx.changes += 1
        self._ctx.state.payment_updated = True

    @workflow.signal(name=names.PAYMENT_RECORDED)
    def payment_recorded(self, *args: Any) -> None:
        """Show a payment that another workflow or the provider changed, as the order store derived it."""
        payment = self._read(PaymentRecord, args, "payment")
        if payment is not None and payment.payment_id == self._ctx.order.payment_id:
            self._ctx.changes += 1
            self._ctx.state.show_payment(payment)

    @workflow.signal(name=names.CARRIER_UPDATE)
    def carrier_update(self, *args: Any) -> None:
        """Apply a carrier's update on a shipment."""
        update = self._read(CarrierUpdate, args, names.CARRIER_UPDATE)
        if update is not None:
            self._ctx.changes += 1
            delivery.apply_carrier_update(self._ctx, update)

    @workflow.signal(name=names.SHIPMENT_ANSWER)
    def shipment_answer(self, *args: Any) -> None:
        """Receive a shipment's answer to a cancellation or a change of the address."""
        answer = self._read(ShipmentAnswer, args, names.SHIPMENT_ANSWER)
        if answer is not None:
            self._shipment.accept_answer(answer)

    @workflow.signal(name=names.DISPATCH_FAILED)
    def dispatch_failed(self, *args: Any) -> None:
        """Receive the failure of a shipment before its workflow ends."""
        failed = self._read(DispatchFailed, args, names.DISPATCH_FAILED)
        if failed is not None:
            self._shipment.dispatch_failed(failed)

    @workflow.update(name=names.APPROVE)
    def approve_update(self, *args: Any) -> None:
        """Approve the order, or fail with the reason."""
        _raise_rejection(self._approve(args, "update"))

    @workflow.update(name=names.CANCEL_ORDER)
    async def cancel_update(self, *args: Any) -> None:
        """Cancel the order, or fail with the reason."""
        _raise_rejection(await self._cancel(args, "canceled"))

    @workflow.update(name=names.CANCEL_PAYMENT)
    async def cancel_payment_update(self, *args: Any) -> None:
        """Cancel the payment and the order, or fail with the reason."""
        _raise_rejection(await self._cancel(args, "payment canceled"))

    @workflow.update(name=names.UPDATE_ADDRESS)
    async def update_address_update(self, *args: Any) -> None:
        """Change the address, or fail with the reason."""
        try:
            address = read_one(Address, args)
        except InputRejected as rejected:
            _raise_rejection(self._reject("address", rejected))
        else:
            _raise_rejection(await self._changes.change_address(address))

    @update_address_update.validator
    def _check_address(self, *args: Any) -> None:
        """Reject an invalid address before the update enters the history."""
        try:
            _raise_rejection("; ".join(self._ctx.address_problems(read_one(Address, args))) or None)
        except InputRejected as rejected:
            _raise_rejection(str(rejected))

    @workflow.update(name=names.RETRY_PAYMENT)
    def retry_payment_update(self, *args: Any) -> None:
        """Capture the payment of a held order again, or fail with the reason."""
        _raise_rejection(self._changes.retry_payment(read_optional(RetryPayment, args), "update"))

    @retry_payment_update.validator
    def _check_retry(self, *args: Any) -> None:
        """Reject a retry before the update enters the history."""
        try:
            read_optional(RetryPayment, args)
        except InputRejected as rejected:
            _raise_rejection(str(rejected))
        _raise_rejection(self._changes.rejects_payment_retry())

    def _approve(self, args: Sequence[Any], by: str) -> str | None:
        try:
            read_none(args)
        except InputRejected as rejected:
            return self._reject("approve", rejected)
        return self._changes.approve(by)

    async def _cancel(self, args: Sequence[Any], default: str) -> str | None:
        try:
            reason = read_reason(args, default)
        except InputRejected as rejected:
            return self._reject("cancel", rejected)
        return await self._changes.cancel(reason)

    def _read(self, model: type[Model], args: Sequence[Any], change: str) -> Model | None:
        """The argument of a signal; None for one that can't be read, which is recorded as a rejection."""
        try:
            return read_one(model, args)
        except InputRejected as rejected:
            self._reject(change, rejected)
            return None

    def _reject(self, change: str, rejected: InputRejected) -> str:
        self._ctx.changes += 1
        reason = truncate(str(rejected))
        self._ctx.journal.append(EventKind.CHANGE_REJECTED, change=change, reason=reason)
        return reason


def _raise_rejection(rejection: str | None) -> None:
    if rejection is not None:
        raise ApplicationError(rejection, type=CHANGE_REJECTED, non_retryable=True)
