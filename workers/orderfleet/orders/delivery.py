"""Waiting for the carrier's confirmation, for orders that want one. Called by the order workflow."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from orderfleet.contracts.record import EventKind
    from orderfleet.contracts.shipping import CarrierUpdate
    from orderfleet.contracts.status import ShipmentStatus, Step

from orderfleet.orders.context import OrderContext


def told(ctx: OrderContext, update: CarrierUpdate) -> None:
    """The carrier told of a shipment; only that it is delivered matters, and once."""
    if update.status is ShipmentStatus.DELIVERED and update.shipment_id not in ctx.state.delivered:
        ctx.state.delivered.append(update.shipment_id)


async def confirm(ctx: OrderContext) -> None:
    """Wait until the dispatched shipment is delivered; unconfirmed in time, the order stays shipped."""
    state = ctx.state
    shipment = state.shipments[-1]
    if state.delivery_deadline is None:
        state.delivery_deadline = workflow.now() + ctx.order.delivery.timeout
    if await ctx.wait_until(lambda: shipment.id in state.delivered, state.delivery_deadline):
        state.shipments[-1] = shipment.model_copy(update={"status": ShipmentStatus.DELIVERED})
        state.enter(Step.DELIVERED)
        ctx.journal.note(EventKind.DELIVERED, shipment=shipment.id)
    else:
        state.last_error = "the carrier did not confirm delivery in time"
        ctx.journal.note(EventKind.DELIVERY_UNCONFIRMED, shipment=shipment.id)
