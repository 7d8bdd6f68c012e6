"""The world around one reconciler, made up and quick: an API server with one Order, Temporal, the record,
and a clock that moves when it is told to. What each part is asked is counted; any of them may be away."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from declared import SETTINGS

from orderfleet.domain.errors import OrderfleetError, StoreUnavailable
from orderfleet.domain.events import RecordedOrder
from orderfleet.domain.names import ENDED_LABEL
from orderfleet.domain.order import OrderInput, SpecUpdate
from orderfleet.operator.cache import Key, OrderCache
from orderfleet.operator.kubernetes import KubernetesUnavailable, ObjectConflict, ObjectNotFound, Write
from orderfleet.operator.reconciler import MISSING_RECHECK, Reconciler
from orderfleet.services.errors import OrderIdConflict, OrderNotFound, Started, StartOutcome, TemporalUnavailable
from orderfleet.services.workflow_client import Claim, conflict

KEY = Key("shop", "o-1")
LONG = MISSING_RECHECK - 1
"""Looks that are asked for after longer than this come again for as long as a workflow is missing."""

_AWAY: dict[str, type[OrderfleetError]] = {
    "kubernetes": KubernetesUnavailable,
    "temporal": TemporalUnavailable,
    "store": StoreUnavailable,
}


def merged(whole: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """RFC 7386."""
    result = dict(whole)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            result[name] = merged(result.get(name) or {}, value)
        else:
            result[name] = value
    return result


class World:
    """Everything that a reconciler talks to, and the reconciler."""

    def __init__(self, body: dict[str, Any], loop: asyncio.AbstractEventLoop) -> None:
        self.body: dict[str, Any] | None = body
        self.told_bodies = [body]
        """What the watch has told or may still tell, oldest first."""
        self.record: RecordedOrder | None = None
        self.told_records: list[RecordedOrder] = []
        self.away: set[str] = set()
        self.answers_lost: set[str] = set()
        """Parts that do what they are asked next, and whose answer never comes."""
        self.meanwhile: Callable[[], None] | None = None
        """What happens in the midst of the next call of any part."""
        self.started: OrderInput | None = None
        """What the workflow of this id was started with, running or not: an id is taken once (REJECT_DUPLICATE)."""
        self.runs = False
        self.foreign = False
        """Whether Temporal has somebody else's workflow under the id."""
        self.declared: SpecUpdate | None = None
        self.writes: Counter[Write] = Counter()
        self.told = 0
        self.now = 1000.0
        self._loop = loop
        loop.time = lambda: self.now  # type: ignore[method-assign]
        self.restart()

    def restart(self) -> None:
        """An operator that knows nothing."""
        self.cache = OrderCache()
        self.looks: list[float] = []
        made: Any = Reconciler
        self._reconciler: Reconciler = made(
            cache=self.cache,
            client=self,
            records=self,
            kubernetes=self,
            events=self,
            settings=SETTINGS,
            enqueue=lambda _key, after: self.looks.append(self.now + after),
        )
        if self.body is not None:
            self.cache.upsert(self.body)

    def reconcile(self) -> Exception | None:
        """One reconcile; what it raised, if that is to be tried again."""
        try:
            self._loop.run_until_complete(self._reconciler.reconcile(KEY))
        except OrderfleetError as error:
            return error
        return None

    def tell_all(self) -> None:
        """The newest news of everything reach the operator."""
        if self.body is None or ENDED_LABEL in self.body["metadata"].get("labels", {}):
            self.cache.remove(KEY, self.told_bodies[-1]["metadata"]["uid"])
        else:
            self.cache.upsert(self.body)
        if self.record is not None:
            self.cache.apply_record(self.record)

    def settle(self) -> int:
        """Reconcile until nothing is due but the search for a missing workflow; how many reconciles it took."""
        count = 0
        due: list[float] = [self.now]
        while due:
            count += 1
            assert count < 30, f"no end: {self.body}"
            self.now = max(self.now, min(due))
            self.looks.clear()
            self.tell_all()
            failed = self.reconcile()
            assert failed is None, failed
            due = [look for look in self.looks if look - self.now < LONG]
        return count

    def change(self, patch: dict[str, Any], *, edit: bool = False) -> None:
        """Somebody, or the operator, changes the Order in the API server."""
        assert self.body is not None
        metadata = self.body["metadata"]
        raised = {"resourceVersion": str(int(metadata["resourceVersion"]) + 1)}
        raised |= {"generation": metadata["generation"] + 1} if edit else {}
        self.body = merged(merged(self.body, patch), {"metadata": raised})
        self.body["metadata"].setdefault("finalizers", [])
        self.told_bodies.append(self.body)
        if "deletionTimestamp" in self.body["metadata"] and not self.body["metadata"]["finalizers"]:
            self.body = None

    def apply(self, body: dict[str, Any]) -> None:
        """Somebody creates the Order again after it is gone."""
        version = int(self.told_bodies[-1]["metadata"]["resourceVersion"]) + 1
        self.body = merged(body, {"metadata": {"resourceVersion": str(version)}})
        # The watch told that the one before is gone before it tells of this one.
        self.told_bodies = [self.body]
        self.cache.upsert(self.body)

    def _called(self, part: str) -> None:
        happens, self.meanwhile = self.meanwhile, None
        if happens is not None:
            happens()
        if part in self.away:
            raise _AWAY[part]("away")

    def _answers(self, part: str) -> None:
        if part in self.answers_lost:
            self.answers_lost.remove(part)
            raise _AWAY[part]("the answer was lost")

    # The API server, as the reconciler calls it.

    async def patch(self, _key: Key, write: Write, patch: dict[str, Any], version: str) -> dict[str, Any]:
        self._called("kubernetes")
        if self.body is None:
            raise ObjectNotFound("404")
        if version != self.body["metadata"]["resourceVersion"]:
            raise ObjectConflict("409")
        self.writes[write] += 1
        self.change(patch)
        self._answers("kubernetes")
        return self.told_bodies[-1]

    async def get(self, _key: Key) -> dict[str, Any]:
        self._called("kubernetes")
        if self.body is None:
            raise ObjectNotFound("404")
        return self.body

    # Temporal, the record, and the Events.

    def _temporal(self, order: OrderInput | Claim | None = None) -> None:
        self._called("temporal")
        if order is not None and self.foreign:
            raise OrderIdConflict("order id is another's")
        if order is not None and self.started is not None:
            first = self.started
            why = conflict(order, owner=first.owner, owner_uid=first.owner_uid, content=first.content_hash)
            if why is not None:
                raise OrderIdConflict(why)

    async def start(self, order: OrderInput) -> Started:
        self._temporal(order)
        outcome = StartOutcome.ADOPTED if self.started is not None else StartOutcome.STARTED
        if self.started is None:
            self.started, self.runs = order, True
        self._answers("temporal")
        return _started(outcome)

    async def find(self, claim: Claim) -> Started:
        self._temporal(claim)
        if self.started is None:
            raise OrderNotFound("no workflow")
        return _started(StartOutcome.ADOPTED)

    async def declare(self, _order_id: str, declaration: SpecUpdate) -> None:
        self._temporal()
        if not self.runs:
            raise OrderNotFound("no workflow")
        self.declared = declaration
        self._answers("temporal")

    async def read(self, _order_id: str) -> RecordedOrder | None:
        self._called("store")
        return self.record

    def emit(self, *_: Any) -> None:
        self.told += 1


def _started(outcome: StartOutcome) -> Started:
    return Started(order_id="o-1", workflow_id="order-o-1", run_id="run-1", outcome=outcome)
