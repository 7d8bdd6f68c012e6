"""When a status is written: at once, or together with what comes next, so that a burst of steps is one write.

The reconciler asks, for one Order. All times are the event loop's, in seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import ValidationError

from orderfleet.domain.errors import StoreUnavailable
from orderfleet.domain.label_selectors import LabelSelector
from orderfleet.domain.names import ENDED_LABEL, FINALIZER
from orderfleet.domain.order import OrderInput, SpecUpdate
from orderfleet.operator import plan as planned
from orderfleet.operator.cache import CacheEntry, Key, OrderCache, Part, RecordLoader
from orderfleet.operator.crd import DeletedOrder, OrderResource
from orderfleet.operator.events import Events
from orderfleet.operator.kubernetes import Kubernetes, ObjectConflict, ObjectNotFound, Write
from orderfleet.operator.status import BEGINNING, WritePriority, change, invalid_spec_status, wanted_status
from orderfleet.services.errors import OrderIdConflict, OrderNotFound, StartOutcome, TemporalUnavailable
from orderfleet.services.workflow_client import Claim, OrderClient
from orderfleet.settings import Settings

BURST_GAP: Final = 0.1

"""Seconds between two writes of one status, so that steps which pass at once are one write."""

FIRST_HOLD: Final = 0.7

"""Seconds that the first status waits for the record to tell more than the beginning."""

SOON_HOLD: Final = 0.7

"""Seconds that a detail waits for company."""

LATER_HOLD: Final = 5.0

"""Seconds that the state of a shipment waits for company."""


def write_due(
    status: Mapping[str, Any], shown: Mapping[str, Any], value: WritePriority, *, since: float, written_at: float
) -> float:
    """When a status is to be written, at the earliest.

    Args:
        status: what it would be.
        shown: what it is.
        value: how long it may wait for company.
        since: since when it is not shown.
        written_at: when the last one was written.
    """
    if value is not WritePriority.AT_ONCE:
        return since + (LATER_HOLD if value is WritePriority.LATER else SOON_HOLD)
    if status.get("step") in BEGINNING and "step" not in shown:
        return since + FIRST_HOLD
    return since if status.get("ended") else written_at + BURST_GAP


A_MOMENT: Final = 1.0

"""Seconds that a part may be silent before an Order says that it waits for it."""

MISSING_RECHECK: Final = 30.0

"""Seconds after which a workflow that was not found is sought again."""

UNRECORDED_CHECK: Final = 5.0

"""Seconds without a row of a started order after which Temporal is asked whether its workflow still runs."""

UNRECORDED_RECHECK: Final = 60.0

"""Seconds after which it is asked again, while the workflow runs."""

LATE_RECEIPT: Final = 30.0

"""Seconds after the end of a workflow in which an activity of it may still record the order."""

_ROUNDS: Final = 12

"""More plans in a row than an Order can need."""


class Reconciler:
    """Reconciles Orders.

    Args:
        memory: the Orders.
        client: the door into Temporal.
        records: the record, for Orders the feed has not told of.
        kubernetes: where status, finalizer and label are written.
        events: told of every status written.
        settings: the labels of its Orders, the defaults of orders that start.
        look: has an Order looked at again, after so many seconds.
    """

    def __init__(
        self,
        *,
        memory: OrderCache,
        client: OrderClient,
        records: RecordLoader,
        kubernetes: Kubernetes,
        events: Events,
        settings: Settings,
        look: Callable[[Key, float], None],
    ) -> None:
        self._memory = memory
        self._client = client
        self._records = records
        self._kubernetes = kubernetes
        self._events = events
        self._settings = settings
        self._own = LabelSelector.read(settings.operator_selector)
        self._look = look

    async def reconcile(self, key: Key) -> None:
        """Do what can be done for an Order now.

        Raises:
            OrderfleetError: something is away or refused it; to be tried again.
        """
        entry = self._memory[key]
        if entry is None:
            return
        begun = asyncio.get_running_loop().time()
        try:
            await self._settle(key, entry)
        except ObjectNotFound:
            self._memory.forget(key, entry.uid)
        except ObjectConflict:
            await self._refresh(key, entry)
        except (TemporalUnavailable, StoreUnavailable) as error:
            entry.waited = entry.waited or asyncio.get_running_loop().time() - begun >= A_MOMENT
            await self._show_wait(key, entry, Part.STORE if isinstance(error, StoreUnavailable) else Part.TEMPORAL)
            raise
        except ValidationError as error:
            await self._show_unreadable(key, entry, error)
        finally:
            entry.rest()

    async def _settle(self, key: Key, entry: CacheEntry) -> None:
        entry.learn(away=None, workflow_missing=False)
        if entry.check_at is not None and asyncio.get_running_loop().time() >= entry.check_at:
            entry.check_at = None
            entry.learn(workflow_unchecked=True)
        for _ in range(_ROUNDS):
            actions = self._plan(entry)
            # Not `any`: every action of a plan is to be done.
            if True not in [await self._do(key, entry, action) for action in actions]:
                entry.waited = False
                self._await_record(key, entry)
                return
        raise RuntimeError(f"the plan for {key} has no end")

    def _await_record(self, key: Key, entry: CacheEntry) -> None:
        """Have the workflow of an order without a row asked for in a while: it may have ended without making one."""
        known = entry.known
        released = FINALIZER not in entry.body["metadata"].get("finalizers", ())
        if released or known.record is not None or known.workflow is None or known.workflow_closed is not None:
            entry.check_at = None
            return
        now = asyncio.get_running_loop().time()
        if entry.check_at is None:
            entry.check_at = now + UNRECORDED_CHECK
        if entry.check_at > now:
            self._look(key, entry.check_at - now)

    def _plan(self, entry: CacheEntry) -> list[planned.Action]:
        try:
            order = OrderResource.model_validate(entry.body)
            return planned.plan(order, entry.body["status"], entry.known, self._settings, datetime.now(UTC))
        except ValidationError:
            leaving = DeletedOrder.model_validate(entry.body)
            actions = planned.plan_unread(leaving, entry.known) if leaving.deleting else None
            if actions is None:
                raise
            return actions

    async def _do(self, key: Key, entry: CacheEntry, action: planned.Action) -> bool:
        """Execute an action; whether the plan is to be made anew."""
        match action:
            case planned.ReadRecord(order_id):
                await self._read(entry, order_id)
            case planned.AddFinalizer():
                finalizers = [*entry.body["metadata"].get("finalizers", ()), FINALIZER]
                await self._patch(key, entry, Write.HOLD, {"metadata": {"finalizers": finalizers}})
            case planned.Start(order):
                await self._start(entry, order)
            case planned.Find(claim):
                await self._find(entry, claim)
            case planned.CheckWorkflow(order_id):
                await self._check_workflow(key, entry, order_id)
            case planned.ApplySpec(order_id, declaration):
                await self._declare(key, entry, order_id, declaration)
            case planned.WriteStatus(status, value):
                return await self._write(key, entry, status, value)
            case planned.RemoveFinalizer(ended):
                await self._release(key, entry, ended=ended)
        return True

    async def _read(self, entry: CacheEntry, order_id: str) -> None:
        record, known = await self._records.read(order_id), entry.known.record
        newer = record is not None and (known is None or known.version < record.version)
        entry.learn(record=record if newer else known, record_read=True)

    async def _start(self, entry: CacheEntry, order: OrderInput) -> None:
        try:
            started = await self._client.start(order)
        except OrderIdConflict as error:
            entry.learn(taken=str(error))
            return
        new = started.outcome is StartOutcome.STARTED
        entry.learn(workflow=started, started_generation=order.generation if new else 0)

    async def _find(self, entry: CacheEntry, claim: Claim) -> None:
        try:
            entry.learn(workflow=await self._client.find(claim))
        except OrderIdConflict as error:
            entry.learn(taken=str(error))
        except OrderNotFound:
            entry.learn(workflow_sought=True)

    async def _check_workflow(self, key: Key, entry: CacheEntry, order_id: str) -> None:
        now = asyncio.get_running_loop().time()
        try:
            closed = await self._client.closed(order_id)
        except OrderNotFound:
            # Asked for again at every look until then, so that what is shown does not go to and fro.
            entry.learn(workflow_unchecked=False, workflow_missing=True, record_read=False)
            entry.check_at = now
            self._look(key, MISSING_RECHECK)
            return
        if closed is not None:
            await self._read(entry, order_id)
        entry.learn(workflow_unchecked=False)
        if entry.known.record is not None:
            return
        if closed is None:
            entry.check_at = now + UNRECORDED_RECHECK
        elif closed.how == "failed" or (datetime.now(UTC) - closed.at).total_seconds() >= LATE_RECEIPT:
            entry.learn(workflow_closed=closed)
        else:
            entry.check_at = now + LATE_RECEIPT

    async def _declare(self, key: Key, entry: CacheEntry, order_id: str, declaration: SpecUpdate) -> None:
        try:
            await self._client.apply_spec(order_id, declaration)
        except OrderNotFound:
            # It has ended, and the record says how; or somebody took it out of Temporal.
            entry.learn(workflow_missing=True, record_read=False)
            self._look(key, MISSING_RECHECK)
        else:
            entry.learn(told_generation=declaration.generation)

    async def _release(self, key: Key, entry: CacheEntry, *, ended: bool) -> None:
        others = [name for name in entry.body["metadata"].get("finalizers", ()) if name != FINALIZER]
        metadata: dict[str, Any] = {"finalizers": others or None}
        if ended:
            metadata["labels"] = {ENDED_LABEL: "true"}
        await self._patch(key, entry, Write.RELEASE, {"metadata": metadata})
        if entry.body["metadata"].get("deletionTimestamp") and not others:
            self._memory.forget(key, entry.uid)

    async def _write(self, key: Key, entry: CacheEntry, status: dict[str, Any], value: WritePriority) -> bool:
        """Write a status when it is due; until then it waits, and what changes meanwhile goes with it."""
        now = asyncio.get_running_loop().time()
        since = entry.stale_since = now if entry.stale_since is None else entry.stale_since
        due = write_due(status, entry.body["status"], value, since=since, written_at=entry.written_at)
        if now < due:
            self._look(key, due - now)
            return False
        await self._write_now(key, entry, status)
        return True

    async def _write_now(self, key: Key, entry: CacheEntry, status: dict[str, Any]) -> None:
        shown = entry.body["status"]
        await self._patch(key, entry, Write.STATUS, {"status": change(shown, status)})
        entry.written_at, entry.stale_since = asyncio.get_running_loop().time(), None
        self._events.tell(entry.body, shown, status)

    async def _patch(self, key: Key, entry: CacheEntry, write: Write, body: dict[str, Any]) -> None:
        version = entry.body["metadata"]["resourceVersion"]
        entry.see(await self._kubernetes.patch(key, write, body, version))

    async def _refresh(self, key: Key, entry: CacheEntry) -> None:
        """Somebody was faster: look at what the Order is now."""
        try:
            body = await self._kubernetes.get(key)
        except ObjectNotFound:
            self._memory.forget(key, entry.uid)
        else:
            if not self._own.matches(body["metadata"].get("labels", {})):
                # The watch says so too, but it may be deaf, and what it misses as it lists anew it never says.
                self._memory.forget(key, entry.uid)
                return
            if body["metadata"]["uid"] == entry.uid:
                entry.see(body)
            self._look(key, 0.0)

    async def _show_wait(self, key: Key, entry: CacheEntry, part: Part) -> None:
        """Say what an Order waits for, once it waited longer than a moment."""
        if not entry.waited:
            entry.waited = True
            return
        entry.learn(away=part)
        # One that can't be read is told so when it is planned for.
        with suppress(ValidationError):
            order = OrderResource.model_validate(entry.body)
            if not order.deleting and order.status.ended is None:
                await self._show(key, entry, wanted_status(order, entry.known, datetime.now(UTC)))

    async def _show_unreadable(self, key: Key, entry: CacheEntry, error: ValidationError) -> None:
        problem = "; ".join(f"{'.'.join(map(str, told['loc']))}: {told['msg']}" for told in error.errors())
        generation = entry.body["metadata"].get("generation", 0)
        await self._show(key, entry, invalid_spec_status(entry.body["status"], generation, problem, datetime.now(UTC)))

    async def _show(self, key: Key, entry: CacheEntry, status: dict[str, Any]) -> None:
        try:
            if change(entry.body["status"], status):
                await self._write_now(key, entry, status)
        except ObjectNotFound:
            self._memory.forget(key, entry.uid)
        except ObjectConflict:
            await self._refresh(key, entry)
