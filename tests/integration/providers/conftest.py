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
    """A server for many tests: each uses payment ids and keys of its own."""
    return shared_server


PATIENT = {"charge_timeout": "60s", "refund_timeout": "60s", "dispatch_carrier_timeout": "60s"}
"""Attempts with room for calls that a busy machine makes slow."""


class Adapters:
    """Opens adapters, and closes them when the test is over."""

    def __init__(self, server: ProviderServer, stack: AsyncExitStack) -> None:
        self._url, self._stack = server.url, stack

    async def payments(self, **settings: object) -> PaymentProvider:
        given = {"payment_provider": "http", "payment_url": self._url, "payment_timeout": "20s", **PATIENT, **settings}
        return await self._stack.enter_async_context(PAYMENT_PROVIDERS.open(Settings(**given)))

    async def carrier(self, **settings: object) -> Carrier:
        given = {"carrier": "http", "carrier_url": self._url, "carrier_timeout": "20s", **PATIENT, **settings}
        return await self._stack.enter_async_context(CARRIERS.open(Settings(**given)))


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
