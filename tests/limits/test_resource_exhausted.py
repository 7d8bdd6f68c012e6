"""A Temporal that is there and takes no more: callers back off, say so, and make no storm."""

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

from orderfleet.domain.order import Address, Item, OrderInput, SpecUpdate
from orderfleet.operator.workqueue import Queue
from orderfleet.services.errors import TemporalUnavailable
from orderfleet.services.workflow_client import OrderClient

ORDERS = 20
PATIENCE = timedelta(seconds=0.6)
ADDRESS = Address(street="1 Main St", city="Springfield", state="IL", zip="62701", country="US")


def order(order_id: str) -> OrderInput:
    return OrderInput(order_id=order_id, items=(Item(sku="tea", qty=1),), address=ADDRESS)


class Exhausted(grpc.GenericRpcHandler):
    """A Temporal frontend at its limit of requests a second; it counts what it is asked."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        call = details.method.rpartition("/")[2]

        async def answer(_request: bytes, context: grpc.aio.ServicerContext) -> bytes:
            if call == "GetSystemInfo":
                return GetSystemInfoResponse().SerializeToString()
            self.asked[call] += 1
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "namespace rate limit exceeded")
            raise AssertionError

        return grpc.unary_unary_rpc_method_handler(answer)


@pytest.fixture
async def exhausted() -> AsyncIterator[tuple[Exhausted, Client]]:
    handler, server = Exhausted(), grpc.aio.server()
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield handler, await Client.connect(f"127.0.0.1:{port}", data_converter=pydantic_data_converter)
    await server.stop(None)


async def test_each_call_says_that_temporal_does_not_answer_now(exhausted) -> None:
    handler, temporal = exhausted
    client = OrderClient(temporal, patience=PATIENCE)
    calls = [
        client.start(order("full-1")),
        client.find(order("full-1")),
        client.signal("full-1", "approve", []),
        client.status("full-1"),
        client.approve("full-1"),
        client.apply_spec("full-1", SpecUpdate(generation=1)),
    ]
    async with asyncio.timeout(PATIENCE.total_seconds() + 6):  # the SDK alone would try for 10 s and more
        told = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(error) for error in told] == [TemporalUnavailable] * len(calls)
    assert handler.asked.total() <= 10 * len(calls)


async def test_the_operator_s_queue_backs_off_and_asks_no_more_often_the_longer_it_lasts(exhausted) -> None:
    handler, temporal = exhausted
    client = OrderClient(temporal, patience=PATIENCE)
    failures: Counter[str] = Counter()

    async def handle(key: str) -> None:
        await client.start(order(key))

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
                queue.add(f"full-{number}")  # news of an Order must not make it impatient
            await asyncio.sleep(0.05)
    queue.close()
    await running
    # What one try costs is the SDK's own back-off within the patience; nothing multiplies it.
    assert handler.asked["StartWorkflowExecution"] <= 8 * sum(failures.values())
