"""The provider server of these tests, and the `http` adapters against it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from orderfleet.providers.interfaces import Carrier, PaymentProvider
from orderfleet.providers.registry import CARRIERS, PAYMENT_PROVIDERS
from orderfleet.settings import Settings
from provider_server.process import ProviderServer, provider_server


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProviderServer]:
    with provider_server(tmp_path_factory.mktemp("provider")) as server:
        yield server


@pytest.fixture
def server(shared_server: ProviderServer) -> ProviderServer:
    """A server that tests share: each uses its own payment ids and keys."""
    return shared_server


LONG_TIMEOUTS = {
    "charge_timeout": "60s",
    "capture_timeout": "60s",
    "refund_timeout": "60s",
    "dispatch_carrier_timeout": "60s",
}
"""Attempt timeouts for calls on a busy machine."""


class Adapters:
    """Opens adapters, and closes them at the end of the test."""

    def __init__(self, server: ProviderServer, stack: AsyncExitStack) -> None:
        self._url, self._stack = server.url, stack

    async def payments(self, **settings: object) -> PaymentProvider:
        values = {
            "payment_provider": "http",
            "payment_url": self._url,
            "payment_timeout": "20s",
            **LONG_TIMEOUTS,
            **settings,
        }
        return await self._stack.enter_async_context(PAYMENT_PROVIDERS.open(Settings(**values)))

    async def carrier(self, **settings: object) -> Carrier:
        values = {"carrier": "http", "carrier_url": self._url, "carrier_timeout": "20s", **LONG_TIMEOUTS, **settings}
        return await self._stack.enter_async_context(CARRIERS.open(Settings(**values)))


@pytest.fixture
async def adapters(server: ProviderServer) -> AsyncIterator[Adapters]:
    async with AsyncExitStack() as stack:
        yield Adapters(server, stack)


@pytest.fixture
async def payments(adapters: Adapters) -> PaymentProvider:
    return await adapters.payments()


@pytest.fixture
async def parcels(adapters: Adapters) -> Carrier:
    return await adapters.carrier()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    return tmp_path / "token"
