"""Numbers what an order tells the record, and keeps each event until a record has carried it.

The workflow drafts a record, an activity writes it, and the workflow then settles the draft or
takes it back. So no event is lost to a failed step, and none is told twice: the store drops what
it already has by number and key.

A local activity may have written for a workflow task that was lost with its worker. The task is
then run again, perhaps with a signal that came meanwhile, and tells another story. So a number is
the workflow's time in microseconds, which only rises, through a lost task, a reset and
continue-as-new alike; and an event that an order has once has its kind for a key. An event that it
may have again is known by its run, its count and its content: told again by the task that is run
again, it stands once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from orderfleet.contracts.record import AuditEvent, EventKind, Progress
    from orderfleet.contracts.status import Step
    from orderfleet.orders.state import OrderState


_ONCE = frozenset(EventKind) - {
    EventKind.ADDRESS_CHANGED,
    EventKind.ATTEMPT_FAILED,
    EventKind.BOOKING_VOIDED,
    EventKind.CHANGE_REFUSED,
    EventKind.DECLARED,
    EventKind.DISPATCH_FAILED,
    EventKind.PARCEL_BOOKED,
    EventKind.PARCEL_IN_TRANSIT,
}
"""Events that an order has at most once."""


@dataclass(frozen=True)
class Draft:
    """A record on its way: what happened already, and what will have happened when the step succeeds."""

    progress: Progress
    happened: tuple[AuditEvent, ...]


class Journal:
    """The order's audit trail as its workflow writes it."""

    def __init__(self, state: OrderState) -> None:
        self._state = state
        self._stale = False

    @property
    def dirty(self) -> bool:
        """Whether something waits for a record and no draft carries it."""
        return self._stale or bool(self._state.pending)

    def note(self, kind: EventKind, **detail: Any) -> None:
        """Something happened now."""
        self._state.updated_at = workflow.now()
        self._state.pending.append(self._event(kind, self._state.step, self._state.updated_at, detail))

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
        state.pending.clear()
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

    def settle(self, draft: Draft) -> None:
        """The draft is recorded; move to the step it told of."""
        state = self._state
        state.enter(draft.progress.step)
        state.updated_at = workflow.now()
        if state.seq != draft.progress.seq:
            # A later record overtook this one and told an older step: tell the present one again.
            self._stale = True

    def take_back(self, draft: Draft) -> None:
        """The draft may not be recorded: what happened waits for the next one."""
        self._state.pending[:0] = draft.happened
        self._stale = True

    def _event(self, kind: EventKind, step: Step, at: datetime, detail: dict[str, Any]) -> AuditEvent:
        self._state.event_count += 1
        key = str(kind) if kind in _ONCE else self._key(kind, detail)
        return AuditEvent(key=key, kind=kind, step=step, at=at, detail=detail)

    def _key(self, kind: EventKind, detail: dict[str, Any]) -> str:
        """The same when a lost task is run again and comes to the same, another after a reset."""
        told = sha256(json.dumps(detail, sort_keys=True, default=str).encode()).hexdigest()[:8]
        return f"{kind}-{workflow.info().run_id[:8]}-{self._state.event_count}-{told}"


def _microseconds(time: datetime) -> int:
    return round(time.timestamp() * 1_000_000)
