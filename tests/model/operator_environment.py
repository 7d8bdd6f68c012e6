"""An in-memory environment of one reconciler: an API server with one Order, Temporal, the order store, and a clock that
the test moves. It counts calls; each part can be unavailable."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from orderfleet.domain.errors import OrderfleetError, StoreUnavailable
from orderfleet.domain.events import RecordedOrder
from orderfleet.domain.names import ENDED_LABEL
from orderfleet.domain.order import OrderInput, SpecUpdate
from orderfleet.operator.cache import Key, OrderCache
from orderfleet.operator.kubernetes import KubernetesUnavailable, ObjectConflict, ObjectNotFound, Write
from orderfleet.operator.reconciler import MISSING_RECHECK, Reconciler
from orderfleet.services.errors import (
    Closed,
    OrderIdConflict,
    OrderNotFound,
    Started,
    StartOutcome,
    TemporalUnavailable,
)
from orderfleet.services.workflow_client import Claim, conflict
from support.observed_orders import SETTINGS

KEY = Key("shop", "o-1")
LONG = MISSING_RECHECK - 1
"""A delay longer than this is the recheck for a missing workflow, which repeats."""

_LONG_AGO = datetime(2026, 11, 1, tzinfo=UTC)

_UNAVAILABLE_ERRORS: dict[str, type[OrderfleetError]] = {
    "kubernetes": KubernetesUnavailable,
    "temporal": TemporalUnavailable,
    "store": StoreUnavailable,
}


def merged(whole: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """Apply a merge patch (RFC 7386)."""
    result = dict(whole)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            result[name] = merged(result.get(name) or {}, value)
        else:
            result[name] = value
    return result


class OperatorEnvironment:
    """One reconciler, and everything that it calls."""

    def __init__(self, body: dict[str, Any], loop: asyncio.AbstractEventLoop) -> None:
        self.body: dict[str, Any] | None = body
        self.watch_events = [body]
        """Versions of the Order that the watch has delivered or may still deliver, oldest first."""
        self.record: RecordedOrder | None = None
        self.feed_records: list[RecordedOrder] = []
        self.unavailable: set[str] = set()
        self.lost_responses: set[str] = set()
        """Parts that do the work of the next call, and whose response is lost."""
        self.during_next_call: Callable[[], None] | None = None
        """Called during the next call of any part."""
        self.started: OrderInput | None = None
        """Input of the workflow of this id, running or not; a second start is rejected (REJECT_DUPLICATE)."""
        self.running = False
        self.foreign_workflow = False
        """Whether another owner's workflow has the id in Temporal."""
        self.declared: SpecUpdate | None = None
        self.writes: Counter[Write] = Counter()
        self.emitted = 0
        self.now = 1000.0
        self._loop = loop
        loop.time = lambda: self.now  # type: ignore[method-assign]
        self.restart()

    def restart(self) -> None:
        """Start an operator with empty caches."""
        self.cache = OrderCache()
        self.due_times: list[float] = []
        made: Any = Reconciler
        self._reconciler: Reconciler = made(
            cache=self.cache,
            client=self,
            records=self,
            kubernetes=self,
            events=self,
            settings=SETTINGS,
            enqueue=lambda _key, after: self.due_times.append(self.now + after),
        )
        if self.body is not None:
            self.cache.upsert(self.body)

    def reconcile(self) -> Exception | None:
        """Reconcile once; return the error if it is to be retried."""
        try:
            self._loop.run_until_complete(self._reconciler.reconcile(KEY))
        except OrderfleetError as error:
            return error
        return None

    def deliver_latest(self) -> None:
        """Deliver the latest state of everything to the operator."""
        if self.body is None or ENDED_LABEL in self.body["metadata"].get("labels", {}):
            self.cache.remove(KEY, self.watch_events[-1]["metadata"]["uid"])
        else:
            self.cache.upsert(self.body)
        if self.record is not None:
            self.cache.apply_record(self.record)

    def settle(self) -> int:
        """Reconcile until only the recheck for a missing workflow is due; return the number of reconciles."""
        count = 0
        due: list[float] = [self.now]
        while due:
            count += 1
            assert count < 30, f"no end: {self.body}"
            self.now = max(self.now, min(due))
            self.due_times.clear()
            self.deliver_latest()
            failed = self.reconcile()
            assert failed is None, failed
            due = [due_at for due_at in self.due_times if due_at - self.now < LONG]
        return count

    def change(self, patch: dict[str, Any], *, edit: bool = False) -> None:
        """Change the Order in the API server; `edit` raises its generation."""
        assert self.body is not None
        metadata = self.body["metadata"]
        raised = {"resourceVersion": str(int(metadata["resourceVersion"]) + 1)}
        raised |= {"generation": metadata["generation"] + 1} if edit else {}
        self.body = merged(merged(self.body, patch), {"metadata": raised})
        self.body["metadata"].setdefault("finalizers", [])
        self.watch_events.append(self.body)
        if "deletionTimestamp" in self.body["metadata"] and not self.body["metadata"]["finalizers"]:
            self.body = None

    def apply(self, body: dict[str, Any]) -> None:
        """Create the Order again after its deletion."""
        version = int(self.watch_events[-1]["metadata"]["resourceVersion"]) + 1
        self.body = merged(body, {"metadata": {"resourceVersion": str(version)}})
        # The watch delivers the deletion before the new object.
        self.watch_events = [self.body]
        self.cache.upsert(self.body)

    def _called(self, part: str) -> None:
        change_object, self.during_next_call = self.during_next_call, None
        if change_object is not None:
            change_object()
        if part in self.unavailable:
            raise _UNAVAILABLE_ERRORS[part]("unavailable")

    def _respond(self, part: str) -> None:
        if part in self.lost_responses:
            self.lost_responses.remove(part)
            raise _UNAVAILABLE_ERRORS[part]("the response was lost")

    # The API server, as the reconciler calls it.

    async def patch(self, _key: Key, write: Write, patch: dict[str, Any], version: str) -> dict[str, Any]:
        self._called("kubernetes")
        if self.body is None:
            raise ObjectNotFound("404")
        if version != self.body["metadata"]["resourceVersion"]:
            raise ObjectConflict("409")
        self.writes[write] += 1
        self.change(patch)
        self._respond("kubernetes")
        return self.watch_events[-1]

    async def get(self, _key: Key) -> dict[str, Any]:
        self._called("kubernetes")
        if self.body is None:
            raise ObjectNotFound("404")
        return self.body

    # Temporal, the order store, and the Events.

    def _temporal(self, order: OrderInput | Claim | None = None) -> None:
        self._called("temporal")
        if order is not None and self.foreign_workflow:
            raise OrderIdConflict("another owner has the order id")
        if order is not None and self.started is not None:
            first = self.started
            why = conflict(order, owner=first.owner, owner_uid=first.owner_uid, content=first.content_hash)
            if why is not None:
                raise OrderIdConflict(why)

    async def start(self, order: OrderInput) -> Started:
        self._temporal(order)
        outcome = StartOutcome.ADOPTED if self.started is not None else StartOutcome.STARTED
        if self.started is None:
            self.started, self.running = order, True
        self._respond("temporal")
        return _started(outcome)

    async def find(self, claim: Claim) -> Started:
        self._temporal(claim)
        if self.started is None:
            raise OrderNotFound("no workflow")
        return _started(StartOutcome.ADOPTED)

    async def closed(self, _order_id: str) -> Closed | None:
        self._temporal()
        if self.started is None:
            raise OrderNotFound("no workflow")
        return None if self.running else Closed(how="terminated", reason="", at=_LONG_AGO)

    async def apply_spec(self, _order_id: str, declaration: SpecUpdate) -> None:
        self._temporal()
        if not self.running:
            raise OrderNotFound("no workflow")
        self.declared = declaration
        self._respond("temporal")

    async def read(self, _order_id: str) -> RecordedOrder | None:
        self._called("store")
        return self.record

    def emit(self, *_: Any) -> None:
        self.emitted += 1


def _started(outcome: StartOutcome) -> Started:
    return Started(order_id="o-1", workflow_id="order-o-1", run_id="run-1", outcome=outcome)
