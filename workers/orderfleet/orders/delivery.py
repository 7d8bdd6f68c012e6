"""The carrier's word, and waiting for its confirmation where an order wants one. Called by the order workflow.

Carriers tell twice and out of order: what is behind what is known already must change nothing.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from orderfleet.contracts import names
    from orderfleet.contracts.record import EventKind
    from orderfleet.contracts.shipping import CarrierUpdate, ParcelState
    from orderfleet.contracts.status import ShipmentStatus, Step
    from orderfleet.contracts.words import cut

from orderfleet.orders.context import OrderContext

MOST_HEARD: Final = 100
"""Words of the carrier that an order keeps: one that tells without end must not fill its history."""

_KINDS: Final = {
    ParcelState.BOOKED: EventKind.PARCEL_BOOKED,
    ParcelState.IN_TRANSIT: EventKind.PARCEL_IN_TRANSIT,
}


def told(ctx: OrderContext, update: CarrierUpdate) -> None:
    """The carrier told of a shipment: that it is delivered counts once, anything before it is noted once.

    Of a shipment that the order can't have, nothing is kept.
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
            state.delivered_detail[update.shipment_id] = cut(update.detail)
    elif update.parcel in _KINDS and any(shipment.id == update.shipment_id for shipment in state.shipments):
        _note(ctx, update, update.parcel)


def _note(ctx: OrderContext, update: CarrierUpdate, parcel: ParcelState) -> None:
    heard = ctx.state.heard
    if parcel is ParcelState.BOOKED and any(
        word.startswith(f"{update.shipment_id} {ParcelState.IN_TRANSIT} ") for word in heard
    ):
        return
    word = f"{update.shipment_id} {parcel} {sha256(update.detail.encode()).hexdigest()[:8]}"
    if word not in heard and len(heard) < MOST_HEARD:
        heard.append(word)
        ctx.journal.note(_KINDS[parcel], shipment=update.shipment_id, **_with(update.detail))


def _with(detail: str | None) -> dict[str, str]:
    return {"detail": cut(detail)} if detail else {}


async def confirm(ctx: OrderContext) -> None:
    """Wait until the dispatched shipment is delivered; unconfirmed in time, the order stays shipped."""
    state = ctx.state
    shipment = state.shipments[-1]
    if state.delivery_deadline is None:
        state.delivery_deadline = workflow.now() + ctx.order.delivery.timeout
    if await ctx.wait_until(lambda: shipment.id in state.delivered, state.delivery_deadline):
        state.shipments[-1] = shipment.model_copy(update={"status": ShipmentStatus.DELIVERED})
        state.enter(Step.DELIVERED)
        ctx.journal.note(EventKind.DELIVERED, shipment=shipment.id, **_with(state.delivered_detail.get(shipment.id)))
    else:
        state.last_error = "the carrier did not confirm delivery in time"
        ctx.journal.note(EventKind.DELIVERY_UNCONFIRMED, shipment=shipment.id)
