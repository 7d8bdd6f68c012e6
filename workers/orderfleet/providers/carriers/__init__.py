"""Carriers: the adapters of the `Carrier` port, by name.

The shipping worker's entry point calls `carrier`; nothing else knows which one runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

import structlog

from orderfleet.domain.ports import Carrier
from orderfleet.providers import registry
from orderfleet.providers.carriers.http import WHO, HttpCarrier
from orderfleet.providers.carriers.simulated import SimulatedCarrier
from orderfleet.providers.http_calls import HttpCalls
from orderfleet.settings import Settings
from orderfleet.settings.processes import Environment

_log = structlog.get_logger()


def adapter(settings: Settings) -> str:
    """The name of the adapter that is used. Raises as `Adapters.chosen`."""
    return _ADAPTERS.chosen(settings)


def carrier(settings: Settings) -> AbstractAsyncContextManager[Carrier]:
    """The carrier that the settings name, open as long as the context is. Raises as `Adapters.opened`."""
    return _ADAPTERS.opened(settings)


def _given(settings: Settings) -> registry.AdapterSettings:
    return registry.AdapterSettings(
        url=settings.carrier_url,
        token_file=settings.carrier_token_file,
        ca_file=settings.carrier_ca_file,
        timeout=settings.carrier_timeout,
    )


@asynccontextmanager
async def _simulated(settings: Settings) -> AsyncIterator[Carrier]:
    if settings.environment is not Environment.LOCAL:
        _log.warning("ORDERFLEET_CARRIER is simulated: no parcel moves")
    yield SimulatedCarrier(ledger=settings.simulated_ledger, latency=settings.simulated_latency)


@asynccontextmanager
async def _http(settings: Settings) -> AsyncIterator[Carrier]:
    given = _given(settings)
    async with HttpCalls(
        WHO,
        given.url,
        token_file=given.token_file,
        ca_file=given.ca_file,
        timeout=given.timeout,
        connections=settings.worker_activity_slots,
    ) as calls:
        yield HttpCarrier(calls)


_ADAPTERS: Final = registry.Adapters[Carrier](
    what="carrier",
    group=registry.CARRIERS,
    field="carrier",
    given=_given,
    ours={"simulated": _simulated, "http": _http},
)
