"""`OrderWorkflow`: the life of one order, from `receive` to its end.

Its handlers hand each change to `Changes`; its flow walks the phases in order and undoes what was
done when the order can't go on. It touches no I/O: the activities do.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from temporalio.exceptions import ApplicationError

    from orderfleet.contracts import names
    from orderfleet.contracts.declare import Declaration
    from orderfleet.contracts.errors import InvalidOrder
    from orderfleet.contracts.order import Address, OrderInput
    from orderfleet.contracts.record import EventKind
    from orderfleet.contracts.shipping import CarrierUpdate, DispatchFailed, ShipmentAnswer
    from orderfleet.contracts.status import OrderStatus, Step

from orderfleet.orders import delivery, intake, payment
from orderfleet.orders.changes import Changes
from orderfleet.orders.context import AlreadyShipped, OrderCanceled, OrderContext, OrderFailed
from orderfleet.orders.raw import read, read_order, reason_of
from orderfleet.orders.shipment import ShipmentPhase, shipped_detail
from orderfleet.orders.state import OrderState
from orderfleet.orders.validation import of_address

CANCELED_IN_TEMPORAL = "canceled in Temporal"
CHANGE_REFUSED = "ChangeRefused"
"""Error type of an update that was refused."""


@workflow.defn(name=names.ORDER_WORKFLOW)
class OrderWorkflow:
    """One order. Input: an `OrderInput`, also as the plain object of a raw client."""

    @workflow.init
    def __init__(self, order: Any, carried: OrderState | None = None) -> None:
        found = read_order(order)
        self._unreadable = found if isinstance(found, str) else None
        parsed, too_long = (OrderInput(order_id="unreadable"), None) if isinstance(found, str) else found
        self._ctx = OrderContext(parsed, carried or OrderState.new(parsed, workflow.info().start_time), too_long)
        self._shipment = ShipmentPhase(self._ctx)
        self._changes = Changes(self._ctx, self._shipment)

    @workflow.run
    async def run(self, order: Any, carried: OrderState | None = None) -> OrderStatus:  # noqa: ARG002 - read in __init__
        """Walk the order to its end and answer how it ended.

        `carried` is the state of a run that continued as new; a client never gives it.

        Raises:
            ApplicationError: the order failed; the message says why.
        """
        if self._unreadable is not None:
            raise ApplicationError(self._unreadable, type=InvalidOrder.__name__, non_retryable=True)
        # Temporal's own cancel reaches this coroutine only: the flow, and all it undoes, is shielded.
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
            await payment.charge(ctx)
            await self._shipment.ship()
        except OrderCanceled as canceled:
            return await self._undo(Step.CANCELED, str(canceled))
        except OrderFailed as failed:
            return await self._undo(Step.FAILED, str(failed))
        return await self._shipped()

    async def _undo(self, end: Step, why: str) -> OrderStatus:
        """Take back what was done, then end; an order that can't be taken back goes on as shipped."""
        ctx = self._ctx
        try:
            await self._shipment.take_back_booking()
        except AlreadyShipped:
            ctx.state.cancel_requested = None
            ctx.journal.note(EventKind.CHANGE_REFUSED, change=end, reason="the package is already dispatched")
            return await self._shipped()
        await payment.give_back(ctx, why)
        if ctx.state.cancel_requested is not None:
            # A cancel that was taken while a failed order is undone is kept: whoever asked was told so.
            end, why = Step.CANCELED, ctx.state.cancel_requested
        ctx.state.enter(end)
        if end is Step.FAILED:
            ctx.state.last_error = why
            ctx.journal.note(EventKind.FAILED, reason=why)
            await self._end()
            raise ApplicationError(why, type="OrderFailed", non_retryable=True)
        ctx.state.canceled = True
        ctx.state.cancel_reason = why
        ctx.journal.note(EventKind.CANCELED, reason=why)
        return await self._end()

    async def _shipped(self) -> OrderStatus:
        self._ctx.state.enter(Step.SHIPPED)
        self._ctx.journal.note(EventKind.SHIPPED, **shipped_detail(self._ctx))
        return await self._deliver()

    async def _deliver(self) -> OrderStatus:
        """End, or wait for the carrier's confirmation first if the order wants one."""
        ctx = self._ctx
        if ctx.order.delivery.confirm:
            await delivery.confirm(ctx)
        return await self._end()

    async def _end(self) -> OrderStatus:
        """Record the end; what a handler still does or notes is recorded too."""
        ctx = self._ctx
        ctx.state.completed_at = workflow.now()
        if not ctx.state.received:
            await intake.leave_word(ctx)
            return self.status()
        # What the shipment's end in the history decides can't come out otherwise when it is run again.
        foregone = ctx.state.step is Step.SHIPPED and not ctx.order.delivery.confirm
        while ctx.journal.dirty or not workflow.all_handlers_finished():
            await workflow.wait_condition(lambda: ctx.journal.dirty or workflow.all_handlers_finished())
            if ctx.journal.dirty:
                await ctx.record(decided=not foregone)
        return self.status()

    async def _cancel_at_deadline(self) -> None:
        deadline = self._ctx.order.deadline
        if deadline is not None:
            await workflow.sleep(max(self._ctx.state.created_at + deadline - workflow.now(), timedelta(0)))
            await self._changes.cancel("deadline passed")

    @workflow.query(name=names.STATUS_QUERY)
    def status(self) -> OrderStatus:
        """Where the order stands."""
        info = workflow.info()
        return self._ctx.state.view(self._ctx.order, info.workflow_id, info.first_execution_run_id)

    @workflow.signal(name=names.APPROVE)
    def approve(self) -> None:
        """Approve the order."""
        self._changes.approve("signal")

    @workflow.signal(name="approve_order")
    def approve_order(self) -> None:
        """The same, under the name older clients use."""
        self._changes.approve("signal")

    @workflow.signal(name=names.CANCEL_ORDER)
    async def cancel_order(self, reason: Any = None) -> None:
        """Cancel the order; the reason is a plain string, an object with `reason`, or left out."""
        await self._changes.cancel(reason_of(reason))

    @workflow.signal(name=names.CANCEL_PAYMENT)
    async def cancel_payment(self, reason: Any = None) -> None:
        """Cancel the payment, and so the order: not charged, or refunded."""
        await self._changes.cancel(reason_of(reason, "payment canceled"))

    @workflow.signal(name=names.UPDATE_ADDRESS)
    async def update_address(self, address: Any) -> None:
        """Send the package elsewhere; the last address wins."""
        parsed = read(Address, address)
        if isinstance(parsed, str):
            self._ctx.journal.note(EventKind.CHANGE_REFUSED, change="address", reason=parsed)
        else:
            await self._changes.change_address(parsed)

    @workflow.signal(name=names.DECLARE)
    async def declare(self, declaration: Any) -> None:
        """Take the declared state of the Order."""
        parsed = read(Declaration, declaration)
        if isinstance(parsed, str):
            self._ctx.journal.note(EventKind.CHANGE_REFUSED, change="declare", reason=parsed)
        else:
            await self._changes.declare(parsed)

    @workflow.signal(name=names.CARRIER_UPDATE)
    def carrier_update(self, update: Any) -> None:
        """The carrier's word on a shipment."""
        self._ctx.changes += 1
        parsed = read(CarrierUpdate, update)
        if isinstance(parsed, str):
            self._ctx.journal.note(EventKind.CHANGE_REFUSED, change="carrier_update", reason=parsed)
        else:
            delivery.told(self._ctx, parsed)

    @workflow.signal(name=names.SHIPMENT_ANSWER)
    def shipment_answer(self, answer: ShipmentAnswer) -> None:
        """The shipment answers what it was asked."""
        self._shipment.answered(answer)

    @workflow.signal(name=names.DISPATCH_FAILED)
    def dispatch_failed(self, told: DispatchFailed) -> None:
        """The shipment tells that its dispatch failed."""
        self._shipment.dispatch_failed(told)

    @workflow.update(name=names.APPROVE)
    def approve_update(self) -> None:
        """Approve the order, or say why not."""
        _answer(self._changes.approve("update"))

    @workflow.update(name=names.CANCEL_ORDER)
    async def cancel_update(self, reason: Any = None) -> None:
        """Cancel the order, or say why not."""
        _answer(await self._changes.cancel(reason_of(reason)))

    @workflow.update(name=names.CANCEL_PAYMENT)
    async def cancel_payment_update(self, reason: Any = None) -> None:
        """Cancel the payment and the order, or say why not."""
        _answer(await self._changes.cancel(reason_of(reason, "payment canceled")))

    @workflow.update(name=names.UPDATE_ADDRESS)
    async def update_address_update(self, address: Any) -> None:
        """Send the package elsewhere, or say why not."""
        _answer(await self._changes.change_address(Address.model_validate(address)))

    @update_address_update.validator
    def _check_address(self, address: Any) -> None:
        """Refuse what is no address before it enters the history."""
        parsed = read(Address, address)
        _answer(parsed if isinstance(parsed, str) else "; ".join(of_address(parsed)) or None)


def _answer(refusal: str | None) -> None:
    if refusal is not None:
        raise ApplicationError(refusal, type=CHANGE_REFUSED, non_retryable=True)
