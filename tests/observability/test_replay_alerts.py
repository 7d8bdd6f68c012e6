"""The alerts on failing workflow tasks distinguish nondeterminism from exceptions."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.client import Client, WorkflowHandle
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.worker import Worker

from observability.fast_rules import fast_rules
from orderfleet.observability.exposition import prometheus as sdk_prometheus
from orderfleet_local.stack import ports
from support.own_prometheus import Prometheus
from support.polling import eventually

NON_DETERMINISM, RAISES = "OrderfleetNonDeterminism", "OrderfleetWorkflowTaskFailing"


@workflow.defn(name="Changing", sandboxed=False)
class Before:
    @workflow.run
    async def run(self) -> None:
        await workflow.sleep(timedelta(hours=1))

    @workflow.signal
    def wake(self) -> None:
        pass


@workflow.defn(name="Changing", sandboxed=False)
class After(Before):
    """The same workflow with another first step."""

    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity("ship", start_to_close_timeout=timedelta(seconds=1))


@workflow.defn(sandboxed=False)
class Raising:
    @workflow.run
    async def run(self) -> None:
        raise RuntimeError("a bug, which is no failure of the order")


async def test_nondeterminism_and_exceptions_fire_different_alerts(
    temporal_address: str, task_queues: Any, scraping: Any
) -> None:
    port = ports.choose(0)
    runtime = Runtime(telemetry=TelemetryConfig(metrics=sdk_prometheus(f"127.0.0.1:{port}")))
    client = await Client.connect(temporal_address, runtime=runtime)
    queue = task_queues.orders
    prometheus: Prometheus = scraping({"sdk": [port]}, fast_rules(task_queues))
    await eventually(lambda: asyncio.to_thread(prometheus.ready), bool, 60)

    async def firing() -> set[str]:
        return await asyncio.to_thread(prometheus.firing) & {NON_DETERMINISM, RAISES}

    # Without a cache, every workflow task replays the history.
    async with Worker(client, task_queue=queue, workflows=[Before], max_cached_workflows=0):
        changing = await client.start_workflow("Changing", id=f"{queue}-changing", task_queue=queue)
        await eventually(lambda: _kinds(changing), lambda kinds: "timer_started" in kinds, 60)
    async with Worker(client, task_queue=queue, workflows=[After, Raising], max_cached_workflows=0):
        await changing.signal("wake")
        await eventually(firing, lambda alerts: alerts == {NON_DETERMINISM}, 60)
        raising = [
            await client.start_workflow("Raising", id=f"{queue}-raising-{number}", task_queue=queue)
            for number in range(3)
        ]
        await eventually(firing, lambda alerts: RAISES in alerts, 60)
        for started in (changing, *raising):
            await started.terminate()
        await eventually(firing, lambda alerts: not alerts, 60)


async def _kinds(handle: WorkflowHandle[Any, Any]) -> set[str]:
    history = await handle.fetch_history()
    return {str(event.WhichOneof("attributes")).removesuffix("_event_attributes") for event in history.events}
