"""Reconciles one Order at a time: plans its next actions, executes them and debounces status writes.

Only this module writes to an Order. All times are the event loop's, in seconds.
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
from orderfleet.operator import plan as plans
from orderfleet.operator.cache import CacheEntry, Dependency, Key, OrderCache, RecordLoader
from orderfleet.operator.crd import DeletedOrder, OrderResource
from orderfleet.operator.events import EventRecorder
from orderfleet.operator.kubernetes import Kubernetes, ObjectConflict, ObjectNotFound, Write
from orderfleet.operator.status import INITIAL_STEPS, WritePriority, invalid_spec_status, merge_patch, wanted_status
from orderfleet.services.errors import OrderIdConflict, OrderNotFound, StartOutcome, TemporalUnavailable
from orderfleet.services.workflow_client import Claim, OrderClient
from orderfleet.settings import Settings

MIN_WRITE_INTERVAL: Final = 0.1
"""Seconds between two status writes of an Order, so that steps in quick succession are one write."""

FIRST_STATUS_DEBOUNCE: Final = 0.7
"""Debounce of a first status that shows an initial step, in seconds."""

NORMAL_DEBOUNCE: Final = 0.7
"""Debounce of details, in seconds."""

LOW_DEBOUNCE: Final = 5.0
"""Debounce of the state of a shipment, in seconds."""

UNAVAILABLE_THRESHOLD: Final = 1.0
"""Seconds without a response of a service after which an Order shows it as unavailable."""

MISSING_RECHECK: Final = 30.0
"""Seconds after which a missing workflow is searched again."""

UNRECORDED_CHECK: Final = 5.0
"""Seconds without a row in the order store after which the state of a started workflow is read from Temporal."""

UNRECORDED_RECHECK: Final = 60.0
"""Seconds after which it is read again, while the workflow runs."""

LATE_RECORD_GRACE: Final = 30.0
"""Seconds after the end of a workflow in which one of its activities may still record the order."""

_MAX_PLANS: Final = 12
"""Upper bound of consecutive plans for an Order, more than any Order needs."""


def write_due(
    status: Mapping[str, Any], shown: Mapping[str, Any], priority: WritePriority, *, since: float, written_at: float
) -> float:
    """The earliest time of a status write.

    Args:
        status: the status to write.
        shown: the current status.
        priority: of the difference.
        since: time since which the current status is out of date.
        written_at: time of the last status write.
    """
    if priority is not WritePriority.IMMEDIATE:
        return since + (LOW_DEBOUNCE if priority is WritePriority.LOW else NORMAL_DEBOUNCE)
    if status.get("step") in INITIAL_STEPS and "step" not in shown:
        return since + FIRST_STATUS_DEBOUNCE
    return since if status.get("ended") else written_at + MIN_WRITE_INTERVAL


class Reconciler:
    """Reconciles Orders.

    Args:
        cache: the watched Orders.
        client: starts, searches and signals workflows.
        records: reads orders that the change feed has not delivered.
        kubernetes: writes status, finalizer and label.
        events: emits Events about each written status.
        settings: the label selector of its Orders, the defaults of orders that start.
        enqueue: has an Order reconciled again after a number of seconds.
    """

    def __init__(
        self,
        *,
        cache: OrderCache,
        client: OrderClient,
        records: RecordLoader,
        kubernetes: Kubernetes,
        events: EventRecorder,
        settings: Settings,
        enqueue: Callable[[Key, float], None],
    ) -> None:
        self._cache = cache
        self._client = client
        self._records = records
        self._kubernetes = kubernetes
        self._events = events
        self._settings = settings
        self._selector = LabelSelector.read(settings.operator_selector)
        self._enqueue = enqueue

    async def reconcile(self, key: Key) -> None:
        """Reconcile an Order.

        Raises:
            OrderfleetError: a service does not respond, or rejected a request; try again later.
        """
        entry = self._cache[key]
        if entry is None:
            return
        started_at = asyncio.get_running_loop().time()
        try:
            await self._reconcile(key, entry)
        except ObjectNotFound:
            self._cache.remove(key, entry.uid)
        except ObjectConflict:
            await self._refresh(key, entry)
        except (TemporalUnavailable, StoreUnavailable) as error:
            entry.has_waited = (
                entry.has_waited or asyncio.get_running_loop().time() - started_at >= UNAVAILABLE_THRESHOLD
            )
            await self._show_unavailable(
                key, entry, Dependency.STORE if isinstance(error, StoreUnavailable) else Dependency.TEMPORAL
            )
            raise
        except ValidationError as error:
            await self._show_invalid_spec(key, entry, error)
        finally:
            entry.serialize()

    async def _reconcile(self, key: Key, entry: CacheEntry) -> None:
        entry.observe(unavailable=None, workflow_missing=False)
        if entry.check_workflow_at is not None and asyncio.get_running_loop().time() >= entry.check_workflow_at:
            entry.check_workflow_at = None
            entry.observe(workflow_unchecked=True)
        for _ in range(_MAX_PLANS):
            actions = self._plan(entry)
            # A list and not `any`, which would skip the actions after the first true result.
            if True not in [await self._execute(key, entry, action) for action in actions]:
                entry.has_waited = False
                self._schedule_workflow_check(key, entry)
                return
        raise RuntimeError(f"{key} still has actions after {_MAX_PLANS} plans")

    def _schedule_workflow_check(self, key: Key, entry: CacheEntry) -> None:
        """Schedule a check of the workflow of an order without a row: it may have ended without recording it."""
        observed = entry.observed
        released = FINALIZER not in entry.body["metadata"].get("finalizers", ())
        if released or observed.record is not None or observed.workflow is None or observed.workflow_closed is not None:
            entry.check_workflow_at = None
            return
        now = asyncio.get_running_loop().time()
        if entry.check_workflow_at is None:
            entry.check_workflow_at = now + UNRECORDED_CHECK
        if entry.check_workflow_at > now:
            self._enqueue(key, entry.check_workflow_at - now)

    def _plan(self, entry: CacheEntry) -> list[plans.Action]:
        try:
            order = OrderResource.model_validate(entry.body)
            return plans.plan(order, entry.body["status"], entry.observed, self._settings, datetime.now(UTC))
        except ValidationError:
            deleted = DeletedOrder.model_validate(entry.body)
            actions = plans.plan_deleted_invalid(deleted, entry.observed) if deleted.deleting else None
            if actions is None:
                raise
            return actions

    async def _execute(self, key: Key, entry: CacheEntry, action: plans.Action) -> bool:
        """Execute an action; return whether to plan again."""
        match action:
            case plans.ReadRecord(order_id):
                await self._read_record(entry, order_id)
            case plans.AddFinalizer():
                finalizers = [*entry.body["metadata"].get("finalizers", ()), FINALIZER]
                await self._patch(key, entry, Write.ADD_FINALIZER, {"metadata": {"finalizers": finalizers}})
            case plans.StartWorkflow(order):
                await self._start_workflow(entry, order)
            case plans.FindWorkflow(claim):
                await self._find_workflow(entry, claim)
            case plans.CheckWorkflow(order_id):
                await self._check_workflow(key, entry, order_id)
            case plans.ApplySpec(order_id, spec_update):
                await self._apply_spec(key, entry, order_id, spec_update)
            case plans.WriteStatus(status, priority):
                return await self._write_when_due(key, entry, status, priority)
            case plans.RemoveFinalizer(ended):
                await self._remove_finalizer(key, entry, ended=ended)
        return True

    async def _read_record(self, entry: CacheEntry, order_id: str) -> None:
        record, last = await self._records.read(order_id), entry.observed.record
        newer = record is not None and (last is None or last.version < record.version)
        entry.observe(record=record if newer else last, record_read=True)

    async def _start_workflow(self, entry: CacheEntry, order: OrderInput) -> None:
        try:
            started = await self._client.start(order)
        except OrderIdConflict as error:
            entry.observe(conflict=str(error))
            return
        new = started.outcome is StartOutcome.STARTED
        entry.observe(workflow=started, started_generation=order.generation if new else 0)

    async def _find_workflow(self, entry: CacheEntry, claim: Claim) -> None:
        try:
            entry.observe(workflow=await self._client.find(claim))
        except OrderIdConflict as error:
            entry.observe(conflict=str(error))
        except OrderNotFound:
            entry.observe(workflow_searched=True)

    async def _check_workflow(self, key: Key, entry: CacheEntry, order_id: str) -> None:
        now = asyncio.get_running_loop().time()
        try:
            closed = await self._client.closed(order_id)
        except OrderNotFound:
            # The reason stays until a check finds the workflow, so the status does not change back and forth.
            entry.observe(workflow_unchecked=False, workflow_missing=True, record_read=False)
            entry.check_workflow_at = now
            self._enqueue(key, MISSING_RECHECK)
            return
        if closed is not None:
            await self._read_record(entry, order_id)
        entry.observe(workflow_unchecked=False)
        if entry.observed.record is not None:
            return
        if closed is None:
            entry.check_workflow_at = now + UNRECORDED_RECHECK
        elif closed.how == "failed" or (datetime.now(UTC) - closed.at).total_seconds() >= LATE_RECORD_GRACE:
            entry.observe(workflow_closed=closed)
        else:
            entry.check_workflow_at = now + LATE_RECORD_GRACE

    async def _apply_spec(self, key: Key, entry: CacheEntry, order_id: str, spec_update: SpecUpdate) -> None:
        try:
            await self._client.apply_spec(order_id, spec_update)
        except OrderNotFound:
            # The workflow has ended, and the order store has its result; or it was deleted from Temporal.
            entry.observe(workflow_missing=True, record_read=False)
            self._enqueue(key, MISSING_RECHECK)
        else:
            entry.observe(sent_generation=spec_update.generation)

    async def _remove_finalizer(self, key: Key, entry: CacheEntry, *, ended: bool) -> None:
        others = [name for name in entry.body["metadata"].get("finalizers", ()) if name != FINALIZER]
        metadata: dict[str, Any] = {"finalizers": others or None}
        if ended:
            metadata["labels"] = {ENDED_LABEL: "true"}
        await self._patch(key, entry, Write.REMOVE_FINALIZER, {"metadata": metadata})
        if entry.body["metadata"].get("deletionTimestamp") and not others:
            self._cache.remove(key, entry.uid)

    async def _write_when_due(
        self, key: Key, entry: CacheEntry, status: dict[str, Any], priority: WritePriority
    ) -> bool:
        """Write a status if it is due, or else enqueue the Order for then; return whether it was written."""
        now = asyncio.get_running_loop().time()
        since = entry.stale_since = now if entry.stale_since is None else entry.stale_since
        due = write_due(status, entry.body["status"], priority, since=since, written_at=entry.written_at)
        if now < due:
            self._enqueue(key, due - now)
            return False
        await self._write_now(key, entry, status)
        return True

    async def _write_now(self, key: Key, entry: CacheEntry, status: dict[str, Any]) -> None:
        shown = entry.body["status"]
        await self._patch(key, entry, Write.STATUS, {"status": merge_patch(shown, status)})
        entry.written_at, entry.stale_since = asyncio.get_running_loop().time(), None
        self._events.emit(entry.body, shown, status)

    async def _patch(self, key: Key, entry: CacheEntry, write: Write, body: dict[str, Any]) -> None:
        version = entry.body["metadata"]["resourceVersion"]
        entry.update(await self._kubernetes.patch(key, write, body, version))

    async def _refresh(self, key: Key, entry: CacheEntry) -> None:
        """Read an Order that has changed since the cached version, and enqueue it."""
        try:
            body = await self._kubernetes.get(key)
        except ObjectNotFound:
            self._cache.remove(key, entry.uid)
        else:
            if not self._selector.matches(body["metadata"].get("labels", {})):
                # The watch reports a label change as a deletion. After a broken connection it does not: a new listing
                # leaves the Order out without an event.
                self._cache.remove(key, entry.uid)
                return
            if body["metadata"]["uid"] == entry.uid:
                entry.update(body)
            self._enqueue(key, 0.0)

    async def _show_unavailable(self, key: Key, entry: CacheEntry, dependency: Dependency) -> None:
        """Show which service is unavailable, from the second failure or after `UNAVAILABLE_THRESHOLD`."""
        if not entry.has_waited:
            entry.has_waited = True
            return
        entry.observe(unavailable=dependency)
        # An invalid spec is shown by the next plan.
        with suppress(ValidationError):
            order = OrderResource.model_validate(entry.body)
            if not order.deleting and order.status.ended is None:
                await self._show(key, entry, wanted_status(order, entry.observed, datetime.now(UTC)))

    async def _show_invalid_spec(self, key: Key, entry: CacheEntry, error: ValidationError) -> None:
        problem = "; ".join(f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in error.errors())
        generation = entry.body["metadata"].get("generation", 0)
        await self._show(key, entry, invalid_spec_status(entry.body["status"], generation, problem, datetime.now(UTC)))

    async def _show(self, key: Key, entry: CacheEntry, status: dict[str, Any]) -> None:
        try:
            if merge_patch(entry.body["status"], status):
                await self._write_now(key, entry, status)
        except ObjectNotFound:
            self._cache.remove(key, entry.uid)
        except ObjectConflict:
            await self._refresh(key, entry)
