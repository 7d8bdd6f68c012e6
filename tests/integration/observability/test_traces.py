"""One trace per order, exported by real processes to a real receiver."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import uuid
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import httpx
import pytest
from temporalio.client import Client

from orderfleet.observability.tracing import root_of, trace_id_of
from orderfleet_local.stack import ports
from support.factories import ADDRESS_JSON, order_manifest
from support.operator_env import OperatorTestEnv, ended, step
from support.otlp_receiver import Receiver, Span
from support.polling import eventually
from support.role_processes import RoleProcesses

ITEMS = [{"sku": "widget", "qty": 2, "price": "9.99"}]


class Tree:
    """The spans of one trace."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self.spans = spans
        self.by_id = {span.id: span for span in spans}

    def named(self, name: str) -> list[Span]:
        return sorted((span for span in self.spans if span.name == name), key=lambda span: span.started_at)

    def one(self, name: str) -> Span:
        (span,) = self.named(name)
        return span

    def path(self, span: Span) -> list[str]:
        """Names of the spans from this one up to its root."""
        return [span.name, *(self.path(self.by_id[span.parent]) if span.parent in self.by_id else [])]

    def roots(self) -> list[Span]:
        return [span for span in self.spans if span.parent not in self.by_id]


async def tree(receiver: Receiver, trace_id: str, complete: Callable[[Tree], Any]) -> Tree:
    """Wait until the trace is `complete`, and return it."""

    async def ask() -> Tree:
        return Tree(receiver.trace(trace_id))

    found: Tree = await eventually(ask, lambda found: bool(complete(found)))
    return found


async def received(receiver: Receiver, matches: Callable[[Span], bool]) -> Span:
    """Wait for the one span that matches, and return it."""

    async def ask() -> list[Span]:
        return [span for span in receiver.spans() if matches(span)]

    (span,) = await eventually(ask, bool)
    return span


async def ready(*processes: Any) -> None:
    for process in processes:
        await process.answers("/readyz", 200)


@pytest.mark.slow
async def test_trace_of_an_order_from_kubernetes_spans_all_processes(
    processes: RoleProcesses, operator_env: OperatorTestEnv, receiver: Receiver
) -> None:
    tracing = {"ORDERFLEET_OTLP_ENDPOINT": receiver.endpoint}
    faults = {"ORDERFLEET_FAULTS": "charge:error=0.5;seed=1255", "ORDERFLEET_STEP_ATTEMPTS": "30"}
    orders = await processes.worker("orders", **tracing, **faults)
    shipping = await processes.worker("shipping", **tracing)
    kubernetes = {"ORDERFLEET_OPERATOR_NAMESPACES": operator_env.cluster.namespace, "ORDERFLEET_STEP_ATTEMPTS": "30"}
    operator = await processes.operator(**tracing, **kubernetes)
    await ready(orders, shipping, operator)

    # Faults depend on the order id: with this one, every run has the same.
    name = "order-traced"
    await operator_env.apply(order_manifest(name))
    order = await operator_env.until(name, lambda order: step(order) == "manual_review")
    trace_id = UUID(order["metadata"]["uid"]).hex
    # The trace is exported while the order waits for its review.
    waiting = await tree(receiver, trace_id, lambda tree: tree.named("order") and tree.named("RunActivity:validate"))
    assert waiting.roots() == [waiting.one("order")]
    # A restarted operator adopts the order and exports no second root span.
    operator.process.send_signal(signal.SIGTERM)
    assert await operator.ends() == 0
    await ready(await processes.operator(**tracing, **kubernetes))
    await operator_env.patch(name, approved=True)
    await operator_env.until(name, ended)

    whole = await tree(receiver, trace_id, lambda tree: tree.named("CompleteWorkflow:OrderWorkflow"))
    whole = await tree(receiver, trace_id, lambda tree: len(tree.roots()) == 1 and tree.named("carrier book"))
    root = whole.one("order")
    assert root.service == "orderfleet-operator"
    assert root.attributes["orderfleet.order.id"] == name
    assert root.attributes["orderfleet.order.owner"] == f"{operator_env.cluster.namespace}/{name}"
    start = ["StartWorkflow:OrderWorkflow", "order"]
    child = ["StartChildWorkflow:ShippingWorkflow", *start]
    assert whole.path(whole.one("RunWorkflow:OrderWorkflow")) == ["RunWorkflow:OrderWorkflow", *start]
    assert whole.path(whole.one("RunWorkflow:ShippingWorkflow")) == ["RunWorkflow:ShippingWorkflow", *child]
    assert whole.path(whole.one("SignalWorkflow:apply_spec")) == ["SignalWorkflow:apply_spec", "order"]
    charge = ["RunActivity:charge", "StartActivity:charge", *start]
    assert whole.path(whole.one("payments charge")) == ["payments charge", *charge]
    assert whole.path(whole.named("SQL finish_payment")[0]) == ["SQL finish_payment", *charge]
    dispatch = ["RunActivity:dispatch_carrier", "StartActivity:dispatch_carrier", *child]
    assert whole.path(whole.one("carrier book")) == ["carrier book", *dispatch]
    assert whole.path(whole.named("SQL record_shipment")[-1]) == ["SQL record_shipment", *dispatch]
    assert {span.service for span in whole.spans} == {
        "orderfleet-operator",
        "orderfleet-orders-worker",
        "orderfleet-shipping-worker",
    }
    _attempts(whole.named("RunActivity:charge"), name)
    _conventions(whole)
    _logged(processes, name, trace_id)


def _attempts(charges: list[Span], order_id: str) -> None:
    """Each attempt has a span, and a failed one has an exception event."""
    assert len(charges) > 1, "no fault was injected: choose another seed"
    assert [span.attributes["orderfleet.step.attempt"] for span in charges] == list(range(1, len(charges) + 1))
    assert {span.attributes["orderfleet.order.id"] for span in charges} == {order_id}
    assert len({span.parent for span in charges}) == 1
    *failed, last = charges
    assert not last.failed
    for span in failed:
        assert span.failed
        (event,) = span.events
        assert event["name"] == "exception"
        assert event["exception.type"].endswith("InjectedFault")


def _conventions(whole: Tree) -> None:
    for span in whole.spans:
        assert span.resource["service.namespace"] == "orderfleet"
        assert {"service.version", "service.instance.id", "deployment.environment.name"} <= set(span.resource)
        if span.name.startswith("SQL "):
            assert span.attributes["db.system.name"] == "postgresql"
            assert span.attributes["db.operation.name"] == span.name.removeprefix("SQL ")


def _logged(processes: RoleProcesses, order_id: str, trace_id: str) -> None:
    """Each line in the order worker's log about the order's attempts has the ids of the order, workflow and trace."""
    (text,) = (text for name, text in processes.logs().items() if name.startswith("worker-orders"))
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    of_order = [line for line in lines if line.get("order_id") == order_id]
    assert any(line["activity"] == "charge" for line in of_order)
    for line in of_order:
        assert line["trace_id"] == trace_id
        assert line["workflow_id"] == f"order-{order_id}"
        assert line["attempt"] >= 1


@pytest.mark.slow
async def test_trace_of_an_order_over_http_is_the_requests_if_it_has_a_traceparent(
    processes: RoleProcesses, receiver: Receiver
) -> None:
    tracing = {"ORDERFLEET_OTLP_ENDPOINT": receiver.endpoint}
    worker, api = await processes.worker("all", **tracing), await processes.api(**tracing)
    await ready(worker, api)
    request_trace, parent = uuid.uuid4().hex, "00f067aa0ba902b7"
    with_parent, without_parent = f"t-{uuid.uuid4().hex[:8]}", f"t-{uuid.uuid4().hex[:8]}"
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}") as caller:
        body = {"items": ITEMS, "address": ADDRESS_JSON}
        headers = {"traceparent": f"00-{request_trace}-{parent}-01"}
        first = await caller.post("/orders", json={"order_id": with_parent, **body}, headers=headers)
        second = await caller.post("/orders", json={"order_id": without_parent, **body})
        assert (first.status_code, second.status_code) == (201, 201), first.text
        approved = await caller.post(f"/orders/{without_parent}/signals/approve")
        assert approved.status_code == 200, approved.text

    whole = await tree(
        receiver, request_trace, lambda tree: tree.named("RunActivity:validate") and tree.named("POST /orders")
    )
    request = whole.one("POST /orders")
    assert request.parent == parent
    assert request.attributes["orderfleet.order.id"] == with_parent
    assert whole.path(whole.one("RunActivity:receive"))[-2:] == ["StartWorkflow:OrderWorkflow", "POST /orders"]

    own = await tree(
        receiver,
        f"{trace_id_of(without_parent):032x}",
        lambda tree: tree.named("CompleteWorkflow:OrderWorkflow") and tree.roots() == tree.named("order"),
    )
    assert own.roots() == [own.one("order")]
    assert own.one("order").id == f"{root_of(trace_id_of(without_parent)).span_id:016x}"
    start = await received(receiver, lambda span: span.id != request.id and span.name == "POST /orders")
    assert own.one("order").links == [start.trace]
    # The approval has a trace of its own, and the order's span links to it.
    approval = await received(receiver, lambda span: span.name.endswith("/signals/approve"))
    assert own.one("HandleUpdate:approve").links == [approval.trace]


@pytest.mark.slow
async def test_trace_of_an_order_from_the_command_line_or_a_raw_client_is_one_per_order(
    processes: RoleProcesses,
    receiver: Receiver,
    role_environment: dict[str, str],
    temporal_client: Client,
    task_queues: Any,
) -> None:
    tracing = {"ORDERFLEET_OTLP_ENDPOINT": receiver.endpoint}
    await ready(await processes.worker("all", **tracing))
    from_cli, raw = f"t-{uuid.uuid4().hex[:8]}", f"t-{uuid.uuid4().hex[:8]}"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "orderfleet", "order", "start", from_cli, f"pay-{from_cli}"),
        env={**os.environ, **role_environment, **tracing, "ORDERFLEET_SAMPLE_ORDERS": "true"},
    )
    assert await process.wait() == 0
    await temporal_client.start_workflow(
        "OrderWorkflow",
        {"order_id": raw, "items": ITEMS, "address": ADDRESS_JSON},
        id=f"order-{raw}",
        task_queue=task_queues.orders,
    )
    own = await tree(receiver, f"{trace_id_of(from_cli):032x}", lambda tree: tree.named("RunActivity:validate"))
    assert own.roots() == [own.one("order")]
    assert own.one("order").service == "orderfleet-cli"
    of_raw = await tree(receiver, f"{trace_id_of(raw):032x}", lambda tree: tree.named("RunActivity:validate"))
    assert {span.name for span in of_raw.roots()} == {"RunActivity:receive", "RunActivity:validate"}


@pytest.mark.slow
async def test_export_without_a_receiver_delays_no_order_and_logs_at_most_once_a_minute(
    processes: RoleProcesses,
) -> None:
    tracing = {"ORDERFLEET_OTLP_ENDPOINT": f"127.0.0.1:{ports.choose(0)}"}
    worker, api = await processes.worker("all", **tracing), await processes.api(**tracing)
    await ready(worker, api)
    ids = [f"t-{uuid.uuid4().hex[:8]}" for _ in range(10)]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", timeout=60) as caller:
        body = {"items": ITEMS, "address": ADDRESS_JSON, "review": {"mode": "auto"}}
        for response in await asyncio.gather(*(caller.post("/orders", json={"order_id": i, **body}) for i in ids)):
            assert response.status_code == 201, response.text

        async def steps() -> set[str]:
            return {(await caller.get(f"/orders/{order_id}")).json()["step"] for order_id in ids}

        await eventually(steps, lambda found: found == {"shipped"})
        # Wait until the first exports have failed.
        await eventually(
            lambda: asyncio.to_thread(processes.logs), lambda logs: all("Failed to export" in t for t in logs.values())
        )
    for process in (worker, api):
        process.process.send_signal(signal.SIGTERM)
        assert await process.ends() == 0
    for text in processes.logs().values():
        lines = [line for line in text.splitlines() if "xport" in line]
        assert 1 <= len(lines) <= 4, "\n".join(lines)
