"""Temporal rejects calls with RESOURCE_EXHAUSTED: callers back off, report it, and don't multiply calls."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta

import grpc
import grpc.aio
import pytest
from temporalio.api.workflowservice.v1 import GetSystemInfoResponse
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from orderfleet.domain.order import SpecUpdate
from orderfleet.operator.workqueue import Queue
from orderfleet.services.errors import TemporalUnavailable
from orderfleet.services.workflow_client import Change, OrderClient
from support.factories import order_input

ORDERS = 20
TIMEOUT = timedelta(seconds=0.6)


class ExhaustedFrontend(grpc.GenericRpcHandler):
    """A Temporal frontend at its rate limit, which counts calls."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        call = details.method.rpartition("/")[2]

        async def answer(_request: bytes, context: grpc.aio.ServicerContext) -> bytes:
            if call == "GetSystemInfo":
                return GetSystemInfoResponse().SerializeToString()
            self.calls[call] += 1
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "namespace rate limit exceeded")
            raise AssertionError

        return grpc.unary_unary_rpc_method_handler(answer)


@pytest.fixture
async def exhausted_temporal() -> AsyncIterator[tuple[ExhaustedFrontend, Client]]:
    handler, server = ExhaustedFrontend(), grpc.aio.server()
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield handler, await Client.connect(f"127.0.0.1:{port}", data_converter=pydantic_data_converter)
    await server.stop(None)


async def test_client_calls_at_the_rate_limit_raise_temporal_unavailable(exhausted_temporal) -> None:
    handler, temporal = exhausted_temporal
    client = OrderClient(temporal, timeout=TIMEOUT)
    calls = [
        client.start(order_input("full-1")),
        client.find(order_input("full-1")),
        client.signal("full-1", "approve", []),
        client.status("full-1"),
        client.change("full-1", Change.approve()),
        client.apply_spec("full-1", SpecUpdate(generation=1)),
    ]
    async with asyncio.timeout(TIMEOUT.total_seconds() + 6):  # the SDK alone would try for 10 s and more
        errors = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(error) for error in errors] == [TemporalUnavailable] * len(calls)
    assert handler.calls.total() <= 10 * len(calls)


async def test_operator_queue_at_the_rate_limit_backs_off(exhausted_temporal) -> None:
    handler, temporal = exhausted_temporal
    client = OrderClient(temporal, timeout=TIMEOUT)
    failures: Counter[str] = Counter()

    async def handle(key: str) -> None:
        await client.start(order_input(key))

    def failed(key: str, error: Exception, count: int) -> None:
        assert isinstance(error, TemporalUnavailable)
        failures[key] = count

    queue: Queue[str] = Queue(handle, failed, workers=ORDERS)
    running = asyncio.create_task(queue.run())
    for number in range(ORDERS):
        queue.add(f"full-{number}")
    async with asyncio.timeout(120):
        while len(failures) < ORDERS or min(failures.values()) < 2:
            for number in range(ORDERS):
                queue.add(f"full-{number}")  # events of an Order must not shorten its backoff
            await asyncio.sleep(0.05)
    queue.close()
    await running
    # The SDK's own backoff bounds the calls of one attempt; nothing multiplies them.
    assert handler.calls["StartWorkflowExecution"] <= 8 * sum(failures.values())
