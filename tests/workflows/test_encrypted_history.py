"""With encryption, Temporal stores no personal data in plain text, and a missing key loses no order."""

from __future__ import annotations

import base64
import os
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowFailureError

from orderfleet.domain import names
from orderfleet.domain.errors import CarrierRefused
from orderfleet.domain.order import Address, Customer
from orderfleet.domain.status import OrderStatus, Step
from orderfleet.services.errors import Source, TemporalUnavailable
from orderfleet.services.inspection import OrderInspector
from orderfleet.services.orders import OrderService
from orderfleet.services.workflow_client import Change, OrderClient
from orderfleet.settings import Settings
from orderfleet.temporal.connection import connect
from support.factories import AUTO, ELSEWHERE
from support.polling import eventually
from support.scripted_providers import fails
from support.workflow_env import workflow_test_env
from workflows.pausable_workers import has, pausable_workers

MARK = "Zaphod"
CUSTOMER = Customer(name=f"{MARK} One", email=f"{MARK}@two.example")
ADDRESS = Address(street=f"{MARK} Lane 3", city=f"{MARK}ville", state=f"{MARK}4", zip="Z5", country=f"{MARK}6")


def write(folder: Path, key_id: str) -> bytes:
    key = base64.b64encode(os.urandom(32))
    (folder / key_id).write_bytes(key)
    return key


async def client(address: str, folder: Path, key_id: str | None) -> Client:
    return await connect(Settings(temporal_address=address, encryption_keys_dir=folder, encryption_key_id=key_id))


async def everything(temporal: Client, order_id: str) -> dict[str, bytes]:
    """What Temporal stores of an order, not decrypted."""
    found: dict[str, bytes] = {}
    async for known in temporal.list_workflows('WorkflowId >= "" AND StartTime > "2020-01-01T00:00:00Z"'):
        if order_id not in known.id:
            continue
        handle = temporal.get_workflow_handle(known.id)
        found[f"{known.id} listed"] = known.raw_info.SerializeToString()
        found[f"{known.id} described"] = (await handle.describe()).raw_description.SerializeToString()
        async for event in handle.fetch_history_events():
            found[f"{known.id} {event.event_id} {EventType.Name(event.event_type)}"] = event.SerializeToString()
    return found


@pytest.mark.slow
async def test_history_of_any_order_has_no_personal_data(
    temporal_address: str, temporal_client: Client, postgres_url: str, task_queues: Any, tmp_path: Path
) -> None:
    write(tmp_path, "k1")
    temporal = await client(temporal_address, tmp_path, "k1")
    given = {"customer": CUSTOMER, "address": ADDRESS}
    async with workflow_test_env(temporal, postgres_url, task_queues.orders, task_queues.shipping) as workflow_env:
        # One order is shipped with another address, one is refused by the carrier with a message, one is invalid.
        await workflow_env.start(workflow_env.order("enc-shipped", **given))
        await workflow_env.until_recorded("enc-shipped", lambda status: status.step is Step.MANUAL_REVIEW)
        await workflow_env.client.change(
            "enc-shipped", Change.update_address(ADDRESS.model_copy(update={"street": f"{MARK} Road 7"}))
        )
        await workflow_env.client.signal("enc-shipped", names.UPDATE_ADDRESS, [ADDRESS])
        await workflow_env.client.change("enc-shipped", Change.approve())
        await workflow_env.handle("enc-shipped").result()

        workflow_env.carrier.booking.always = fails(CarrierRefused(f"no delivery to {MARK} Lane 3"))
        await workflow_env.client.start(workflow_env.order("enc-refused", review=AUTO, **given))
        with pytest.raises(WorkflowFailureError):
            await workflow_env.handle("enc-refused").result()
        refused = await workflow_env.until_recorded("enc-refused", lambda status: status.completed_at is not None)
        assert MARK in (refused.dispatch_failed_reason or ""), "the mark must have gone through"

        await workflow_env.client.start(workflow_env.order("enc-wrong", **{**given, "currency": "ZAP"}))
        with pytest.raises(WorkflowFailureError) as wrong:
            await workflow_env.handle("enc-wrong").result()
        assert "ZAP" in str(wrong.value.cause)

        lines = [line for run in await OrderInspector(temporal).history("enc-refused") for line in run.events]
        assert any(MARK in line.what for line in lines), "a client with the key reads failures"

    for order_id in ("enc-shipped", "enc-refused", "enc-wrong"):
        found = await eventually(lambda each=order_id: everything(temporal_client, each), lambda parts: len(parts) > 5)
        shown = [where for where, part in found.items() if MARK.encode() in part]
        assert not shown, shown
        assert any(b"encryption-key-id" in part for part in found.values())


async def test_key_rotation_during_an_order_loses_nothing(
    temporal_address: str, postgres_url: str, task_queues: Any, tmp_path: Path
) -> None:
    write(tmp_path, "k1")
    queues = task_queues.orders, task_queues.shipping
    before = await client(temporal_address, tmp_path, "k1")
    async with workflow_test_env(before, postgres_url, *queues) as old:
        await old.start(old.order("enc-rotated", address=ADDRESS))
        await old.until_recorded("enc-rotated", lambda status: status.step is Step.MANUAL_REVIEW)
        # The key is distributed to every process first, and then used by one process after the other.
        write(tmp_path, "k2")
        after = await client(temporal_address, tmp_path, "k2")
        async with workflow_test_env(after, postgres_url, *queues) as new:
            await new.client.change("enc-rotated", Change.update_address(ELSEWHERE))
            await new.until_recorded("enc-rotated", lambda status: status.address == ELSEWHERE)
            status = await old.handle("enc-rotated").query(names.STATUS_QUERY, result_type=OrderStatus)
            assert status.address == ELSEWHERE
            await new.client.change("enc-rotated", Change.approve())
            status = await new.handle("enc-rotated").result()
            assert (status.step, status.address) == (Step.SHIPPED, ELSEWHERE)
    used = await everything(before, "enc-rotated")
    for key_id in (b"k1", b"k2"):
        assert any(key_id in part for part in used.values()), key_id


async def test_client_without_key_gets_error_and_recorded_order(
    temporal_address: str, postgres_url: str, task_queues: Any, tmp_path: Path
) -> None:
    write(tmp_path, "k1")
    temporal = await client(temporal_address, tmp_path, "k1")
    async with workflow_test_env(temporal, postgres_url, task_queues.orders, task_queues.shipping) as workflow_env:
        order = workflow_env.order("enc-keyless", review=AUTO)
        await workflow_env.client.start(order)
        await workflow_env.handle("enc-keyless").result()
        keyless = OrderClient(await client(temporal_address, tmp_path / "nothing", None))
        for ask in (lambda: keyless.status("enc-keyless"), lambda: keyless.start(order)):
            # A busy machine may also time out.
            await eventually(
                lambda each=ask: unavailable(each),
                lambda text: "can't be read: the payload is encrypted with the key 'k1'" in text,
                60,
            )
        live = await OrderService(keyless, workflow_env.reads, timeout=timedelta(seconds=30)).live("enc-keyless")
        assert (live.source, live.step) == (Source.DATABASE, Step.SHIPPED)


async def unavailable(ask: Callable[[], Awaitable[object]]) -> str:
    with pytest.raises(TemporalUnavailable) as refused:
        await ask()
    return str(refused.value)


@pytest.mark.slow  # Temporal waits longer before each further try of a workflow task
async def test_worker_without_key_reports_it_and_loses_nothing(
    temporal_address: str, postgres_url: str, task_queues: Any, tmp_path: Path
) -> None:
    mounted, elsewhere = tmp_path / "mounted", tmp_path / "elsewhere"
    mounted.mkdir()
    elsewhere.mkdir()
    key = write(elsewhere, "k1")
    caller = await client(temporal_address, elsewhere, "k1")
    keyless = await client(temporal_address, mounted, None)
    async with workflow_test_env(keyless, postgres_url, task_queues.orders, task_queues.shipping) as workflow_env:
        handle = await caller.start_workflow(
            names.ORDER_WORKFLOW,
            workflow_env.order("enc-later", address=ADDRESS),
            id=names.order_workflow_id("enc-later"),
            task_queue=task_queues.orders,
        )
        # A signal that can't be decrypted must not be dropped.
        await handle.signal(names.APPROVE)
        await handle.signal(names.UPDATE_ADDRESS, ELSEWHERE)
        await has(handle, EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED)
        (run,) = await OrderInspector(keyless).history("enc-later")
        failures = [line.what for line in run.events if line.type == "WorkflowTaskFailed"]
        assert "encrypted with the key 'k1'" in failures[0]
        assert f"{mounted / 'k1'} can't be read" in failures[0]

        (mounted / "k1").write_bytes(key)
        # Temporal retries a failed workflow task with growing waits.
        recorded = await eventually(
            lambda: workflow_env.reads.order("enc-later"), lambda o: o is not None and o.status.step is Step.SHIPPED, 90
        )
        assert recorded is not None
        assert recorded.status.address == ELSEWHERE


@pytest.mark.slow
async def test_activities_without_key_fail_no_order(
    temporal_address: str, postgres_url: str, task_queues: Any, tmp_path: Path
) -> None:
    mounted, elsewhere = tmp_path / "mounted", tmp_path / "elsewhere"
    mounted.mkdir()
    elsewhere.mkdir()
    key = write(elsewhere, "k1")
    temporal = await client(temporal_address, elsewhere, "k1")
    keyless = await client(temporal_address, mounted, None)
    queues = task_queues.orders, task_queues.shipping
    async with pausable_workers(temporal, postgres_url, *queues, activities=keyless) as made:
        handle = await made.env.start(made.env.order("enc-activity", review=AUTO))
        # The attempts are used up, and the workflow waits nevertheless.
        await has(handle, EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED, EventType.EVENT_TYPE_TIMER_STARTED)
        (mounted / "k1").write_bytes(key)
        assert (await handle.result()).step is Step.SHIPPED
    assert made.env.provider.charges["pay-enc-activity"] == 1
