"""The carrier's word on its way to the order's workflow. The API calls it.

Carriers tell twice, late and out of order; only what makes no sense at all is refused.
"""

from __future__ import annotations

from datetime import timedelta

from orderfleet.domain.shipment import CarrierUpdate
from orderfleet.domain.status import OrderStatus, ShipmentStatus, ShipmentView
from orderfleet.services.deadline import RPC_TIMEOUT
from orderfleet.services.errors import OrderNotFound, OrderRefused, ShipmentNotFound, UpdateResult, in_time
from orderfleet.services.orders import OrderService
from orderfleet.services.workflow_client import OrderClient


class CarrierUpdateService:
    """Where the carrier is heard.

    Args:
        client: to Temporal.
        desk: knows where orders stand.
        patience: longest wait in one call.
    """

    def __init__(self, client: OrderClient, desk: OrderService, *, patience: timedelta = RPC_TIMEOUT) -> None:
        self._client = client
        self._desk = desk
        self._patience = patience.total_seconds()

    async def hear(self, order_id: str, update: CarrierUpdate) -> UpdateResult:
        """Pass on the carrier's word; said twice, or too late to matter, it is ignored.

        Raises:
            OrderNotFound: there is no such order.
            ShipmentNotFound: the order has no such shipment.
            OrderRefused: the shipment never went out.
            TemporalUnavailable: Temporal did not answer.
            StoreUnavailable: neither it nor the record can be asked.
        """
        async with in_time(order_id, self._patience):
            return await self._pass_on(order_id, update)

    async def _pass_on(self, order_id: str, update: CarrierUpdate) -> UpdateResult:
        status: OrderStatus = await self._desk.recorded(order_id)
        shipment = _shipment(status, update.shipment_id)
        if shipment is None and not status.ended:
            # A shipment that just began may not be recorded yet.
            status = await self._desk.live(order_id)
            shipment = _shipment(status, update.shipment_id)
        if shipment is None:
            raise ShipmentNotFound(f"order {order_id!r} has no shipment {update.shipment_id!r}")
        if shipment.status in {ShipmentStatus.CANCELED, ShipmentStatus.FAILED}:
            raise OrderRefused(f"shipment {shipment.id!r} is {shipment.status}: its package never went out")
        if shipment.status is ShipmentStatus.DELIVERED or status.ended:
            return UpdateResult.IGNORED
        try:
            await self._client.carrier_update(order_id, update)
        except OrderNotFound:
            # It ended between the look and the word.
            return UpdateResult.IGNORED
        return UpdateResult.ACCEPTED


def _shipment(status: OrderStatus, shipment_id: str) -> ShipmentView | None:
    return next((shipment for shipment in status.shipments if shipment.id == shipment_id), None)
