"""A Temporal server that refuses calls for want of resources: the SDK's own metric of it makes the alert fire."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hurried_rules import hurried
from temporalio.client import Client
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.service import RPCError

from orderfleet.observability.exposition import prometheus as sdk_prometheus
from orderfleet_local.provision.resolver import provide
from orderfleet_local.stack import ports, processes, temporal_server
from orderfleet_local.stack.launch import Ports, launch
from orderfleet_local.stack.processes import Command
from support.own_prometheus import Prometheus
from support.worker_processes import until

ALERT = "OrderfleetResourceExhausted"
FEW = ("frontend.namespaceRPS=4", "frontend.namespaceBurstRatio=1")


@pytest.fixture
def short_of_breath(tmp_path: Path) -> Iterator[Ports]:
    """Ports of a server that takes a few calls a second."""
    usual = temporal_server.part(tmp_path / "temporal", provide(["temporal"])["temporal"], port=0, ui_port=None)

    def command(given: Ports) -> Command:
        told = usual.command(given)
        limits = [word for value in FEW for word in ("--dynamic-config-value", value)]
        return replace(told, arguments=(*told.arguments, *limits))

    running = launch(replace(usual, command=command), tmp_path)
    try:
        yield running.ports
    finally:
        processes.end([running.process], by=signal.SIGKILL, timeout=10)


async def test_a_limit_at_temporal_is_told_until_the_load_is_gone(
    short_of_breath: Ports, task_queues: Any, scraping: Any
) -> None:
    port = ports.choose(0)
    runtime = Runtime(telemetry=TelemetryConfig(metrics=sdk_prometheus(f"127.0.0.1:{port}")))
    client = await Client.connect(temporal_server.address(short_of_breath), runtime=runtime)
    prometheus: Prometheus = scraping({"sdk": [port], "temporal": [short_of_breath["metrics"]]}, hurried(task_queues))
    await until(lambda: asyncio.to_thread(prometheus.ready), bool, 60)

    async def ask() -> None:
        while True:
            with suppress(RPCError):
                await client.get_workflow_handle("nobody").describe()

    async def fires() -> bool:
        return ALERT in await asyncio.to_thread(prometheus.firing)

    load = [asyncio.create_task(ask()) for _ in range(20)]
    try:
        await until(fires, bool, 60)
    finally:
        for task in load:
            task.cancel()
        await asyncio.gather(*load, return_exceptions=True)
    await until(fires, lambda now: not now, 60)
