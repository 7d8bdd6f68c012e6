"""Updates of the carrier on the shipments of an order, and the wait for its confirmation of delivery."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from orderfleet.domain import names
    from orderfleet.domain.base import truncate
    from orderfleet.domain.events import EventKind
    from orderfleet.domain.shipment import CarrierUpdate, ParcelState
    from orderfleet.domain.status import ShipmentStatus, Step

from orderfleet.orders.context import OrderContext

MAX_CARRIER_UPDATES: Final = 100
"""Carrier updates that an order records, so that a carrier that repeats itself can't fill its history."""

_KINDS: Final = {ParcelState.BOOKED: EventKind.PARCEL_BOOKED, ParcelState.IN_TRANSIT: EventKind.PARCEL_IN_TRANSIT}


def apply_carrier_update(ctx: OrderContext, update: CarrierUpdate) -> None:
    """Apply a carrier's update on a shipment; a repetition changes nothing.

    An update on a shipment id that the order can't have is ignored.

    Args:
        ctx: the order.
        update: the update, whose delivery is stored also before the booking's result.
    """
    state = ctx.state
    attempts = range(1, ctx.policy.shipping_attempts + 1)
    if update.shipment_id in state.delivered or not any(
        update.shipment_id == names.shipment_id(ctx.order.order_id, attempt) for attempt in attempts
    ):
        return
    if update.status is ShipmentStatus.DELIVERED:
        state.delivered.append(update.shipment_id)
        if update.detail:
            state.delivered_detail[update.shipment_id] = truncate(update.detail)
    elif update.parcel in _KINDS and any(shipment.id == update.shipment_id for shipment in state.shipments):
        _append_event(ctx, update, update.parcel)


def _append_event(ctx: OrderContext, update: CarrierUpdate, parcel: ParcelState) -> None:
    recorded = ctx.state.carrier_updates
    if parcel is ParcelState.BOOKED and any(
        key.startswith(f"{update.shipment_id} {ParcelState.IN_TRANSIT} ") for key in recorded
    ):
        return
    key = f"{update.shipment_id} {parcel} {sha256(update.detail.encode()).hexdigest()[:8]}"
    if key not in recorded and len(recorded) < MAX_CARRIER_UPDATES:
        recorded.append(key)
        ctx.journal.append(_KINDS[parcel], shipment=update.shipment_id, **_detail(update.detail))


def _detail(detail: str | None) -> dict[str, str]:
    return {"detail": truncate(detail)} if detail else {}


async def confirm(ctx: OrderContext) -> None:
    """Wait until the carrier confirms the delivery; without it, the order stays shipped after a time-out."""
    state = ctx.state
    shipment = state.shipments[-1]
    if state.delivery_deadline is None:
        state.delivery_deadline = workflow.now() + ctx.order.delivery.timeout
    if await ctx.wait_until(lambda: shipment.id in state.delivered, state.delivery_deadline):
        state.shipments[-1] = shipment.model_copy(update={"status": ShipmentStatus.DELIVERED})
        state.enter(Step.DELIVERED)
        ctx.journal.append(
            EventKind.DELIVERED, shipment=shipment.id, **_detail(state.delivered_detail.get(shipment.id))
        )
    else:
        state.last_error = "the carrier did not confirm delivery in time"
        ctx.journal.append(EventKind.DELIVERY_UNCONFIRMED, shipment=shipment.id)
