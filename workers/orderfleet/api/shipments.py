"""`/orders/{id}/shipments/{shipment_id}/updates`: the carrier tells where a parcel is.

Carriers tell twice, late and out of order; none of that is an error, because they would tell for ever.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from orderfleet.api.access import Role, needs
from orderfleet.api.dependencies import Given
from orderfleet.api.guarded_route import GuardedRoute
from orderfleet.api.problems import documented
from orderfleet.api.schemas import Body, IdOfOrder, example
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


_NEVER_WENT: Final = "shipment 'shipping-ord-1-1' is canceled: its package was never dispatched"
_STATUS: Final = {
    ParcelState.BOOKED: ShipmentStatus.DISPATCHED,
    ParcelState.IN_TRANSIT: ShipmentStatus.DISPATCHED,
    ParcelState.DELIVERED: ShipmentStatus.DELIVERED,
}


class CarrierUpdateBody(Body):
    """The carrier's word."""

    status: ParcelState = Field(examples=["delivered"])
    detail: str = Field(default="", max_length=MAX_TEXT_LENGTH, examples=["left with a neighbour"])


class CarrierUpdateRecorded(BaseModel):
    """What became of the carrier's word."""

    order_id: str = Field(examples=["ord-1"])
    shipment_id: str = Field(examples=["shipping-ord-1-1"])
    result: UpdateResult = Field(description="`ignored`: it was known before, or nothing waits for it any more.")


IdOfShipment = Annotated[
    str,
    Path(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$",
        description="The shipment's id, as the order's status has it.",
        examples=["shipping-ord-1-1"],
    ),
]


@router.post(
    "/{shipment_id}/updates",
    summary="The carrier's word on a shipment",
    responses={
        **example({"order_id": "ord-1", "shipment_id": "shipping-ord-1-1", "result": "accepted"}, description="Heard."),
        **documented(400, 401, 403, 404, 408, 409, 413, 422, 503, refusal=_NEVER_WENT),
    },
)
async def update(
    order_id: IdOfOrder, shipment_id: IdOfShipment, word: CarrierUpdateBody, services: Given
) -> CarrierUpdateRecorded:
    """Take it; said twice or out of order, it does no harm. 409: the shipment's package never went out.

    `delivered` ends an order that waits for it (`delivery.confirm`). Until then `booked` and each new `in_transit`
    stand in the order's events, with their `detail`.
    """
    told = CarrierUpdate(shipment_id=shipment_id, status=_STATUS[word.status], parcel=word.status, detail=word.detail)
    return CarrierUpdateRecorded(
        order_id=order_id, shipment_id=shipment_id, result=await services.carrier.apply_update(order_id, told)
    )
