"""`/orders/{id}/shipments/{shipment_id}/updates`: carrier status updates.

A repeated, late or out-of-order update must not be an error, because the carrier would send it again without end.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from orderfleet.api.access import GuardedRoute, Role, needs
from orderfleet.api.dependencies import ServicesDependency
from orderfleet.api.problems import error_responses
from orderfleet.api.schemas import Body, ResolvedOrderId, example
from orderfleet.domain.base import MAX_TEXT_LENGTH
from orderfleet.domain.shipment import CarrierUpdate, ParcelState
from orderfleet.domain.status import ShipmentStatus
from orderfleet.services.errors import UpdateResult

router = APIRouter(
    route_class=GuardedRoute,
    prefix="/orders/{order_id}/shipments",
    tags=["carrier"],
    dependencies=[needs(Role.CARRIER)],
)


_NEVER_DISPATCHED: Final = "shipment 'shipping-ord-1-1' is canceled: its package was never dispatched"
_STATUS: Final = {
    ParcelState.BOOKED: ShipmentStatus.DISPATCHED,
    ParcelState.IN_TRANSIT: ShipmentStatus.DISPATCHED,
    ParcelState.DELIVERED: ShipmentStatus.DELIVERED,
}


class CarrierUpdateBody(Body):
    """A carrier status update."""

    status: ParcelState = Field(examples=["delivered"])
    detail: str = Field(default="", max_length=MAX_TEXT_LENGTH, examples=["left with a neighbour"])


class CarrierUpdateRecorded(BaseModel):
    """The result of a carrier status update."""

    order_id: str = Field(examples=["ord-1"])
    shipment_id: str = Field(examples=["shipping-ord-1-1"])
    result: UpdateResult = Field(
        description="`ignored`: the order has this status already or does not wait for it any more."
    )


ShipmentId = Annotated[
    str,
    Path(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$",
        description="The shipment's id, from the status of the order.",
        examples=["shipping-ord-1-1"],
    ),
]


@router.post(
    "/{shipment_id}/updates",
    summary="Send a carrier status update",
    responses={
        **example({"order_id": "ord-1", "shipment_id": "shipping-ord-1-1", "result": "accepted"}),
        **error_responses(400, 401, 403, 404, 408, 409, 413, 422, 503, rejection=_NEVER_DISPATCHED),
    },
)
async def update(
    order_id: ResolvedOrderId, shipment_id: ShipmentId, body: CarrierUpdateBody, services: ServicesDependency
) -> CarrierUpdateRecorded:
    """Apply the update; repeated and out-of-order updates are ignored. 409: the package was never dispatched.

    `delivered` completes an order that waits for it (`delivery.confirm`). Until then `booked` and each new
    `in_transit` are recorded as events of the order, with their `detail`.
    """
    carrier_update = CarrierUpdate(
        shipment_id=shipment_id, status=_STATUS[body.status], parcel=body.status, detail=body.detail
    )
    result = await services.orders.apply_carrier_update(order_id, carrier_update)
    return CarrierUpdateRecorded(order_id=order_id, shipment_id=shipment_id, result=result)
