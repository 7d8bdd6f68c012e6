"""No input fails a workflow task: starts, signals, updates and queries of every workflow, with payloads of every kind.

The handlers are those of each workflow's definition, so that a new one is tested too.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import (
    Client,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from orderfleet.domain import names
from orderfleet.domain.errors import INVALID_INPUT
from orderfleet.domain.orphans import Compensation, Orphan, OrphanSweep
from orderfleet.domain.payment import PaymentIntent
from orderfleet.domain.reconciliation_run import Reconciliation
from orderfleet.domain.refunds import RefundOrder
from orderfleet.domain.shipment import ShippingInput
from orderfleet.domain.status import Step
from orderfleet.orders import worker as orders_worker
from orderfleet.settings import Settings
from orderfleet.shipping import worker as shipping_worker
from orderfleet.temporal.connection import connect
from support.factories import ADDRESS_JSON, AUTO
from support.polling import eventually
from support.scripted_providers import Gate, hangs
from support.workflow_env import WorkflowTestEnv, workflow_test_env
from workflows.raw_payloads import KEY, TRACE_HEADER, payloads, raw_client, write_key

MAX_CONCURRENT = 5
"""Concurrent calls; the server accepts ten updates of one workflow."""
UNHANDLED_COMMAND = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND
METADATA = "__temporal_workflow_metadata"


@dataclass
class RawPayloadEnv:
    """Workers that encrypt and trace, and a client that does neither."""

    env: WorkflowTestEnv
    raw: Client
    sent: list[tuple[str, Payload]]
    numbers: itertools.count[int] = field(default_factory=itertools.count)
    started: list[WorkflowHandle[Any, Any]] = field(default_factory=list)

    def new_id(self) -> str:
        return f"any-{self.env.settings.orders_task_queue}-{next(self.numbers)}"

    async def no_task_failed(self) -> None:
        """Check the history of every workflow that was started."""
        for handle in self.started:
            failures = [
                event.workflow_task_failed_event_attributes
                async for event in handle.fetch_history_events()
                if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
            ]
            # The server fails a task itself if a signal arrives while the task ends the workflow.
            failed = [each.failure.message for each in failures if each.cause != UNHANDLED_COMMAND]
            assert not failed, (handle.id, failed[:3])


@pytest.fixture
async def raw_env(
    temporal_address: str, postgres_url: str, task_queues: Any, tmp_path: Path
) -> AsyncIterator[RawPayloadEnv]:
    key = write_key(tmp_path)
    temporal = await connect(
        Settings(
            temporal_address=temporal_address,
            encryption_keys_dir=tmp_path,
            encryption_key_id=KEY,
            otlp_endpoint="127.0.0.1:1",
        )
    )
    raw = await raw_client(temporal_address)
    async with workflow_test_env(temporal, postgres_url, task_queues.orders, task_queues.shipping) as workflow_env:
        yield RawPayloadEnv(workflow_env, raw, list(payloads(key)))


def order_start(raw_env: RawPayloadEnv) -> tuple[Any, str]:
    order = raw_env.env.order(raw_env.new_id())
    return order, names.order_workflow_id(order.order_id)


def shipping_start(raw_env: RawPayloadEnv) -> tuple[Any, str]:
    order = raw_env.env.order(raw_env.new_id())
    shipment = names.shipment_id(order.order_id, 1)
    raw_env.env.carrier.booking.always = hangs
    given = ShippingInput(
        order_id=order.order_id,
        attempt=1,
        items=order.items,
        address=order.address,
        customer=order.customer,
        payment_id=order.payment_id,
        currency=order.currency,
        orders_task_queue=raw_env.env.settings.orders_task_queue,
        policy=order.policy,
    )
    return given, shipment


def payment(order_id: str) -> PaymentIntent:
    return PaymentIntent(payment_id=f"pay-{order_id}", order_id=order_id, amount="1.00", currency="USD")


def refund_start(raw_env: RawPayloadEnv) -> tuple[Any, str]:
    order = raw_env.env.order(raw_env.new_id())
    raw_env.env.provider.refunding.always = hangs
    given = RefundOrder(order_id=order.order_id, payment=payment(order.order_id), reason="test", policy=order.policy)
    return given, names.refund_workflow_id(given.payment.payment_id)


def compensation_start(raw_env: RawPayloadEnv) -> tuple[Any, str]:
    order = raw_env.env.order(raw_env.new_id())
    raw_env.env.carrier.voiding.always = hangs
    orphan = Orphan(order_id=order.order_id, payment=payment(order.order_id), shipments=0, how="terminated")
    return Compensation(orphan=orphan, policy=order.policy), names.compensation_workflow_id(order.order_id)


def sweep_start(raw_env: RawPayloadEnv) -> tuple[Any, str]:
    return OrphanSweep(policy=raw_env.env.order(raw_env.new_id()).policy), f"sweep-{raw_env.new_id()}"


def reconciliation_start(raw_env: RawPayloadEnv) -> tuple[Any, str]:
    return Reconciliation(policy=raw_env.env.order(raw_env.new_id()).policy), f"reconciliation-{raw_env.new_id()}"


STARTS: dict[str, Callable[[RawPayloadEnv], tuple[Any, str]]] = {
    names.ORDER_WORKFLOW: order_start,
    names.SHIPPING_WORKFLOW: shipping_start,
    names.REFUND_WORKFLOW: refund_start,
    names.COMPENSATION_WORKFLOW: compensation_start,
    names.ORPHAN_SWEEP_WORKFLOW: sweep_start,
    names.RECONCILIATION_WORKFLOW: reconciliation_start,
}
"""Makes the input of each workflow, with which it waits, and its id."""

MAINTENANCE = {names.ORPHAN_SWEEP_WORKFLOW, names.RECONCILIATION_WORKFLOW}
"""Workflows whose input may be empty."""
ON_SHIPPING = {each.__name__ for each in shipping_worker.WORKFLOWS}
WORKFLOWS = [each.__name__ for each in (*orders_worker.WORKFLOWS, *shipping_worker.WORKFLOWS)]


def queue(raw_env: RawPayloadEnv, workflow: str) -> str:
    settings = raw_env.env.settings
    return settings.shipping_task_queue if workflow in ON_SHIPPING else settings.orders_task_queue


async def start(raw_env: RawPayloadEnv, workflow: str) -> WorkflowHandle[Any, Any]:
    """Start a workflow; the returned handle sends payloads unconverted."""
    given, workflow_id = STARTS[workflow](raw_env)
    await raw_env.env.temporal.start_workflow(workflow, given, id=workflow_id, task_queue=queue(raw_env, workflow))
    handle = raw_env.raw.get_workflow_handle(workflow_id)
    raw_env.started.append(handle)
    return handle


async def each_of(calls: Sequence[Callable[[], Awaitable[None]]], concurrent: int = MAX_CONCURRENT) -> None:
    """Make the calls, at most `concurrent` at the same time."""
    gate = asyncio.Semaphore(concurrent)

    async def one(call: Callable[[], Awaitable[None]]) -> None:
        async with gate:
            await call()

    await asyncio.gather(*(one(call) for call in calls))


def arguments(raw_env: RawPayloadEnv) -> list[list[Payload]]:
    """Argument lists: each payload alone, no argument, and two to five arguments."""
    plain = Payload(metadata={"encoding": b"json/plain"}, data=b"{}")
    nonsense = Payload(metadata={"encoding": b"binary/unknown"})
    several = [[plain, nonsense], [nonsense, plain], *([plain] * count for count in (3, 4, 5)), [nonsense] * 4]
    return [*([each] for _, each in raw_env.sent), [], *several]


@pytest.mark.slow
@pytest.mark.parametrize("workflow", WORKFLOWS)
async def test_start_with_invalid_input_fails_with_expected_arguments(raw_env: RawPayloadEnv, workflow: str) -> None:
    async def one(args: list[Payload]) -> None:
        _, workflow_id = STARTS[workflow](raw_env)
        handle = await raw_env.raw.start_workflow(
            workflow, args=args, id=workflow_id, task_queue=queue(raw_env, workflow), result_type=None
        )
        raw_env.started.append(handle)
        try:
            async with asyncio.timeout(60):
                await handle.result()
        except WorkflowFailureError as failure:
            cause = failure.cause
            assert isinstance(cause, ApplicationError)
            assert cause.type == INVALID_INPUT, cause
        except TimeoutError:
            await raw_env.no_task_failed()
            raise

    # An empty object is a start of these, and of nothing else.
    sent = [
        args for args in arguments(raw_env) if workflow not in MAINTENANCE or len(args) != 1 or not is_object(args[0])
    ]
    await each_of([lambda args=args: one(args) for args in sent])
    await raw_env.no_task_failed()


def is_object(payload: Payload) -> bool:
    return payload.data.startswith(b"{") and payload.metadata["encoding"] == b"json/plain"


@pytest.mark.slow
@pytest.mark.parametrize("workflow", WORKFLOWS)
@pytest.mark.timeout(600)
async def test_handler_with_any_input_fails_no_workflow_task(raw_env: RawPayloadEnv, workflow: str) -> None:
    given, workflow_id = STARTS[workflow](raw_env)
    workflow_env = await raw_env.env.temporal.start_workflow(
        workflow, given, id=workflow_id, task_queue=queue(raw_env, workflow)
    )
    metadata = await workflow_env.query(METADATA, result_type=WorkflowMetadata)
    definition = metadata.definition
    for signal in definition.signal_definitions:
        await try_handler(raw_env, workflow, lambda handle, args, name=signal.name: handle.signal(name, args=args))
    for update in definition.update_definitions:
        await try_handler(
            raw_env, workflow, lambda handle, args, name=update.name: handle.execute_update(name, args=args)
        )
    for query in definition.query_definitions:
        if not query.name.startswith("__"):
            await try_handler(raw_env, workflow, lambda handle, args, name=query.name: handle.query(name, args=args))
    # The orphan sweep and the reconciliation may have completed.
    with suppress(RPCError):
        await workflow_env.terminate()


async def try_handler(
    raw_env: RawPayloadEnv, workflow: str, call: Callable[[WorkflowHandle[Any, Any], list[Payload]], Awaitable[Any]]
) -> None:
    """Send every argument list to one handler; a workflow that it ends is replaced."""
    handle = await start(raw_env, workflow)
    replaced = asyncio.Lock()

    async def one(args: list[Payload]) -> None:
        nonlocal handle
        used = handle
        try:
            await call(used, args)
        except (WorkflowUpdateFailedError, WorkflowQueryFailedError):
            pass  # the error has the reason
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            async with replaced:
                if handle is used:
                    handle = await start(raw_env, workflow)

    # These complete at once; of concurrent queries to a closed workflow the SDK's worker can lose one.
    concurrent = 1 if workflow in MAINTENANCE else MAX_CONCURRENT
    await each_of([lambda args=args: one(args) for args in arguments(raw_env)], concurrent)
    # A query returns after the worker has handled the signals before it.
    async with asyncio.timeout(60):
        await handle.query(METADATA)
    await raw_env.no_task_failed()
    with suppress(RPCError):
        await handle.terminate()
    raw_env.started.clear()


async def test_unreadable_signal_is_recorded_and_changes_nothing(raw_env: RawPayloadEnv) -> None:
    workflow_env, order_id = raw_env.env, raw_env.new_id()
    await workflow_env.start(workflow_env.order(order_id))
    await workflow_env.until_recorded(order_id, lambda status: status.step is Step.MANUAL_REVIEW)
    raw = raw_env.raw.get_workflow_handle(names.order_workflow_id(order_id))
    surrogate = Payload(metadata={"encoding": b"json/plain"}, data=b'{"reason": "\\ud800"}')
    changes = {
        names.APPROVE: "approve",
        names.CANCEL_ORDER: "cancel",
        names.CANCEL_PAYMENT: "cancel",
        names.UPDATE_ADDRESS: "address",
        names.APPLY_SPEC: "apply_spec",
        names.CARRIER_UPDATE: "carrier_update",
        names.SHIPMENT_ANSWER: "shipment_answer",
        names.DISPATCH_FAILED: "dispatch_failed",
    }
    for signal in changes:
        await raw.signal(signal, args=[surrogate])
    events = await eventually(
        lambda: workflow_env.events(order_id),
        lambda events: sum(event.kind == "change_rejected" for event in events) == len(changes),
    )
    rejected_events = [event.detail for event in events if event.kind == "change_rejected"]
    assert [each["change"] for each in rejected_events] == list(changes.values())
    assert all("hex escape" in each["reason"] for each in rejected_events)
    status = await workflow_env.client.status(order_id)
    assert (status.step, status.approved) == (Step.MANUAL_REVIEW, False)


async def test_unreadable_signal_of_shipment_is_recorded_with_its_end(raw_env: RawPayloadEnv) -> None:
    workflow_env, order_id, gate = raw_env.env, raw_env.new_id(), Gate()
    workflow_env.carrier.booking.before.append(gate)
    handle = await workflow_env.start(workflow_env.order(order_id, review=AUTO))
    await gate.reached.wait()
    raw = raw_env.raw.get_workflow_handle(names.shipment_id(order_id, 1))
    await raw.signal(names.CHANGE_ADDRESS, args=[Payload(metadata={"encoding": b"binary/null"})])
    await raw.signal(names.CANCEL_SHIPMENT, args=[])
    await raw.query(METADATA)
    gate.opened.set()
    assert (await handle.result()).step is Step.SHIPPED
    rejected_events = [event.detail for event in await workflow_env.events(order_id) if event.kind == "change_rejected"]
    assert [each["change"] for each in rejected_events] == [names.CHANGE_ADDRESS, names.CANCEL_SHIPMENT]


async def test_start_with_four_arguments_starts_an_order(raw_env: RawPayloadEnv) -> None:
    workflow_env, order_id = raw_env.env, raw_env.new_id()
    address = ADDRESS_JSON
    handle = await workflow_env.temporal.start_workflow(
        names.ORDER_WORKFLOW,
        args=[order_id, f"pmt-{order_id}", [{"sku": "widget", "qty": 2, "price": "1.00"}], address],
        id=names.order_workflow_id(order_id),
        task_queue=workflow_env.settings.orders_task_queue,
    )
    status = await workflow_env.until_recorded(order_id, lambda status: status.step is Step.MANUAL_REVIEW)
    assert (status.payment.id, str(status.payment.amount), status.address.street) == (
        f"pmt-{order_id}",
        "2.00",
        "1 Main St",
    )
    await handle.terminate()


async def test_order_with_other_workflow_id_is_rejected_and_not_recorded(raw_env: RawPayloadEnv) -> None:
    workflow_env, order_id = raw_env.env, raw_env.new_id()
    handle = await workflow_env.temporal.start_workflow(
        names.ORDER_WORKFLOW,
        workflow_env.order(order_id, review=AUTO),
        id=f"mine-{order_id}",
        task_queue=workflow_env.settings.orders_task_queue,
    )
    with pytest.raises(WorkflowFailureError) as failure:
        await handle.result()
    cause = failure.value.cause
    assert isinstance(cause, ApplicationError)
    assert (cause.type, cause.non_retryable) == (INVALID_INPUT, True)
    assert f"start order {order_id!r} as 'order-{order_id}'" in cause.message
    assert await workflow_env.reads.order(order_id) is None
    assert not workflow_env.provider.charges


@pytest.mark.parametrize("workflow", [names.SHIPPING_WORKFLOW, names.REFUND_WORKFLOW, names.COMPENSATION_WORKFLOW])
async def test_start_with_the_workflow_id_of_another_input_is_rejected(raw_env: RawPayloadEnv, workflow: str) -> None:
    given, expected = STARTS[workflow](raw_env)
    _, other = STARTS[workflow](raw_env)
    handle = await raw_env.env.temporal.start_workflow(workflow, given, id=other, task_queue=queue(raw_env, workflow))
    with pytest.raises(WorkflowFailureError) as failure:
        async with asyncio.timeout(60):
            await handle.result()
    cause = failure.value.cause
    assert isinstance(cause, ApplicationError)
    assert (cause.type, cause.non_retryable) == (INVALID_INPUT, True)
    assert cause.message == f"workflow id: is {other!r}; start it as {expected!r}"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"charge": {"attempts": 2**31}}, "policy.charge.attempts"),
        ({"refund": {"backoff": 1e300}}, "policy.refund.backoff"),
        ({"record": {"attempt_timeout": "0.4us"}}, "policy.record.attempt_timeout"),
        ({"shipping_task_queue": "/_sys/queue"}, "policy.shipping_task_queue"),
        ({"shipping_task_queue": ""}, "policy.shipping_task_queue"),
        ({"shipping_attempts": 10**9}, "policy.shipping_attempts"),
    ],
)
async def test_start_with_invalid_policy_is_rejected(
    raw_env: RawPayloadEnv, change: dict[str, Any], field: str
) -> None:
    workflow_env, order_id = raw_env.env, raw_env.new_id()
    order = workflow_env.order(order_id, review=AUTO).model_dump(mode="json")
    order["policy"] |= change
    handle = await workflow_env.temporal.start_workflow(
        names.ORDER_WORKFLOW,
        order,
        id=names.order_workflow_id(order_id),
        task_queue=workflow_env.settings.orders_task_queue,
    )
    raw_env.started.append(handle)
    with pytest.raises(WorkflowFailureError) as failure:
        await handle.result()
    assert field in str(failure.value.cause)
    await raw_env.no_task_failed()


HEADERS = {
    "no object": b'["traceparent"]',
    "a number": b"7",
    "ill-typed": b'{"traceparent": 7, "tracestate": ["a=b"]}',
    "no trace": b'{"traceparent": "nonsense", "tracestate": "=;,=="}',
    "truncated": b'{"traceparent": ',
    "half a surrogate": b'{"traceparent": "\\ud800", "tracestate": "\\udfff"}',
    "nested": b"[" * 5_000 + b"]" * 5_000,
}


@pytest.mark.parametrize("data", HEADERS.values(), ids=HEADERS.keys())
async def test_invalid_trace_header_is_ignored(raw_env: RawPayloadEnv, temporal_address: str, data: bytes) -> None:
    workflow_env, order_id = raw_env.env, raw_env.new_id()
    client = await raw_client(
        temporal_address, {TRACE_HEADER: Payload(metadata={"encoding": b"json/plain"}, data=data)}
    )
    order = Payload(metadata={"encoding": b"json/plain"}, data=workflow_env.order(order_id).model_dump_json().encode())
    handle = await client.start_workflow(
        names.ORDER_WORKFLOW,
        order,
        id=names.order_workflow_id(order_id),
        task_queue=workflow_env.settings.orders_task_queue,
    )
    raw_env.started.append(handle)
    await workflow_env.until_recorded(order_id, lambda status: status.step is Step.MANUAL_REVIEW)
    await handle.query(names.STATUS_QUERY)
    await handle.signal(names.CARRIER_UPDATE, args=[])
    await handle.execute_update(names.APPROVE)
    async with asyncio.timeout(60):
        await handle.result()
    await raw_env.no_task_failed()


async def test_charge_completed_by_client_with_invalid_result_is_voided(raw_env: RawPayloadEnv) -> None:
    workflow_env, order_id = raw_env.env, raw_env.new_id()
    workflow_env.provider.charging.before.append(hangs)
    handle = await workflow_env.start(workflow_env.order(order_id, review=AUTO))
    raw_env.started.append(handle)
    described = await eventually(handle.describe, lambda found: found.raw_description.pending_activities)
    (pending,) = described.raw_description.pending_activities
    outside = raw_env.raw.get_async_activity_handle(
        workflow_id=handle.id, run_id=described.run_id, activity_id=pending.activity_id
    )
    await outside.complete(Payload(metadata={"encoding": b"binary/unknown"}))
    with pytest.raises(WorkflowFailureError) as failure:
        await handle.result()
    assert "charge was completed with a result that can't be read" in str(failure.value.cause)
    status = (await workflow_env.recorded(order_id)).status
    assert (status.step, status.payment.status) == (Step.FAILED, "VOIDED")
    await raw_env.no_task_failed()


async def test_charged_order_with_shipment_id_in_use_is_refunded(raw_env: RawPayloadEnv) -> None:
    workflow_env, order_id = raw_env.env, raw_env.new_id()
    await raw_env.raw.start_workflow("Anything", id=names.shipment_id(order_id, 1), task_queue="no-worker-polls")
    policy = workflow_env.order(order_id).policy.model_copy(update={"shipping_attempts": 1})
    handle = await workflow_env.start(workflow_env.order(order_id, review=AUTO, policy=policy))
    raw_env.started.append(handle)
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    status = (await workflow_env.recorded(order_id)).status
    assert status.step is Step.FAILED
    assert workflow_env.provider.balance(f"pay-{order_id}") == 0
    await raw_env.no_task_failed()


async def test_encrypted_signal_without_keys_is_recorded_as_rejected(
    temporal_address: str, postgres_url: str, task_queues: Any, tmp_path: Path
) -> None:
    write_key(tmp_path)
    caller = await connect(
        Settings(temporal_address=temporal_address, encryption_keys_dir=tmp_path, encryption_key_id=KEY)
    )
    keyless = await connect(Settings(temporal_address=temporal_address))
    async with workflow_test_env(keyless, postgres_url, task_queues.orders, task_queues.shipping) as workflow_env:
        order_id = f"keyless-{task_queues.orders}"
        await workflow_env.start(workflow_env.order(order_id))
        await workflow_env.until_recorded(order_id, lambda status: status.step is Step.MANUAL_REVIEW)
        handle = caller.get_workflow_handle(names.order_workflow_id(order_id))
        await handle.signal(names.CANCEL_ORDER, "a secret reason")
        events = await eventually(
            lambda: workflow_env.events(order_id),
            lambda events: any(event.kind == "change_rejected" for event in events),
        )
        (rejected_events,) = [event for event in events if event.kind == "change_rejected"]
        assert "set ORDERFLEET_ENCRYPTION_KEYS_DIR" in rejected_events.detail["reason"]
        raw_env = RawPayloadEnv(workflow_env, keyless, [], started=[workflow_env.handle(order_id)])
        await raw_env.no_task_failed()
        assert (await workflow_env.client.status(order_id)).step is Step.MANUAL_REVIEW
