"""Orders read from and changed through Temporal and the order store together: each replaces the other when it is down.

The workflow has the newest status; the order store keeps it after Temporal's retention has ended, and decides whether
an order id was used.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any, NamedTuple, Self

from orderfleet.domain import names
from orderfleet.domain.base import ORDER_ID
from orderfleet.domain.errors import PaymentConflict, ReferenceConflict, StoreUnavailable
from orderfleet.domain.events import RecordedEvent, RecordedOrder
from orderfleet.domain.order import OrderInput
from orderfleet.domain.ports import OrderReader
from orderfleet.domain.shipment import CarrierUpdate
from orderfleet.domain.status import Cursor, OrderFilter, OrderPage, OrderStatus, ShipmentStatus, ShipmentView
from orderfleet.services.deadline import RPC_TIMEOUT, Deadline, deadline_scope, hedged, remaining
from orderfleet.services.errors import (
    ChangeResult,
    OrderChangeRejected,
    OrderEnded,
    OrderIdConflict,
    OrderNotFound,
    ShipmentNotFound,
    Source,
    SourcedStatus,
    Started,
    StartOutcome,
    TemporalUnavailable,
    UpdateResult,
)
from orderfleet.services.workflow_client import Change, OrderClient, conflict


class VersionedStatus(NamedTuple):
    """The status of an order and its version."""

    version: int
    """The order store's version; 0 for a status of the workflow's."""
    status: SourcedStatus

    @classmethod
    def recorded(cls, record: RecordedOrder) -> Self:
        """The status in the order store."""
        return cls(record.version, _sourced(record.status, Source.DATABASE))


class OrderService:
    """Starts, reads and changes orders for clients outside Kubernetes.

    Args:
        client: to Temporal.
        reader: of the order store.
        unique_reference: whether an order may not have the reference of another one. The order worker checks it again.
        timeout: longest duration of one call, over Temporal and Postgres together; an open deadline scope may
            shorten it.
    """

    def __init__(
        self,
        client: OrderClient,
        reader: OrderReader,
        *,
        unique_reference: bool = False,
        timeout: timedelta = RPC_TIMEOUT,
    ) -> None:
        self._client = client
        self._reader = reader
        self._unique_reference = unique_reference
        self._timeout = timeout.total_seconds()

    async def order_id_of(self, name: str) -> str:
        """The order id for a name that is an order id or the id of an order's workflow.

        A name is an order id if there is such an order. Otherwise `order-X` means the order X. Only names that begin
        with `order-` cost a look-up.

        Args:
            name: what the caller wrote.

        Raises:
            TemporalUnavailable: Temporal did not answer whether there is an order with exactly this id.
            StoreUnavailable: the order store did not answer, and Temporal has no such order, or no longer.
        """
        if not names.may_be_workflow_id(name):
            return name
        order_id = names.order_id_of(name)
        if re.fullmatch(ORDER_ID, order_id) is None or await self._exists(name):
            return name
        return order_id

    async def _exists(self, order_id: str) -> bool:
        unavailable: StoreUnavailable | None = None
        try:
            if await self._record(order_id) is not None:
                return True
        except StoreUnavailable as error:
            unavailable = error
        try:
            await self._client.pending(order_id)
        except OrderNotFound:
            if unavailable is not None:
                raise unavailable from None
            return False
        return True

    async def start(self, order: OrderInput) -> Started:
        """Start the order, or adopt the one that the same request started before.

        Raises:
            OrderIdConflict: the order id belongs to another owner, or was used with other content.
            PaymentConflict: the payment id belongs to another order.
            ReferenceConflict: references are unique, and this one belongs to another order.
            TemporalUnavailable: Temporal did not answer.
        """
        reference = order.reference if self._unique_reference else ""
        with deadline_scope(Deadline(remaining(self._timeout))):
            # Without Postgres, Temporal alone decides; the workflow checks the order id again.
            with suppress(StoreUnavailable):
                async with self._store_timeout(0.5):
                    record, holder = await asyncio.gather(
                        self._reader.order(order.order_id), self._reader.payment_holder(order.payment_id)
                    )
                    first = await self._reader.reference_holder(reference) if reference else None
                if record is not None:
                    return _started_before(order, record)
                if holder is not None and holder != order.order_id:
                    raise PaymentConflict(
                        f"payment id {order.payment_id!r} belongs to another order; choose another payment id"
                    )
                if first is not None:
                    raise ReferenceConflict(f"reference {reference!r} belongs to order {first!r}; choose another one")
            return await self._client.start(order)

    async def live(self, order_id: str) -> SourcedStatus:
        """The workflow's status, or the order store's when the workflow can't be queried.

        The payment of an order that has ended is the order store's, which records later refunds.

        Raises:
            OrderNotFound: Temporal and the order store have no such order.
            TemporalUnavailable: the workflow can't be queried and the order isn't stored yet.
            StoreUnavailable: neither answered.
        """
        live, record = await hedged(
            self._client.status(order_id),
            lambda: self._reader.order(order_id),
            accept=_is_running,
            seconds=remaining(self._timeout),
        )
        if isinstance(live, OrderStatus):
            if live.ended and isinstance(record, RecordedOrder):
                return _sourced(live.model_copy(update={"payment": record.status.payment}), Source.WORKFLOW)
            return _sourced(live, Source.WORKFLOW)
        if isinstance(record, RecordedOrder):
            return _sourced(record.status, Source.DATABASE)
        if isinstance(record, Exception):
            raise _as_store(record)
        if isinstance(live, OrderNotFound):
            raise _unknown(order_id) from live
        raise _as_temporal(live)

    async def recorded(self, order_id: str) -> SourcedStatus:
        """The order store's status, or the workflow's when the order isn't stored yet or Postgres is unavailable.

        Raises as `live`.
        """
        return (await self.versioned(order_id)).status

    async def versioned(self, order_id: str) -> VersionedStatus:
        """The status as of `recorded`, with its version in the change feed. Raises as `live`."""
        record, live = await hedged(
            self._reader.order(order_id),
            lambda: self._client.status(order_id),
            accept=lambda found: found is not None,
            seconds=remaining(self._timeout),
        )
        if isinstance(record, RecordedOrder):
            return VersionedStatus.recorded(record)
        if isinstance(live, OrderStatus):
            return VersionedStatus(0, _sourced(live, Source.WORKFLOW))
        if isinstance(live, OrderNotFound):
            raise _as_store(record) if isinstance(record, Exception) else _unknown(order_id) from live
        raise _as_temporal(live)

    async def events(self, order_id: str, *, after: int = 0, limit: int = 1000) -> list[RecordedEvent]:
        """The audit trail of an order; empty for one that isn't stored yet.

        Args:
            order_id: of the order.
            after: id of the last event to leave out.
            limit: the most events to return.

        Raises as `live`.
        """
        async with self._store_timeout():
            found = await self._reader.events(order_id, after=after, limit=limit)
        if not found:
            # An unknown order is an error, not an empty trail.
            await self.recorded(order_id)
        return found

    async def page(self, wanted: OrderFilter, *, after: Cursor | None = None, limit: int = 50) -> OrderPage:
        """A page of the stored orders, newest first.

        Args:
            wanted: which orders.
            after: where the page before ended; None for the first page.
            limit: the most orders to return.

        Raises:
            StoreUnavailable: Postgres did not answer.
        """
        async with self._store_timeout():
            return await self._reader.orders_page(wanted, after=after, limit=limit)

    async def change(self, order_id: str, change: Change, *, request_id: str = "") -> ChangeResult:
        """Change the order.

        Args:
            order_id: of the order.
            change: what to change.
            request_id: makes a repeated change take effect once; empty for a change that is never repeated.

        Raises:
            OrderNotFound: there is no such order.
            OrderEnded: the order has ended.
            OrderChangeRejected: the workflow rejected the change; the message says why.
            TemporalUnavailable: Temporal did not answer.
        """
        return await self._send(order_id, self._client.change(order_id, change, request_id=request_id))

    async def signal(self, order_id: str, name: str, args: Sequence[Any]) -> ChangeResult:
        """Send a signal by its name; the audit trail shows whether the workflow accepts it.

        Args:
            order_id: of the order.
            name: of the workflow's signal handler.
            args: of the signal.

        Raises as `change`, except OrderChangeRejected.
        """
        return await self._send(order_id, self._client.signal(order_id, name, args))

    async def apply_carrier_update(self, order_id: str, update: CarrierUpdate) -> UpdateResult:
        """Send a carrier's status update to the order's workflow, unless it changes nothing any more.

        Carriers send updates twice, late and out of order; only one that contradicts the shipment is rejected.

        Raises:
            OrderNotFound: there is no such order.
            ShipmentNotFound: the order has no such shipment.
            OrderChangeRejected: the shipment failed or was canceled before its dispatch.
            TemporalUnavailable: Temporal did not answer.
            StoreUnavailable: neither Temporal nor Postgres answered.
        """
        with deadline_scope(Deadline(remaining(self._timeout))):
            status = await self.recorded(order_id)
            shipment = _shipment(status, update.shipment_id)
            if shipment is None and not status.ended:
                # A shipment that was just started may not be in the order store yet.
                status = await self.live(order_id)
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

    async def _send(self, order_id: str, call: Awaitable[ChangeResult]) -> ChangeResult:
        """The call's result; without a running workflow, the order store says whether the order has ended."""
        try:
            return await call
        except OrderNotFound as error:
            record = await self._record(order_id)
            if record is None:
                raise _unknown(order_id) from error
            raise _ended(record.status) from error

    async def _record(self, order_id: str) -> RecordedOrder | None:
        """The stored order; it takes at most half of the time, so that half is left for Temporal."""
        async with self._store_timeout(0.5):
            return await self._reader.order(order_id)

    @asynccontextmanager
    async def _store_timeout(self, part: float = 1) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(remaining(self._timeout) * part):
                yield
        except TimeoutError as error:
            raise _as_store(error) from error


def _as_store(error: Exception) -> Exception:
    return StoreUnavailable("Postgres did not answer in time") if isinstance(error, TimeoutError) else error


def _as_temporal(error: object) -> Exception:
    """The error to raise when the order store could not answer either."""
    if isinstance(error, Exception) and not isinstance(error, TimeoutError):
        return error
    return TemporalUnavailable("Temporal did not answer in time")


def _started_before(order: OrderInput, record: RecordedOrder) -> Started:
    problem = conflict(order, owner=record.owner, owner_uid=record.owner_uid, content=record.content_hash)
    if problem is not None:
        raise OrderIdConflict(problem)
    return Started(**dict(record.status), outcome=StartOutcome.ADOPTED)


def _is_running(found: OrderStatus | Exception) -> bool:
    return isinstance(found, OrderStatus) and not found.ended


def _sourced(status: OrderStatus, source: Source) -> SourcedStatus:
    return SourcedStatus(**status.model_dump(), source=source)


def _ended(status: OrderStatus) -> OrderEnded:
    reason = status.cancel_reason or status.dispatch_failed_reason or status.last_error
    outcome = f"{status.step} ({reason})" if reason else f"{status.step}"
    return OrderEnded(f"order {status.order_id!r} has ended: {outcome}")


def _shipment(status: OrderStatus, shipment_id: str) -> ShipmentView | None:
    return next((shipment for shipment in status.shipments if shipment.id == shipment_id), None)


def _unknown(order_id: str) -> OrderNotFound:
    return OrderNotFound(f"there is no order {order_id!r}")
