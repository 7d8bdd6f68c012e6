"""The health port is taken as the API's is: what is in the way is told in a line."""

from __future__ import annotations

import socket

import pytest

from orderfleet.runtime.health import HealthServer
from orderfleet.runtime.listening import PortTaken


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
