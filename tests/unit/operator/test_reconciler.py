"""The reconciler with failing services, conflicting writes and invalid specs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from orderfleet.domain.errors import StoreUnavailable
from orderfleet.domain.status import Step
from orderfleet.operator.cache import Key, OrderCache
from orderfleet.operator.conditions import ConditionType
from orderfleet.operator.crd import OrderResource
from orderfleet.operator.kubernetes import KubernetesUnavailable, ObjectConflict, ObjectNotFound, Write
from orderfleet.operator.reconciler import Reconciler
from orderfleet.operator.status import merge_patch, wanted_status
from orderfleet.services.errors import OrderIdConflict, OrderNotFound, TemporalUnavailable
from orderfleet.settings import Settings
from support.observed_orders import NOW, SETTINGS, body, observed, record

KEY = Key("shop", "o-1")


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


class FakeKubernetes:
    """An API server with one Order."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.order = order
        self.errors: list[Exception] = []
        self.writes: list[Write] = []

    async def patch(self, _key: Key, write: Write, patch: dict[str, Any], version: str) -> dict[str, Any]:
        self.writes.append(write)
        if self.errors:
            raise self.errors.pop(0)
        if version != self.order["metadata"]["resourceVersion"]:
            raise ObjectConflict("old")
        metadata = {**patch.get("metadata", {}), "resourceVersion": str(int(version) + 1)}
        self.order = {
            **self.order,
            "metadata": _without_none({**self.order["metadata"], **metadata}),
            "status": _without_none({**self.order["status"], **patch.get("status", {})}),
        }
        return self.order

    async def get(self, _key: Key) -> dict[str, Any]:
        if self.errors:
            raise self.errors.pop(0)
        return self.order


class FakeClient:
    """A client that raises `error`, or records signals."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.sent: list[Any] = []

    async def start(self, _order: Any) -> Any:
        assert self.error is not None
        raise self.error

    find = start

    async def apply_spec(self, _order_id: str, declaration: Any) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append(declaration)


class FakeRecordLoader:
    def __init__(self, recorded: Any) -> None:
        self.recorded = recorded

    async def read(self, _order_id: str) -> Any:
        if isinstance(self.recorded, Exception):
            raise self.recorded
        return self.recorded


class CountingRecorder:
    """Counts written statuses."""

    def __init__(self) -> None:
        self.count = 0

    def emit(self, *_: Any) -> None:
        self.count += 1


class ReconcilerHarness:
    """A reconciler with fakes of its services."""

    def __init__(self, order: dict[str, Any], recorded: Any = None, settings: Settings = SETTINGS) -> None:
        self.cache = OrderCache()
        self.cache.upsert(order)
        self.api, self.temporal, self.events = FakeKubernetes(order), FakeClient(), CountingRecorder()
        self.delays: list[float] = []
        made: Any = Reconciler(
            cache=self.cache,
            client=self.temporal,  # type: ignore[arg-type]
            records=FakeRecordLoader(recorded),  # type: ignore[arg-type]
            kubernetes=self.api,  # type: ignore[arg-type]
            events=self.events,  # type: ignore[arg-type]
            settings=settings,
            enqueue=lambda _key, after: self.delays.append(after),
        )
        self.reconcile = lambda: made.reconcile(KEY)

    def reason(self, kind: ConditionType) -> str | None:
        conditions = {each["type"]: each for each in self.api.order["status"].get("conditions", ())}
        return conditions[kind]["reason"] if kind in conditions else None


def current_order(recorded, **changes):
    """An Order whose status matches the order store."""
    order_body = body(**changes)
    shown = wanted_status(OrderResource.model_validate(order_body), observed(recorded), NOW)
    return {**order_body, "status": shown}


async def test_reconcile_uncached_order_writes_nothing():
    harness = ReconcilerHarness(body())
    harness.cache.remove(KEY, "uid-1")
    await harness.reconcile()
    assert harness.api.writes == []


async def test_reconcile_missing_order_removes_it_from_cache():
    harness = ReconcilerHarness(body(has_finalizer=False))
    harness.api.errors = [ObjectNotFound("404")]
    await harness.reconcile()
    assert len(harness.cache) == 0


async def test_reconcile_conflicting_write_reads_order_and_enqueues():
    recorded = record(Step.CHARGE)
    harness = ReconcilerHarness(body(), recorded)
    harness.api.order["metadata"] = {**harness.api.order["metadata"], "resourceVersion": "9", "generation": 2}
    await harness.reconcile()
    assert harness.delays == [0.0]
    assert harness.cache[KEY].body["metadata"]["generation"] == 2
    await harness.reconcile()
    assert harness.api.order["status"]["step"] == "charge"
    assert harness.events.count == 1


async def test_reconcile_conflicting_write_of_deleted_order_removes_it():
    harness = ReconcilerHarness(body(has_finalizer=False))
    harness.api.errors = [ObjectConflict("409"), ObjectNotFound("404")]
    await harness.reconcile()
    assert len(harness.cache) == 0


async def test_reconcile_conflicting_write_of_unselected_order_removes_it():
    harness = ReconcilerHarness(
        body(has_finalizer=False), settings=SETTINGS.model_copy(update={"operator_selector": "shard=a"})
    )
    harness.api.order = {**harness.api.order, "metadata": {**harness.api.order["metadata"], "labels": {"shard": "b"}}}
    harness.api.errors = [ObjectConflict("409")]
    await harness.reconcile()
    assert (len(harness.cache), harness.delays, len(harness.api.writes)) == (0, [], 1)


async def test_reconcile_conflict_at_start_is_shown_and_removes_finalizer():
    harness = ReconcilerHarness(body())
    harness.temporal.error = OrderIdConflict("the order id belongs to another order")
    await harness.reconcile()
    assert harness.api.writes == [Write.STATUS, Write.REMOVE_FINALIZER]
    assert harness.reason(ConditionType.ACCEPTED) == "Conflict"


@pytest.mark.parametrize(
    ("error", "recorded", "reason"),
    [
        (TemporalUnavailable("no response"), None, "TemporalUnavailable"),
        (None, StoreUnavailable("no response"), "StoreUnavailable"),
    ],
)
async def test_reconcile_unavailable_dependency_is_shown_from_second_failure(error, recorded, reason):
    harness = ReconcilerHarness(body(), recorded)
    harness.temporal.error = error
    for _ in range(3):
        with pytest.raises((TemporalUnavailable, StoreUnavailable)):
            await harness.reconcile()
    assert harness.reason(ConditionType.RECONCILING) == reason
    assert harness.api.writes == [Write.STATUS]


async def test_reconcile_failed_write_of_unavailability_raises():
    harness = ReconcilerHarness(body(), StoreUnavailable("no response"))
    with pytest.raises(StoreUnavailable):
        await harness.reconcile()
    harness.api.errors = [ObjectConflict("409")]
    with pytest.raises(StoreUnavailable):
        await harness.reconcile()
    harness.api.errors = [KubernetesUnavailable("no response")]
    with pytest.raises(KubernetesUnavailable):
        await harness.reconcile()


async def test_reconcile_missing_workflow_is_shown_and_searched_again():
    recorded = record()
    harness = ReconcilerHarness(current_order(recorded, generation=2, approved=True), recorded)
    harness.temporal.error = OrderNotFound("no workflow")
    await harness.reconcile()
    assert harness.reason(ConditionType.RECONCILING) == "WorkflowMissing"
    assert 30.0 in harness.delays
    harness.temporal.error = None
    await harness.reconcile()
    assert [update.generation for update in harness.temporal.sent] == [2]


async def test_reconcile_workflow_missing_again_writes_nothing():
    """Otherwise the status would alternate every 30 seconds."""
    recorded = record()
    harness = ReconcilerHarness(current_order(recorded, generation=2, approved=True), recorded)
    harness.temporal.error = OrderNotFound("no workflow")
    await harness.reconcile()
    shown = harness.api.order["status"]
    for _ in range(3):
        harness.cache[KEY].written_at = float("-inf")
        await harness.reconcile()
    assert harness.api.writes == [Write.STATUS]
    assert harness.api.order["status"] == shown


async def test_reconcile_workflow_ended_before_signal_shows_its_end():
    harness = ReconcilerHarness(
        current_order(record(), generation=2, approved=True), record(Step.CANCELED, version=5, canceled=True)
    )
    harness.cache[KEY].observe(record=record(), record_read=True)
    harness.temporal.error = OrderNotFound("no workflow")
    await harness.reconcile()
    assert harness.api.order["status"]["step"] == "canceled"
    assert harness.api.writes == [Write.STATUS, Write.REMOVE_FINALIZER]


async def test_reconcile_invalid_spec_is_shown():
    order_body = body()
    order_body["spec"]["items"] = "nonsense"
    harness = ReconcilerHarness(order_body)
    await harness.reconcile()
    await harness.reconcile()
    assert harness.reason(ConditionType.ACCEPTED) == "InvalidSpec"
    assert harness.reason(ConditionType.STALLED) == "InvalidSpec"
    assert harness.api.writes == [Write.STATUS]


def deleted_invalid_order(**changes):
    order_body = body(deletionTimestamp="2026-11-01T00:00:00Z", generation=2, **changes)
    order_body["spec"]["items"] = "nonsense"
    return order_body


async def test_reconcile_deleted_invalid_order_is_canceled_and_removed():
    harness = ReconcilerHarness(deleted_invalid_order(), record())
    await harness.reconcile()
    assert [(update.generation, update.cancel) for update in harness.temporal.sent] == [(2, True)]
    assert harness.api.writes == [Write.REMOVE_FINALIZER]
    assert len(harness.cache) == 0


async def test_reconcile_deleted_invalid_order_waits_for_temporal_without_write():
    harness = ReconcilerHarness(deleted_invalid_order(), record())
    harness.temporal.error = TemporalUnavailable("no response")
    for _ in range(3):
        with pytest.raises(TemporalUnavailable):
            await harness.reconcile()
    assert harness.api.writes == []
    harness.temporal.error = None
    await harness.reconcile()
    assert harness.api.writes == [Write.REMOVE_FINALIZER]


async def test_reconcile_unknown_deletion_policy_is_shown():
    harness = ReconcilerHarness(deleted_invalid_order(deletionPolicy="Someday"), record())
    await harness.reconcile()
    await harness.reconcile()
    assert harness.temporal.sent == []
    assert harness.api.writes == [Write.STATUS]
    assert harness.reason(ConditionType.STALLED) == "InvalidSpec"


async def test_reconcile_details_are_debounced():
    recorded = record(last_error="timed out")
    harness = ReconcilerHarness(current_order(record()), recorded)
    await harness.reconcile()
    assert harness.api.writes == []
    assert 0 < harness.delays[0] < 0.71
    harness.cache[KEY].observe(record=record(Step.CHARGE, version=2, last_error="timed out"))
    await harness.reconcile()
    assert harness.api.writes == [Write.STATUS]


async def test_reconcile_steps_in_quick_succession_are_one_write():
    harness = ReconcilerHarness(body(), record(Step.CHARGE))
    await harness.reconcile()
    harness.cache[KEY].observe(record=record(Step.SHIPPING, version=2))
    await harness.reconcile()
    assert harness.api.writes == [Write.STATUS]
    await asyncio.sleep(max(harness.delays))
    await harness.reconcile()
    assert harness.api.writes == [Write.STATUS, Write.STATUS]
    assert merge_patch(harness.api.order["status"], {**harness.api.order["status"], "step": "shipping"}) == {}
