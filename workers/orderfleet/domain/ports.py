"""Protocols of what activities and readers need: the order store, Temporal, the change feed.

An implementation must raise the errors of `domain.errors` only.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from orderfleet.domain.activities import IdHolder
from orderfleet.domain.events import AuditEvent, Progress, RecordedEvent, RecordedOrder
from orderfleet.domain.ledger import PaymentRecord
from orderfleet.domain.order import OrderInput
from orderfleet.domain.orphans import ClosedPage, Compensation, Orphan, UnfinishedOrder, UnfinishedPage, WorkflowState
from orderfleet.domain.payment_ports import PaymentStore
from orderfleet.domain.shipment import ShipmentRecord
from orderfleet.domain.status import Cursor, OrderFilter, OrderPage, Step


class OrderStore(PaymentStore, Protocol):
    """The order store as the order activities write it; one round trip per call.

    Raises `StoreUnavailable` if Postgres is unavailable or too slow, `StoreRejected` for values that it rejects.
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
        unique_reference: bool = False,
    ) -> None:
        """Insert the order and apply `progress`, unless the same workflow already did.

        Raises:
            OrderConflict: another workflow execution recorded the order id.
            PaymentConflict: the payment id belongs to another order; the order is recorded without it.
            ReferenceConflict: references are unique and this one belongs to another order; the order is recorded.
        """

    async def record(self, order_id: str, progress: Progress) -> None:
        """Apply `progress` if its number is above the last one; add missing events in any case."""


class OrphanStore(Protocol):
    """Orders without an end in the database; one round trip per call.

    Raises `StoreUnavailable` if Postgres is unavailable or too slow.
    """

    async def unfinished(self, order_ids: Sequence[str]) -> list[UnfinishedOrder]:
        """Those of the orders that have no end."""

    async def unfinished_page(self, after: str, limit: int, idle: timedelta) -> UnfinishedPage:
        """One page of the orders without an end.

        Args:
            after: order id that the page begins after.
            limit: orders of the page.
            idle: orders that changed within this time are left out.
        """

    async def orphans(self, order_ids: Sequence[str]) -> list[Orphan]:
        """Those of the orders that have no end, with the input of a compensation."""

    async def record_compensation(
        self, order_id: str, *, step: Step, reason: str, events: Sequence[AuditEvent]
    ) -> None:
        """End an unfinished order in place of its workflow; an order that has ended does not change.

        Args:
            order_id: the order.
            step: its last step.
            reason: its last error.
            events: events to add.
        """


class OrderWorkflows(Protocol):
    """Order workflows and compensations in Temporal. Raises a retryable error if Temporal does not answer."""

    async def closed(self, since: datetime, page_token: str | None = None) -> ClosedPage:
        """One page of the order workflows that closed after `since` without completing."""

    async def state(self, order: UnfinishedOrder) -> WorkflowState:
        """State of the order's workflow, which its id and first run identify."""

    async def in_compensation(self) -> frozenset[str]:
        """Ids of the orders whose compensation runs, from visibility, which may lag."""

    async def start_compensation(self, compensation: Compensation, workflow_id: str, task_queue: str) -> bool:
        """Start the compensation of an orphan.

        Args:
            compensation: input of the workflow.
            workflow_id: its id.
            task_queue: its task queue.

        Returns:
            False if a workflow with this id exists.
        """

    async def show_payment(self, payment: PaymentRecord) -> None:
        """Send a payment that changed to the workflow of its order, if that runs."""

    async def holder(
        self, workflow_id: str, workflow_type: str, memo: Mapping[str, str], parent_id: str = ""
    ) -> IdHolder:
        """Which workflow has an id.

        Args:
            workflow_id: the id.
            workflow_type: expected type.
            memo: expected fields of the memo.
            parent_id: expected workflow id of the parent; empty to accept any.
        """


class ShipmentStore(Protocol):
    """The order store as the shipping activities write it; one round trip per call."""

    async def record_shipment(self, shipment: ShipmentRecord, events: Sequence[AuditEvent]) -> None:
        """Insert or update the shipment's row as the transition table allows, and add missing events."""


class AttemptLog(Protocol):
    """Records failed attempts, which Temporal's history does not contain."""

    async def attempt_failed(self, order_id: str, step: str, attempt: int, error: str, event: AuditEvent) -> None:
        """Add the event, set the order's last error, and count the attempt in its `retries`.

        Args:
            order_id: the order.
            step: name of the activity.
            attempt: the attempt that failed, from 1.
            error: message of its error.
            event: the event.
        """


class OrderReader(Protocol):
    """The order store as readers see it. Raises `StoreUnavailable` if Postgres is unavailable or too slow."""

    async def order(self, order_id: str) -> RecordedOrder | None:
        """The order, or None."""

    async def orders(self, order_ids: Sequence[str]) -> dict[str, RecordedOrder]:
        """The orders that exist, by order id; one round trip."""

    async def payment_holder(self, payment_id: str) -> str | None:
        """The id of the order that the payment id belongs to, or None."""

    async def reference_holder(self, reference: str) -> str | None:
        """The id of the first order that the reference was recorded for, or None."""

    async def orders_page(self, wanted: OrderFilter, *, after: Cursor | None = None, limit: int = 50) -> OrderPage:
        """One page of the orders that match a filter, newest first.

        The cost of a page does not depend on its position or on the number of orders.

        Args:
            wanted: the filter.
            after: position of the page; None for the first.
            limit: orders of the page at most.
        """

    async def events(self, order_id: str, *, after: int = 0, limit: int = 1000) -> list[RecordedEvent]:
        """Events of the audit trail in the order of recording.

        Args:
            order_id: the order.
            after: event id that the result begins after.
            limit: events at most.
        """


class ChangeFeed(Protocol):
    """Changed orders as they are committed. No order is skipped; each is delivered with its latest state.

    The feed reconnects by itself, and may deliver an order more than once.
    """

    async def started(self) -> None:
        """Wait until the feed delivers every later commit."""

    @property
    def behind(self) -> timedelta | None:
        """How far the feed is behind the last commit; None before it has started."""

    def follow(self, wanted: Callable[[str], bool] | None = None) -> AsyncIterator[Sequence[RecordedOrder]]:
        """Batches of changed orders from now on; ends only when the iterator is closed.

        Args:
            wanted: whether orders of an owner are delivered, called for each change; None delivers all. An order whose
                payment changed after its end is delivered in any case.
        """

    async def unshown_payments(self) -> Sequence[tuple[str, str]]:
        """Owner and id of the orders whose payment changed after their end and that their Orders may not show.

        Raises `StoreUnavailable` if Postgres is unavailable or too slow, as the next one.
        """

    async def payment_shown(self, order_id: str, version: int, *, gone: bool = False) -> None:
        """Take an order from that list, unless its payment changed again.

        Args:
            order_id: of the order.
            version: of the order with the payment that is shown.
            gone: no Order is of this order, here: it stays in the list for 7 days, for the operator of another cluster.
        """
