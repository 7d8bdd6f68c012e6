"""Orders by workflow and record together: each stands in for the other when it can't be asked.

The API and the command line call it. The workflow knows first; the record stays when Temporal has
forgotten, and decides whether an order id was used.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from pydantic import Field

from orderfleet.domain import names
from orderfleet.domain.base import ORDER_ID
from orderfleet.domain.errors import PaymentConflict, StoreUnavailable
from orderfleet.domain.events import RecordedEvent, RecordedOrder
from orderfleet.domain.listing import Cursor, OrderFilter, OrderPage
from orderfleet.domain.order import Address, OrderInput
from orderfleet.domain.ports import OrderReader
from orderfleet.domain.status import OrderStatus
from orderfleet.services.deadline import RPC_TIMEOUT, remaining
from orderfleet.services.errors import (
    ChangeResult,
    OrderEnded,
    OrderIdConflict,
    OrderNotFound,
    Started,
    StartOutcome,
    TemporalUnavailable,
    in_time,
)
from orderfleet.services.hedge import hedged
from orderfleet.services.workflow_client import OrderClient, conflict


class Source(StrEnum):
    """Who gave a status."""

    WORKFLOW = "workflow"
    RECORD = "record"


class SourcedStatus(OrderStatus):
    """Where an order stands, and who says so."""

    source: Source = Field(
        description="Who says so: `record` when the workflow can't be asked, and the other way round."
    )


class VersionedStatus(NamedTuple):
    """An order as it was seen, and how new that is."""

    version: int
    """The record's version of it; 0 when it isn't the record's word."""
    status: SourcedStatus


class OrderService:
    """What callers outside Kubernetes do with orders.

    Args:
        client: to Temporal.
        reader: of the record.
        patience: longest wait for both together in one call, so that a caller hears in time that one is away; a
            budget that is open may allow less.
    """

    def __init__(self, client: OrderClient, reader: OrderReader, *, patience: timedelta = RPC_TIMEOUT) -> None:
        self._client = client
        self._reader = reader
        self._patience = patience.total_seconds()

    async def order_id_of(self, name: str) -> str:
        """The id of the order that `name` means: an order id, or the id of an order's workflow.

        A name is an order id if there is such an order, so that one whose own id begins with `order-` is reached by
        it. Otherwise `order-` and an id means the order of that id. Only names that begin so cost a look-up.

        Raises:
            TemporalUnavailable: Temporal did not answer whether there is an order of that very id.
            StoreUnavailable: the order store did not, and Temporal has no such order, or no longer.
        """
        if not names.may_be_workflow_id(name):
            return name
        order_id = names.order_id_of(name)
        if re.fullmatch(ORDER_ID, order_id) is None or await self._exists(name):
            return name
        return order_id

    async def _exists(self, order_id: str) -> bool:
        away: StoreUnavailable | None = None
        try:
            if await self._record(order_id) is not None:
                return True
        except StoreUnavailable as error:
            away = error
        try:
            async with in_time(order_id, self._patience):
                await self._client.pending(order_id)
        except OrderNotFound:
            if away is not None:
                raise away from None
            return False
        return True

    async def start(self, order: OrderInput) -> Started:
        """Start the order, or find that the same request did.

        Raises:
            OrderConflict: the order id is taken.
            PaymentTaken: the payment id belongs to another order.
            TemporalUnavailable: Temporal did not answer.
        """
        async with in_time(order.order_id, self._patience):
            with suppress(StoreUnavailable):
                # While the record is away Temporal decides, and the workflow looks again.
                async with self._record_in_time(0.5):
                    record, holder = await asyncio.gather(
                        self._reader.order(order.order_id), self._reader.payment_holder(order.payment_id)
                    )
                if record is not None:
                    return _started_before(order, record)
                if holder is not None and holder != order.order_id:
                    raise PaymentConflict(
                        f"payment id {order.payment_id!r} belongs to another order; choose another payment id"
                    )
            return await self._client.start(order)

    async def live(self, order_id: str) -> SourcedStatus:
        """The workflow's own word, or the record's when it can't be asked.

        Raises:
            OrderNotFound: neither knows the order.
            TemporalUnavailable: the workflow can't be asked and the record doesn't have the order (yet).
            StoreUnavailable: neither can be asked.
        """
        live, record = await hedged(
            self._client.status(order_id),
            lambda: self._reader.order(order_id),
            good=lambda _: True,
            patience=remaining(self._patience),
        )
        if isinstance(live, OrderStatus):
            return _sourced(live, Source.WORKFLOW)
        if isinstance(record, RecordedOrder):
            return _sourced(record.status, Source.RECORD)
        if isinstance(record, Exception):
            raise _as_store(record)
        if isinstance(live, OrderNotFound):
            raise _unknown(order_id) from live
        raise _as_temporal(live)

    async def recorded(self, order_id: str) -> SourcedStatus:
        """The record's word, or the workflow's own when it isn't recorded (yet) or the record is away.

        Raises as `live`.
        """
        return (await self.seen(order_id)).status

    async def seen(self, order_id: str) -> VersionedStatus:
        """As `recorded`, with the version that the change feed tells too."""
        record, live = await hedged(
            self._reader.order(order_id),
            lambda: self._client.status(order_id),
            good=lambda found: found is not None,
            patience=remaining(self._patience),
        )
        if isinstance(record, RecordedOrder):
            return VersionedStatus(record.version, _sourced(record.status, Source.RECORD))
        if isinstance(live, OrderStatus):
            return VersionedStatus(0, _sourced(live, Source.WORKFLOW))
        if isinstance(live, OrderNotFound):
            raise _as_store(record) if isinstance(record, Exception) else _unknown(order_id) from live
        raise _as_temporal(live)

    async def events(self, order_id: str, *, after: int = 0, limit: int = 1000) -> list[RecordedEvent]:
        """The audit trail from the event after id `after`; empty for an order that isn't recorded yet.

        Raises as `live`.
        """
        async with self._record_in_time():
            found = await self._reader.events(order_id, after=after, limit=limit)
        if not found:
            # An unknown order is an error, not an empty trail.
            await self.recorded(order_id)
        return found

    async def page(self, wanted: OrderFilter, *, after: Cursor | None = None, limit: int = 50) -> OrderPage:
        """A page of the recorded orders, newest first.

        Raises:
            StoreUnavailable: the record is away.
        """
        async with self._record_in_time():
            return await self._reader.orders_page(wanted, after=after, limit=limit)

    async def signal(self, order_id: str, name: str, args: Sequence[Any]) -> ChangeResult:
        """Send a workflow's signal by its name; what becomes of it stands in the audit trail.

        Raises as `approve`, but for a refusal.
        """
        return await self._asked(order_id, self._client.signal(order_id, name, args))

    async def approve(self, order_id: str, *, request_id: str = "") -> ChangeResult:
        """Approve the order.

        Raises:
            OrderNotFound: there is no such order.
            OrderEnded: the order is over.
            OrderRefused: the workflow refused; the message says why.
            TemporalUnavailable: Temporal did not answer.
        """
        return await self._asked(order_id, self._client.approve(order_id, request_id=request_id))

    async def cancel(self, order_id: str, reason: str, *, request_id: str = "") -> ChangeResult:
        """Cancel the order. Raises as `approve`."""
        return await self._asked(order_id, self._client.cancel(order_id, reason, request_id=request_id))

    async def cancel_payment(self, order_id: str, reason: str, *, request_id: str = "") -> ChangeResult:
        """Cancel the payment and so the order: not charged, or refunded. Raises as `approve`."""
        return await self._asked(order_id, self._client.cancel_payment(order_id, reason, request_id=request_id))

    async def update_address(self, order_id: str, address: Address, *, request_id: str = "") -> ChangeResult:
        """Send the package elsewhere. Raises as `approve`."""
        return await self._asked(order_id, self._client.update_address(order_id, address, request_id=request_id))

    async def _asked(self, order_id: str, change: Awaitable[ChangeResult]) -> ChangeResult:
        """Tell an order that ended from one that never was, when no workflow of it runs."""
        try:
            return await change
        except OrderNotFound as error:
            record = await self._record(order_id)
            if record is None:
                raise _unknown(order_id) from error
            raise _ended(record.status) from error

    async def _record(self, order_id: str) -> RecordedOrder | None:
        """The order's record, in half the time, so that the other half is left for Temporal."""
        async with self._record_in_time(0.5):
            return await self._reader.order(order_id)

    @asynccontextmanager
    async def _record_in_time(self, part: float = 1) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(remaining(self._patience) * part):
                yield
        except TimeoutError as error:
            raise _as_store(error) from error


def _as_store(error: Exception) -> Exception:
    return StoreUnavailable("Postgres did not answer in time") if isinstance(error, TimeoutError) else error


def _as_temporal(error: object) -> Exception:
    """What is left to raise when nobody else could answer either."""
    if isinstance(error, Exception) and not isinstance(error, TimeoutError):
        return error
    return TemporalUnavailable("Temporal did not answer in time")


def _started_before(order: OrderInput, record: RecordedOrder) -> Started:
    problem = conflict(order, owner=record.owner, owner_uid=record.owner_uid, content=record.content_hash)
    if problem is not None:
        raise OrderIdConflict(problem)
    return Started(
        order_id=order.order_id,
        workflow_id=record.status.workflow_id,
        run_id=record.status.run_id,
        outcome=StartOutcome.ADOPTED,
    )


def _sourced(status: OrderStatus, source: Source) -> SourcedStatus:
    return SourcedStatus(**status.model_dump(), source=source)


def _ended(status: OrderStatus) -> OrderEnded:
    reason = status.cancel_reason or status.dispatch_failed_reason or status.last_error
    told = f"{status.step} ({reason})" if reason else f"{status.step}"
    return OrderEnded(f"order {status.order_id!r} has ended: {told}")


def _unknown(order_id: str) -> OrderNotFound:
    return OrderNotFound(f"there is no order {order_id!r}")
