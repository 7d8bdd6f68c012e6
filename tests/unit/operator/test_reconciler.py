"""What the reconciler does with answers that are not as hoped."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from declared import NOW, SETTINGS, body, observed, record

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

KEY = Key("shop", "o-1")


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


class Api:
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
        told = {"metadata": {**patch.get("metadata", {}), "resourceVersion": str(int(version) + 1)}}
        self.order = {
            **self.order,
            "metadata": _without_none({**self.order["metadata"], **told["metadata"]}),
            "status": _without_none({**self.order["status"], **patch.get("status", {})}),
        }
        return self.order

    async def get(self, _key: Key) -> dict[str, Any]:
        if self.errors:
            raise self.errors.pop(0)
        return self.order


class Temporal:
    """The client, answering as told."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.declared: list[Any] = []

    async def start(self, _order: Any) -> Any:
        assert self.error is not None
        raise self.error

    find = start

    async def declare(self, _order_id: str, declaration: Any) -> None:
        if self.error is not None:
            raise self.error
        self.declared.append(declaration)


class Record:
    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def read(self, _order_id: str) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Story:
    def __init__(self) -> None:
        self.told = 0

    def emit(self, *_: Any) -> None:
        self.told += 1


class Desk:
    """A reconciler with everything around it made up."""

    def __init__(self, order: dict[str, Any], answer: Any = None, settings: Settings = SETTINGS) -> None:
        self.cache = OrderCache()
        self.cache.upsert(order)
        self.api, self.temporal, self.story = Api(order), Temporal(), Story()
        self.looks: list[float] = []
        made: Any = Reconciler(
            cache=self.cache,
            client=self.temporal,  # type: ignore[arg-type]
            records=Record(answer),  # type: ignore[arg-type]
            kubernetes=self.api,  # type: ignore[arg-type]
            events=self.story,  # type: ignore[arg-type]
            settings=settings,
            enqueue=lambda _key, after: self.looks.append(after),
        )
        self.reconcile = lambda: made.reconcile(KEY)

    def reason(self, kind: ConditionType) -> str | None:
        told = {each["type"]: each for each in self.api.order["status"].get("conditions", ())}
        return told[kind]["reason"] if kind in told else None


def settled(answer, **changes):
    """An Order that shows what the record tells."""
    told = body(**changes)
    shown = wanted_status(OrderResource.model_validate(told), observed(answer), NOW)
    return {**told, "status": shown}


async def test_reconcile_uncached_order_writes_nothing():
    desk = Desk(body())
    desk.cache.remove(KEY, "uid-1")
    await desk.reconcile()
    assert desk.api.writes == []


async def test_reconcile_missing_order_removes_it_from_cache():
    desk = Desk(body(has_finalizer=False))
    desk.api.errors = [ObjectNotFound("404")]
    await desk.reconcile()
    assert len(desk.cache) == 0


async def test_reconcile_conflicting_write_reads_order_and_enqueues():
    answer = record(Step.CHARGE)
    desk = Desk(body(), answer)
    desk.api.order["metadata"] = {**desk.api.order["metadata"], "resourceVersion": "9", "generation": 2}
    await desk.reconcile()
    assert desk.looks == [0.0]
    assert desk.cache[KEY].body["metadata"]["generation"] == 2
    await desk.reconcile()
    assert desk.api.order["status"]["step"] == "charge"
    assert desk.story.told == 1


async def test_reconcile_conflicting_write_of_deleted_order_removes_it():
    desk = Desk(body(has_finalizer=False))
    desk.api.errors = [ObjectConflict("409"), ObjectNotFound("404")]
    await desk.reconcile()
    assert len(desk.cache) == 0


async def test_reconcile_conflicting_write_of_unselected_order_removes_it():
    desk = Desk(body(has_finalizer=False), settings=SETTINGS.model_copy(update={"operator_selector": "shard=a"}))
    desk.api.order = {**desk.api.order, "metadata": {**desk.api.order["metadata"], "labels": {"shard": "b"}}}
    desk.api.errors = [ObjectConflict("409")]
    await desk.reconcile()
    assert (len(desk.cache), desk.looks, len(desk.api.writes)) == (0, [], 1)


async def test_reconcile_conflict_at_start_is_shown_and_removes_finalizer():
    desk = Desk(body())
    desk.temporal.error = OrderIdConflict("taken")
    await desk.reconcile()
    assert desk.api.writes == [Write.STATUS, Write.REMOVE_FINALIZER]
    assert desk.reason(ConditionType.ACCEPTED) == "Conflict"


@pytest.mark.parametrize(
    ("error", "answer", "reason"),
    [
        (TemporalUnavailable("away"), None, "TemporalUnavailable"),
        (None, StoreUnavailable("away"), "StoreUnavailable"),
    ],
)
async def test_reconcile_unavailable_dependency_is_shown_from_second_failure(error, answer, reason):
    desk = Desk(body(), answer)
    desk.temporal.error = error
    for _ in range(3):
        with pytest.raises((TemporalUnavailable, StoreUnavailable)):
            await desk.reconcile()
    assert desk.reason(ConditionType.RECONCILING) == reason
    assert desk.api.writes == [Write.STATUS]


async def test_reconcile_failed_write_of_unavailability_raises():
    desk = Desk(body(), StoreUnavailable("away"))
    with pytest.raises(StoreUnavailable):
        await desk.reconcile()
    desk.api.errors = [ObjectConflict("409")]
    with pytest.raises(StoreUnavailable):
        await desk.reconcile()
    desk.api.errors = [KubernetesUnavailable("away too")]
    with pytest.raises(KubernetesUnavailable):
        await desk.reconcile()


async def test_reconcile_missing_workflow_is_shown_and_searched_again():
    answer = record()
    desk = Desk(settled(answer, generation=2, approved=True), answer)
    desk.temporal.error = OrderNotFound("no workflow")
    await desk.reconcile()
    assert desk.reason(ConditionType.RECONCILING) == "WorkflowMissing"
    assert 30.0 in desk.looks
    desk.temporal.error = None
    await desk.reconcile()
    assert [told.generation for told in desk.temporal.declared] == [2]


async def test_reconcile_workflow_missing_again_writes_nothing():
    """It would show as there and as missing in turns, every 30 seconds."""
    answer = record()
    desk = Desk(settled(answer, generation=2, approved=True), answer)
    desk.temporal.error = OrderNotFound("no workflow")
    await desk.reconcile()
    shown = desk.api.order["status"]
    for _ in range(3):
        desk.cache[KEY].written_at = float("-inf")
        await desk.reconcile()
    assert desk.api.writes == [Write.STATUS]
    assert desk.api.order["status"] == shown


async def test_reconcile_workflow_ended_before_signal_shows_its_end():
    desk = Desk(settled(record(), generation=2, approved=True), record(Step.CANCELED, version=5, canceled=True))
    desk.cache[KEY].observe(record=record(), record_read=True)
    desk.temporal.error = OrderNotFound("no workflow")
    await desk.reconcile()
    assert desk.api.order["status"]["step"] == "canceled"
    assert desk.api.writes == [Write.STATUS, Write.REMOVE_FINALIZER]


async def test_reconcile_invalid_spec_is_shown():
    told = body()
    told["spec"]["items"] = "nonsense"
    desk = Desk(told)
    await desk.reconcile()
    await desk.reconcile()
    assert desk.reason(ConditionType.ACCEPTED) == "InvalidSpec"
    assert desk.reason(ConditionType.STALLED) == "InvalidSpec"
    assert desk.api.writes == [Write.STATUS]


def unreadable_and_deleted(**changes):
    told = body(deletionTimestamp="2026-11-01T00:00:00Z", generation=2, **changes)
    told["spec"]["items"] = "nonsense"
    return told


async def test_reconcile_deleted_invalid_order_is_canceled_and_removed():
    desk = Desk(unreadable_and_deleted(), record())
    await desk.reconcile()
    assert [(told.generation, told.cancel) for told in desk.temporal.declared] == [(2, True)]
    assert desk.api.writes == [Write.REMOVE_FINALIZER]
    assert len(desk.cache) == 0


async def test_reconcile_deleted_invalid_order_waits_for_temporal_without_write():
    desk = Desk(unreadable_and_deleted(), record())
    desk.temporal.error = TemporalUnavailable("away")
    for _ in range(3):
        with pytest.raises(TemporalUnavailable):
            await desk.reconcile()
    assert desk.api.writes == []
    desk.temporal.error = None
    await desk.reconcile()
    assert desk.api.writes == [Write.REMOVE_FINALIZER]


async def test_reconcile_unknown_deletion_policy_is_shown():
    desk = Desk(unreadable_and_deleted(deletionPolicy="Someday"), record())
    await desk.reconcile()
    await desk.reconcile()
    assert desk.temporal.declared == []
    assert desk.api.writes == [Write.STATUS]
    assert desk.reason(ConditionType.STALLED) == "InvalidSpec"


async def test_reconcile_details_are_debounced():
    answer = record(last_error="timed out")
    desk = Desk(settled(record()), answer)
    await desk.reconcile()
    assert desk.api.writes == []
    assert 0 < desk.looks[0] < 0.71
    desk.cache[KEY].observe(record=record(Step.CHARGE, version=2, last_error="timed out"))
    await desk.reconcile()
    assert desk.api.writes == [Write.STATUS]


async def test_reconcile_steps_in_quick_succession_are_one_write():
    desk = Desk(body(), record(Step.CHARGE))
    await desk.reconcile()
    desk.cache[KEY].observe(record=record(Step.SHIPPING, version=2))
    await desk.reconcile()
    assert desk.api.writes == [Write.STATUS]
    await asyncio.sleep(max(desk.looks))
    await desk.reconcile()
    assert desk.api.writes == [Write.STATUS, Write.STATUS]
    assert merge_patch(desk.api.order["status"], {**desk.api.order["status"], "step": "shipping"}) == {}
