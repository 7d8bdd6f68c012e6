"""Passes a carrier's status updates to the order's workflow.

Carriers send updates twice, late and out of order; only an update that contradicts the shipment is rejected.
"""

from __future__ import annotations

from datetime import timedelta

from orderfleet.domain import names
from orderfleet.domain.shipment import CarrierUpdate
from orderfleet.domain.status import OrderStatus, ShipmentStatus, ShipmentView
from orderfleet.services.deadline import RPC_TIMEOUT, Deadline, deadline_scope, remaining
from orderfleet.services.errors import OrderChangeRejected, OrderNotFound, ShipmentNotFound, UpdateResult
from orderfleet.services.orders import OrderService
from orderfleet.services.workflow_client import OrderClient


class CarrierUpdateService:
    """Applies carrier updates.

    Args:
        client: sends the update to the workflow.
        orders: finds the order and its shipment.
        timeout: longest duration of one update, over all calls; an open deadline scope may shorten it.
    """

    def __init__(self, client: OrderClient, orders: OrderService, *, timeout: timedelta = RPC_TIMEOUT) -> None:
        self._client = client
        self._orders = orders
        self._timeout = timeout.total_seconds()

    async def apply_update(self, order_id: str, update: CarrierUpdate) -> UpdateResult:
        """Send the update to the order's workflow, unless it changes nothing any more.

        Raises:
            OrderNotFound: there is no such order.
            ShipmentNotFound: the order has no such shipment.
            OrderChangeRejected: the shipment failed or was canceled before its dispatch.
            TemporalUnavailable: Temporal did not answer.
            StoreUnavailable: neither Temporal nor Postgres answered.
        """
        with deadline_scope(Deadline(remaining(self._timeout))):
            status: OrderStatus = await self._orders.recorded(order_id)
            shipment = _shipment(status, update.shipment_id)
            if shipment is None and not status.ended:
                # A shipment that was just started may not be in the order store yet.
                status = await self._orders.live(order_id)
                shipment = _shipment(status, update.shipment_id)
            if shipment is None:
                raise ShipmentNotFound(f"order {order_id!r} has no shipment {update.shipment_id!r}")
            if shipment.status in {ShipmentStatus.CANCELED, ShipmentStatus.FAILED}:
                raise OrderChangeRejected(
                    f"shipment {shipment.id!r} is {shipment.status}: its package was never dispatched"
                )
            if shipment.status is ShipmentStatus.DELIVERED or status.ended:
                return UpdateResult.IGNORED
            try:
                await self._client.signal(order_id, names.CARRIER_UPDATE, [update])
            except OrderNotFound:
                # The order ended after its status was read.
                return UpdateResult.IGNORED
            return UpdateResult.ACCEPTED


def _shipment(status: OrderStatus, shipment_id: str) -> ShipmentView | None:
    return next((shipment for shipment in status.shipments if shipment.id == shipment_id), None)
