"""The whole state of one order's workflow, in one serialisable object.

Continue-as-new hands it to the next run, so nothing that matters may live elsewhere. The workflow
and its phases change it; readers get `view`.
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

from orderfleet.domain import transitions
from orderfleet.domain.events import AuditEvent
from orderfleet.domain.order import Address, OrderInput
from orderfleet.domain.status import OrderStatus, PaymentStatus, PaymentView, ShipmentView, SpecResult, Step

with workflow.unsafe.imports_passed_through():
    from orderfleet.domain.events import AuditEvent, EventKind, Progress
    from orderfleet.domain.order import OrderInput
    from orderfleet.domain.status import Step


class OrderState(BaseModel):
    """What an order's workflow knows."""

    step: Step = Step.RECEIVE
    received: bool = False
    """Whether the record has the order, and so takes its progress."""
    approved: bool = False
    cancel_requested: str | None = None
    """The reason of a cancel that was taken; the order undoes itself and ends canceled."""
    canceled: bool = False
    cancel_reason: str | None = None
    address: Address
    payment_status: PaymentStatus | None = None
    shipments: list[ShipmentView] = Field(default_factory=list)
    dispatch_failed_reason: str | None = None
    last_error: str | None = None
    retries: dict[str, int] = Field(default_factory=dict)
    declared: SpecResult = SpecResult()
    review_deadline: datetime | None = None
    delivery_deadline: datetime | None = None
    delivered: list[str] = Field(default_factory=list)
    """Shipments that the carrier says are delivered; it may say so before its booking is answered."""
    delivered_detail: dict[str, str] = Field(default_factory=dict)
    """What it said with it, by shipment."""
    heard: list[str] = Field(default_factory=list)
    """The carrier's other words that are in the audit trail, as `delivery` writes them down."""
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None = None

    seq: int = 0
    """Number of the last record that was drafted."""
    event_count: int = 0
    pending: list[AuditEvent] = Field(default_factory=list)
    """Events that no record carries yet."""

    @classmethod
    def new(cls, order: OrderInput, now: datetime) -> OrderState:
        """The state of an order that starts now."""
        return cls(
            address=order.address,
            approved=order.approved,
            declared=SpecResult(generation=order.generation, owner_uid=order.owner_uid),
            created_at=now,
            updated_at=now,
        )

    def enter(self, step: Step) -> None:
        """Move to `step` along the transition table."""
        if step is not self.step:
            self.step = transitions.advance(self.step, step)

    def count_retries(self, step: str, attempt: int) -> None:
        """Keep how many attempts beyond the first a step took."""
        if attempt > 1:
            self.retries[step] = self.retries.get(step, 0) + attempt - 1

    def view(self, order: OrderInput, workflow_id: str, run_id: str) -> OrderStatus:
        """What readers see."""
        return OrderStatus(
            order_id=order.order_id,
            workflow_id=workflow_id,
            run_id=run_id,
            step=self.step,
            approved=self.approved,
            canceled=self.canceled,
            cancel_reason=self.cancel_reason,
            address=self.address,
            payment=PaymentView(
                id=order.payment_id, status=self.payment_status, amount=order.amount, currency=order.currency
            ),
            shipments=tuple(self.shipments),
            dispatch_failed_reason=self.dispatch_failed_reason,
            last_error=self.last_error,
            retries=dict(self.retries),
            declared=self.declared,
            created_at=self.created_at,
            updated_at=self.updated_at,
            completed_at=self.completed_at,
        )


_ONCE = frozenset(EventKind) - {
    EventKind.ADDRESS_CHANGED,
    EventKind.ATTEMPT_FAILED,
    EventKind.BOOKING_VOIDED,
    EventKind.CHANGE_REJECTED,
    EventKind.SPEC_APPLIED,
    EventKind.DISPATCH_FAILED,
    EventKind.PARCEL_BOOKED,
    EventKind.PARCEL_IN_TRANSIT,
    EventKind.WORKFLOW_ID_CONFLICT,
}

"""Events that an order has at most once."""


MOST_TOGETHER: Final = 1792 * 1024

"""Bytes of JSON of an order and its events that wait for a record. Beyond, a line of the trail stands for all of its
kind that come until then: Temporal takes 2 MiB in one piece, and the rest of the state travels along."""

MANY_WAITING: Final = 64 * 1024

"""Bytes that are told before a run continues as new, which a stream of signals can hold off for as long as it lasts."""


@dataclass(frozen=True)
class Draft:
    """A record on its way: what happened already, and what will have happened when the step succeeds."""

    progress: Progress
    happened: tuple[AuditEvent, ...]


class Journal:
    """The order's audit trail as its workflow writes it."""

    def __init__(self, order: OrderInput, state: OrderState) -> None:
        self._order = order
        self._state = state
        self._stale = False
        self._waiting = sum(map(_bytes, state.pending))
        self._merged: dict[EventKind, int] = {}
        """Where in `pending` the line is that stands for all of its kind."""

    @property
    def over_threshold(self) -> bool:
        """Whether so much waits for a record that it is better told than carried."""
        return self._waiting >= MANY_WAITING

    @property
    def dirty(self) -> bool:
        """Whether something waits for a record and no draft carries it."""
        return self._stale or bool(self._state.pending)

    def append(self, kind: EventKind, **detail: Any) -> None:
        """Something happened now."""
        self._state.updated_at = workflow.now()
        self._keep(self._event(kind, self._state.step, self._state.updated_at, detail))

    def event(self, kind: EventKind, step: Step, **detail: Any) -> AuditEvent:
        """An event for a record that is not the order's own, under the order's numbering."""
        return self._event(kind, step, workflow.now(), detail)

    def draft(self, *, then: Step | None = None, expect: tuple[tuple[EventKind, dict[str, Any]], ...] = ()) -> Draft:
        """Draft the next record.

        Args:
            then: the step the order is at once the carrying step has succeeded.
            expect: events that will have happened then.
        """
        state = self._state
        step = then or state.step
        happened = tuple(state.pending)
        self._begin_anew()
        self._stale = False
        state.seq = max(state.seq + 1, _microseconds(workflow.now()))
        expected = tuple(self._event(kind, step, workflow.now(), detail) for kind, detail in expect)
        progress = Progress(
            seq=state.seq,
            step=step,
            approved=state.approved,
            canceled=state.canceled,
            cancel_reason=state.cancel_reason,
            dispatch_failed_reason=state.dispatch_failed_reason,
            last_error=state.last_error,
            address=state.address,
            retries=dict(state.retries),
            declared=state.declared,
            completed_at=state.completed_at,
            events=(*happened, *expected),
        )
        return Draft(progress=progress, happened=happened)

    def commit(self, draft: Draft) -> None:
        """The draft is recorded; move to the step it told of."""
        state = self._state
        state.enter(draft.progress.step)
        state.updated_at = workflow.now()
        if state.seq != draft.progress.seq:
            # A later record overtook this one and told an older step: tell the present one again.
            self._stale = True

    def rollback(self, draft: Draft) -> None:
        """The draft may not be recorded: what happened waits for the next one."""
        waiting = tuple(self._state.pending)
        self._begin_anew()
        for event in (*draft.happened, *waiting):
            self._keep(event)
        self._stale = True

    @cached_property
    def _room(self) -> int:
        return MOST_TOGETHER - len(self._order.model_dump_json().encode())

    def _begin_anew(self) -> None:
        self._state.pending.clear()
        self._merged.clear()
        self._waiting = 0

    def _keep(self, event: AuditEvent) -> None:
        pending, place = self._state.pending, self._merged.get(event.kind)
        size, times = _bytes(event), event.detail.get("times", 1)
        if place is not None:
            before = pending[place]
            detail = {**event.detail, "times": before.detail["times"] + times}
            pending[place] = event.model_copy(update={"key": before.key, "detail": detail})
        elif self._waiting + size <= MANY_WAITING or self._waiting + size <= self._room or event.kind in _ONCE:
            pending.append(event)
            self._waiting += size
        else:
            self._merged[event.kind] = len(pending)
            pending.append(event.model_copy(update={"detail": {**event.detail, "times": times}}))

    def _event(self, kind: EventKind, step: Step, at: datetime, detail: dict[str, Any]) -> AuditEvent:
        self._state.event_count += 1
        key = str(kind) if kind in _ONCE else self._key(kind, detail)
        return AuditEvent(key=key, kind=kind, step=step, at=at, detail=detail)

    def _key(self, kind: EventKind, detail: dict[str, Any]) -> str:
        """The same when a lost task is run again and comes to the same, another after a reset."""
        told = sha256(json.dumps(detail, sort_keys=True, default=str).encode()).hexdigest()[:8]
        return f"{kind}-{workflow.info().run_id[:8]}-{self._state.event_count}-{told}"


def _bytes(event: AuditEvent) -> int:
    return len(event.model_dump_json().encode())


def _microseconds(time: datetime) -> int:
    return round(time.timestamp() * 1_000_000)
