"""The state of one order's workflow, and the journal that turns its changes into writes to the database.

Continue-as-new passes `OrderState` to the next run, so a workflow must keep nothing outside it that a later run needs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from typing import Any, Final

from pydantic import BaseModel, Field
from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from orderfleet.domain import transitions
    from orderfleet.domain.events import AuditEvent, EventKind, Progress
    from orderfleet.domain.ledger import PaymentRecord
    from orderfleet.domain.money import to_decimal
    from orderfleet.domain.order import Address, OrderInput
    from orderfleet.domain.policy import AddressChecks
    from orderfleet.domain.status import (
        Hold,
        OrderStatus,
        PaymentStatus,
        PaymentView,
        PendingCustomer,
        ShipmentView,
        SpecResult,
        Step,
    )

MAX_PENDING_BYTES: Final = 1792 * 1024
"""Limit of the JSON of an order and its pending events. Above it, events of one kind are merged into one with a `times`
count. Temporal accepts 2 MiB per payload; the rest is for the state that is sent with them."""

PENDING_THRESHOLD_BYTES: Final = 64 * 1024
"""Pending events above this size are written before the run continues as new."""

_ONCE = frozenset(EventKind) - {
    EventKind.ADDRESS_CHANGED,
    EventKind.ATTEMPT_FAILED,
    EventKind.BOOKING_VOIDED,
    EventKind.HELD,
    EventKind.HOLD_ENDED,
    EventKind.PAYMENT_RETRIED,
    EventKind.CHANGE_REJECTED,
    EventKind.SPEC_APPLIED,
    EventKind.DISPATCH_FAILED,
    EventKind.PARCEL_BOOKED,
    EventKind.PARCEL_IN_TRANSIT,
    EventKind.WORKFLOW_ID_CONFLICT,
}
"""Kinds that an order has at most once."""


_UNDONE = frozenset({PaymentStatus.REFUNDED, PaymentStatus.VOIDED})


class OrderState(BaseModel):
    """The serializable state of an order's workflow."""

    step: Step = Step.RECEIVE
    received: bool = False
    """Whether the database has the order's row, so that progress can be written to it."""
    approved: bool = False
    cancel_requested: str | None = None
    """Reason of an accepted cancel; the order is compensated and ends canceled."""
    canceled: bool = False
    cancel_reason: str | None = None
    address: Address
    address_changed: bool = False
    """Whether the address was changed since the order was received, so that progress carries it."""
    address_checks: AddressChecks | None = None
    """Those of the worker that validated the order, if its policy has none."""
    payment_status: PaymentStatus | None = None
    shown_payment: PaymentRecord | None = None
    """The payment in the order store after money went back beside this workflow; None if none has."""
    payment_method: str = ""
    """With which the customer pays, if it was changed since the start."""
    spec_method: str = ""
    """`spec.payment.method` of the last spec that was applied."""
    payment_pending: PendingCustomer | None = None
    pending_until: datetime | None = None
    """When the order stops waiting for the customer."""
    payment_updated: bool = False
    """Whether the provider reported a change of the payment since the last look-up or capture."""
    hold: Hold | None = None
    capture_retry: bool = False
    """Whether a client asked for another capture since the last one began."""
    capture_retry_at: datetime | None = None
    """When a held order captures again by itself."""
    captures: int = 0
    """Captures in a row that were refused, or whose outcome is unknown."""
    shipments: list[ShipmentView] = Field(default_factory=list)
    parked: int = 0
    """How often a shipment was parked."""
    dispatch_failed_reason: str | None = None
    last_error: str | None = None
    retries: dict[str, int] = Field(default_factory=dict)
    declared: SpecResult = SpecResult()
    review_deadline: datetime | None = None
    delivery_deadline: datetime | None = None
    delivered: list[str] = Field(default_factory=list)
    """Ids of shipments that the carrier reported delivered; the report can precede the result of the booking."""
    delivered_detail: dict[str, str] = Field(default_factory=dict)
    """Detail of that report, by shipment id."""
    carrier_updates: list[str] = Field(default_factory=list)
    """Keys of the other carrier updates in the audit trail, each `SHIPMENT_ID PARCEL_STATE HASH_OF_DETAIL`."""
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None = None

    seq: int = 0
    """Number of the last draft."""
    event_count: int = 0
    pending: list[AuditEvent] = Field(default_factory=list)
    """Events that no draft contains yet."""

    @classmethod
    def new(cls, order: OrderInput, now: datetime) -> OrderState:
        """The state of an order that starts at `now`."""
        return cls(
            address=order.address,
            approved=order.approved,
            spec_method=order.payment.method,
            declared=SpecResult(generation=order.generation, owner_uid=order.owner_uid),
            created_at=now,
            updated_at=now,
        )

    def enter(self, step: Step) -> None:
        """Move to `step`.

        Raises:
            ValueError: the transition table does not allow it.
        """
        if step is not self.step:
            self.step = transitions.advance(self.step, step)

    def count_retries(self, step: str, attempt: int) -> None:
        """Add a step's retries to its count.

        Args:
            step: name of the activity.
            attempt: the attempt that succeeded, from 1.
        """
        if attempt > 1:
            self.retries[step] = self.retries.get(step, 0) + attempt - 1

    def show_payment(self, payment: PaymentRecord) -> None:
        """Show a payment of the order store, unless a later one is shown."""
        if self.shown_payment is None or self.shown_payment.version < payment.version:
            self.shown_payment = payment
            self.updated_at = workflow.now()

    def view(self, order: OrderInput, workflow_id: str, run_id: str) -> OrderStatus:
        """The status that readers get.

        Args:
            order: input of the workflow.
            workflow_id: id of the workflow.
            run_id: id of its first run.
        """
        shown, status, amounts = self.shown_payment, self.payment_status, {}
        # After its undo, the payment has no other amounts than those that its status implies.
        if shown is not None and status not in _UNDONE:
            amounts = {name: to_decimal(amount, order.currency) for name, amount in shown.amounts}
            status = status if status is PaymentStatus.REFUNDING else shown.status
        payment = PaymentView(
            id=order.payment_id,
            status=status,
            amount=to_decimal(order.amount, order.currency),
            currency=order.currency,
            pending=self.payment_pending,
            **amounts,
        )
        return OrderStatus(
            **dict(self),
            order_id=order.order_id,
            workflow_id=workflow_id,
            run_id=run_id,
            reference=order.reference,
            payment=payment,
        )


@dataclass(frozen=True)
class Draft:
    """Progress that a step writes when it succeeds, and the events in it that have happened already."""

    progress: Progress
    happened: tuple[AuditEvent, ...]


class Journal:
    """Collects the order's events and drafts the writes that carry them.

    Args:
        order: input of the workflow; its size limits that of the pending events.
        state: state of the workflow, which holds the pending events.
    """

    def __init__(self, order: OrderInput, state: OrderState) -> None:
        self._order = order
        self._state = state
        self._stale = False
        self._pending_bytes = sum(map(_bytes, state.pending))
        self._merged: dict[EventKind, int] = {}
        """Index in `pending` of the merged event of a kind."""

    @property
    def over_threshold(self) -> bool:
        """Whether the pending events are to be written before the run continues as new."""
        return self._pending_bytes >= PENDING_THRESHOLD_BYTES

    @property
    def dirty(self) -> bool:
        """Whether there is something to write that no draft contains."""
        return self._stale or bool(self._state.pending)

    def append(self, kind: EventKind, **detail: Any) -> None:
        """Append an event that happens now.

        Args:
            kind: kind of the event.
            detail: detail of the event, by key.
        """
        self._state.updated_at = workflow.now()
        self._add(self._event(kind, self._state.step, self._state.updated_at, detail))

    def draft(self, *, then: Step | None = None, expect: tuple[tuple[EventKind, dict[str, Any]], ...] = ()) -> Draft:
        """Draft the next write; the pending events move into it.

        Args:
            then: step of the order once the write has succeeded; its current step if None.
            expect: kinds and details of events that happen with that success.
        """
        state = self._state
        step = then or state.step
        happened = tuple(state.pending)
        self._clear()
        self._stale = False
        state.seq = max(state.seq + 1, _microseconds(workflow.now()))
        # After a reset the database can have an address that this run does not know of.
        with_address = state.address_changed or _is_later_run()
        expected = tuple(self._event(kind, step, workflow.now(), detail) for kind, detail in expect)
        address = state.address if with_address else None
        changed = {"step": step, "address": address, "events": (*happened, *expected)}
        return Draft(progress=Progress(**dict(state) | changed), happened=happened)

    def commit(self, draft: Draft, step: Step | None = None) -> None:
        """Move to the step of a draft that has been written.

        Args:
            draft: the draft.
            step: the step that was written instead of the draft's; None if that was.
        """
        state = self._state
        state.enter(step or draft.progress.step)
        state.updated_at = workflow.now()
        if state.seq != draft.progress.seq:
            # A later draft was written first, with an older step: write the current step again.
            self._stale = True

    def rollback(self, draft: Draft) -> None:
        """Return the events of a draft that may not have been written to the pending ones."""
        pending = tuple(self._state.pending)
        self._clear()
        for event in (*draft.happened, *pending):
            self._add(event)
        self._stale = True

    @cached_property
    def _max_bytes(self) -> int:
        return MAX_PENDING_BYTES - len(self._order.model_dump_json().encode())

    def _clear(self) -> None:
        self._state.pending.clear()
        self._merged.clear()
        self._pending_bytes = 0

    def _add(self, event: AuditEvent) -> None:
        pending, index = self._state.pending, self._merged.get(event.kind)
        size, times = _bytes(event), event.detail.get("times", 1)
        if index is not None:
            before = pending[index]
            detail = {**event.detail, "times": before.detail["times"] + times}
            pending[index] = event.model_copy(update={"key": before.key, "detail": detail})
        elif (
            event.kind in _ONCE
            or self._pending_bytes + size <= PENDING_THRESHOLD_BYTES
            or self._pending_bytes + size <= self._max_bytes
        ):
            pending.append(event)
            self._pending_bytes += size
        else:
            self._merged[event.kind] = len(pending)
            pending.append(event.model_copy(update={"detail": {**event.detail, "times": times}}))

    def _event(self, kind: EventKind, step: Step, at: datetime, detail: dict[str, Any]) -> AuditEvent:
        self._state.event_count += 1
        key = str(kind) if kind in _ONCE else self._key(kind, detail)
        return AuditEvent(key=key, kind=kind, step=step, at=at, detail=detail)

    def _key(self, kind: EventKind, detail: dict[str, Any]) -> str:
        """The same key when a lost workflow task runs again with the same result; another key after a reset."""
        digest = sha256(json.dumps(detail, sort_keys=True, default=str).encode()).hexdigest()[:8]
        return f"{kind}-{workflow.info().run_id[:8]}-{self._state.event_count}-{digest}"


def _is_later_run() -> bool:
    info = workflow.info()
    return info.run_id != info.first_execution_run_id


def _bytes(event: AuditEvent) -> int:
    return len(event.model_dump_json().encode())


def _microseconds(time: datetime) -> int:
    return round(time.timestamp() * 1_000_000)
