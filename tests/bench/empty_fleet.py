"""The baseline: workflows and activities of an order's shape that do nothing.

Three regular activities and a child with two; no database, no telemetry, no sandbox, uvloop, ten pollers.
`python empty_fleet.py orders|shipping ADDRESS` is one worker process.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from datetime import timedelta

import uvloop
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

ORDERS, SHIPPING = "empty-orders", "empty-shipping"
# Timeouts equal to the product's, so that the server's timers fire in the same round.
_THREE, _FOUR, _FIVE = (timedelta(seconds=count) for count in (3, 4, 5))


@activity.defn
async def receive(order_id: str) -> str:
    return order_id


@activity.defn
async def validate(order_id: str) -> str:
    return order_id


@activity.defn
async def charge(order_id: str) -> str:
    return order_id


@activity.defn
async def prepare_package(order_id: str) -> str:
    return order_id


@activity.defn
async def dispatch_carrier(order_id: str) -> str:
    return order_id


@workflow.defn
class EmptyOrder:
    @workflow.run
    async def run(self, order_id: str) -> str:
        await workflow.execute_activity(receive, order_id, start_to_close_timeout=_THREE)
        await workflow.execute_activity(validate, order_id, start_to_close_timeout=_THREE)
        await workflow.execute_activity(charge, order_id, start_to_close_timeout=_FOUR)
        shipment = f"empty-shipping-{order_id}"
        return await workflow.execute_child_workflow(EmptyShipping.run, order_id, id=shipment, task_queue=SHIPPING)


@workflow.defn
class EmptyShipping:
    @workflow.run
    async def run(self, order_id: str) -> str:
        await workflow.execute_activity(prepare_package, order_id, start_to_close_timeout=_FIVE)
        return await workflow.execute_activity(dispatch_carrier, order_id, start_to_close_timeout=_FIVE)


async def serve(kind: str, address: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    worker = Worker(
        await Client.connect(address),
        task_queue=ORDERS if kind == "orders" else SHIPPING,
        workflows=[EmptyOrder] if kind == "orders" else [EmptyShipping],
        activities=[receive, validate, charge] if kind == "orders" else [prepare_package, dispatch_carrier],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_concurrent_workflow_tasks=200,
        max_concurrent_activities=200,
        max_concurrent_workflow_task_polls=10,
        max_concurrent_activity_task_polls=10,
    )
    async with worker:
        print("polling", flush=True)
        await stop.wait()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], sys.argv[2]))
