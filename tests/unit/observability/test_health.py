"""Ports are taken alike in every role: what is in the way is told in a line."""

from __future__ import annotations

import socket

import pytest

from orderfleet.observability.health import HealthServer
from orderfleet.process import PortTaken
from orderfleet.settings import Settings
from orderfleet.temporal.connection import core_runtime


async def test_a_port_that_is_taken_is_named_with_its_settings() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        told = f"can't listen on 127.0.0.1:{port}: address already in use; set ORDERFLEET_HEALTH_HOST or "
        with pytest.raises(PortTaken, match=told):
            async with HealthServer("127.0.0.1", port, lambda: None):
                pass


async def test_0_takes_a_free_port() -> None:
    async with HealthServer("127.0.0.1", 0, lambda: None) as server:
        assert server.port > 0


def test_so_is_the_port_of_the_sdks_metrics() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        settings = Settings(health_host="127.0.0.1", temporal_metrics_port=port)
        with pytest.raises(PortTaken, match=f"127.0.0.1:{port}: .*in use.*; set .*ORDERFLEET_TEMPORAL_METRICS_PORT"):
            core_runtime(settings)
