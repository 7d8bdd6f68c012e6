"""Ports that are in use: the error names the address and the settings."""

from __future__ import annotations

import socket

import pytest

from orderfleet.observability.health import serve_health
from orderfleet.process import PortUnavailable
from orderfleet.settings import Settings
from orderfleet.temporal.connection import core_runtime


async def test_health_server_on_a_port_in_use_names_the_port_and_its_settings() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        message = f"can't listen on 127.0.0.1:{port}: address already in use; set ORDERFLEET_HEALTH_HOST or "
        with pytest.raises(PortUnavailable, match=message):
            async with serve_health("127.0.0.1", port, lambda: None):
                pass


async def test_health_server_on_port_0_listens_on_a_free_port() -> None:
    async with serve_health("127.0.0.1", 0, lambda: None) as port:
        assert port > 0


def test_sdk_metrics_on_a_port_in_use_name_the_port_and_its_settings() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        settings = Settings(health_host="127.0.0.1", temporal_metrics_port=port)
        with pytest.raises(
            PortUnavailable, match=f"127.0.0.1:{port}: .*in use.*; set .*ORDERFLEET_TEMPORAL_METRICS_PORT"
        ):
            core_runtime(settings)
