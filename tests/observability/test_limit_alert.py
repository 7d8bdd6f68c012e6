"""The alert on RESOURCE_EXHAUSTED fires for a real Temporal server with a low rate limit."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.service import RPCError

from observability.fast_rules import fast_rules
from orderfleet.observability.exposition import prometheus as sdk_prometheus
from orderfleet_local.provision.resolver import provide
from orderfleet_local.stack import ports, processes, temporal_server
from orderfleet_local.stack.launch import Ports, launch
from orderfleet_local.stack.processes import Command
from support.own_prometheus import Prometheus
from support.polling import eventually

ALERT = "OrderfleetResourceExhausted"
LOW_LIMITS = ("frontend.namespaceRPS=4", "frontend.namespaceBurstRatio=1")


@pytest.fixture
def rate_limited(tmp_path: Path) -> Iterator[Ports]:
    """Ports of a server that allows a few calls per second."""
    usual = temporal_server.part(tmp_path / "temporal", provide(["temporal"])["temporal"], port=0, ui_port=None)

    def command(given: Ports) -> Command:
        default = usual.command(given)
        limits = [argument for value in LOW_LIMITS for argument in ("--dynamic-config-value", value)]
        return replace(default, arguments=(*default.arguments, *limits))

    running = launch(replace(usual, command=command), tmp_path)
    try:
        yield running.ports
    finally:
        processes.end([running.process], by=signal.SIGKILL, timeout=10)


async def test_alert_fires_at_the_rate_limit_and_clears_after_the_load(
    rate_limited: Ports, task_queues: Any, scraping: Any
) -> None:
    port = ports.choose(0)
    runtime = Runtime(telemetry=TelemetryConfig(metrics=sdk_prometheus(f"127.0.0.1:{port}")))
    client = await Client.connect(temporal_server.address(rate_limited), runtime=runtime)
    prometheus: Prometheus = scraping({"sdk": [port], "temporal": [rate_limited["metrics"]]}, fast_rules(task_queues))
    await eventually(lambda: asyncio.to_thread(prometheus.ready), bool, 60)

    async def ask() -> None:
        while True:
            with suppress(RPCError):
                await client.get_workflow_handle("unknown").describe()

    async def fires() -> bool:
        return ALERT in await asyncio.to_thread(prometheus.firing)

    load = [asyncio.create_task(ask()) for _ in range(20)]
    try:
        await eventually(fires, bool, 60)
    finally:
        for task in load:
            task.cancel()
        await asyncio.gather(*load, return_exceptions=True)
    await eventually(fires, lambda firing: not firing, 60)
