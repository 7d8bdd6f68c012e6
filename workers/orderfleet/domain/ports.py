"""What the activities and the readers need from the outside, as Protocols.

Adapters in `store`, `payments` and `carriers` implement them; entry points wire them together.
Errors are those of `contracts.errors`; an adapter lets no other escape for a fault of its part.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from orderfleet.domain.events import AuditEvent, Progress, RecordedEvent, RecordedOrder
from orderfleet.domain.listing import Cursor, OrderFilter, OrderPage
from orderfleet.domain.order import OrderInput
from orderfleet.domain.orphans import ClosedPage, Compensation, Orphan, UnfinishedOrder, UnfinishedPage, WorkflowState
from orderfleet.domain.payment import PaymentIntent, PaymentRecord
from orderfleet.domain.shipment import ShipmentRecord
from orderfleet.domain.status import PaymentStatus, Step
from orderfleet.domain.workflow_ids import IdHolder


class OrderStore(Protocol):
    """The record as the order activities write it; one round trip a call.

    Raises `StoreUnavailable` when Postgres is away or too slow, `StoreRejected` for values that it never accepts.
    """

    async def receive(
        self,
        order: OrderInput,
        *,
        workflow_id: str,
        run_id: str,
        first_run_id: str,
        started_at: datetime,
        progress: Progress,
    ) -> None:
        """Insert the order and apply `progress`, or find that this same workflow already did.

        Raises:
            OrderTaken: the id was recorded by another workflow execution.
            PaymentTaken: the payment id belongs to another order; the order is recorded without it.
        """

    async def record(self, order_id: str, progress: Progress) -> None:
        """Apply `progress` if its number is new; add the events that are missing."""

    async def begin_payment(self, payment: PaymentIntent, progress: Progress | None = None) -> PaymentRecord:
        """Insert the payment as INIT unless it is there, apply `progress` if given, return the row.

        Raises:
            PaymentTaken: the payment id belongs to another order.
        """

    async def finish_payment(
        self,
        payment: PaymentIntent,
        status: PaymentStatus,
        reference: str | None,
        *,
        progress: Progress | None = None,
        events: Sequence[AuditEvent] = (),
    ) -> PaymentStatus:
        """Move the payment on and tell of it, as progress of the order or as events alone.

        A status the payment can't go to from where it is changes nothing: CHARGED never goes
        back, and what is given back stays so. Returns where the payment stands afterwards.
        """


class OrphanStore(Protocol):
    """Orders without an end in the database; one round trip a call.

    Raises `StoreUnavailable` when Postgres is away or too slow.
    """

    async def unfinished(self, order_ids: Sequence[str]) -> list[UnfinishedOrder]:
        """Those of the orders that have no end."""

    async def unfinished_page(self, after: str, limit: int, idle: timedelta) -> UnfinishedPage:
        """Orders without an end after an order id; those that changed within `idle` are left out."""

    async def orphans(self, order_ids: Sequence[str]) -> list[Orphan]:
        """Those of the orders that have no end, with what a compensation needs."""

    async def record_compensation(
        self, order_id: str, *, step: Step, reason: str, events: Sequence[AuditEvent]
    ) -> None:
        """End an unfinished order in its workflow's place; an order that has ended stays as it is."""


class OrderWorkflows(Protocol):
    """Order workflows and compensations in Temporal. Raises a retryable error when Temporal does not answer."""

    async def closed(self, since: datetime, page_token: str | None = None) -> ClosedPage:
        """Order workflows that closed after `since` without completing, one page."""

    async def state(self, order: UnfinishedOrder) -> WorkflowState:
        """Whether the workflow of the order runs, by its id and its first run."""

    async def in_compensation(self) -> frozenset[str]:
        """Ids of the orders whose compensation runs, as visibility has it."""

    async def start_compensation(self, compensation: Compensation, workflow_id: str, task_queue: str) -> bool:
        """Start the compensation of an orphan; False when a workflow of this id runs."""

    async def holder(
        self, workflow_id: str, workflow_type: str, memo: Mapping[str, str], parent_id: str = ""
    ) -> IdHolder:
        """Which workflow has an id: one of the type with that memo and, if one is given, that parent, or another."""


class ShipmentStore(Protocol):
    """The record as the shipping activities write it; one round trip a call."""

    async def record_shipment(self, shipment: ShipmentRecord, events: Sequence[AuditEvent]) -> None:
        """Insert or move on the shipment's row and add the events that are missing.

        A shipment never goes back from an end (dispatched, delivered, canceled, failed) to preparing.
        """


class AttemptLog(Protocol):
    """Where a failed attempt is told, beside Temporal's own history."""

    async def attempt_failed(self, order_id: str, step: str, attempt: int, error: str, event: AuditEvent) -> None:
        """Add the event, set the order's last error, and count the attempt in `retries`."""


class OrderReader(Protocol):
    """The read side. Raises `StoreUnavailable` when Postgres is away or too slow."""

    async def order(self, order_id: str) -> RecordedOrder | None:
        """The order from its rows, or None."""

    async def orders(self, order_ids: Sequence[str]) -> dict[str, RecordedOrder]:
        """Those of the orders that are recorded, by order id; one round trip."""

    async def payment_holder(self, payment_id: str) -> str | None:
        """The id of the order that the payment id belongs to, or None."""

    async def orders_page(self, wanted: OrderFilter, *, after: Cursor | None = None, limit: int = 50) -> OrderPage:
        """A page of the orders that the filter names, newest first, at most `limit` of them.

        A page costs the same at any place and however many orders there are.
        """

    async def events(self, order_id: str, *, after: int = 0, limit: int = 1000) -> list[RecordedEvent]:
        """The audit trail in recorded order, from the event after id `after`."""


class ChangeFeed(Protocol):
    """Changed orders as they are committed: none is skipped, the latest state of each is told.

    The feed reconnects by itself; an order may be told more than once.
    """

    async def started(self) -> None:
        """Wait until the feed has its beginning: what is committed from then on will be told."""

    @property
    def behind(self) -> timedelta | None:
        """How long ago the follower had been told everything; None before the beginning."""

    def follow(self, wanted: Callable[[str], bool] | None = None) -> AsyncIterator[Sequence[RecordedOrder]]:
        """Batches of changed orders from now on; ends only when the iterator is closed.

        Of the others, whose owner isn't `wanted` at the moment of the news, nothing is told.
        """
