"""Carriers: the adapters of the `Carrier` port, by name.

The shipping worker's entry point calls `carrier`; nothing else knows which one runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

import structlog

from orderfleet import adapters
from orderfleet.calls.client import HttpCalls
from orderfleet.carriers.http import WHO, HttpCarrier
from orderfleet.carriers.simulated import SimulatedCarrier
from orderfleet.contracts.errors import OrderfleetError
from orderfleet.ports import Carrier
from orderfleet.runtime.settings import Environment, Settings

_log = structlog.get_logger()


class UnknownCarrier(OrderfleetError):
    """No carrier has that name; the message lists those there are."""


def adapter(settings: Settings) -> str:
    """The name of the adapter that is used.

    Raises:
        NotChosen: outside a local stack the settings name none.
    """
    return adapters.chosen(settings.carrier, "carrier", settings.environment)


def carrier(settings: Settings) -> AbstractAsyncContextManager[Carrier]:
    """The carrier that the settings name, open as long as the context is.

    Raises:
        NotChosen: see `adapter`.
        UnknownCarrier: there is none of that name.
        BadAdapter: a package registered that name, and it can't be used.
    """
    name = adapter(settings)
    if name in _OURS:
        return _OURS[name](settings)
    make = adapters.registered(adapters.CARRIERS, name)
    if make is None:
        known = adapters.known(adapters.CARRIERS, _OURS)
        raise UnknownCarrier(f"no carrier is called {name!r}; known: {known}")
    theirs: AbstractAsyncContextManager[Carrier] = make(
        adapters.AdapterSettings(
            url=settings.carrier_url,
            token_file=settings.carrier_token_file,
            ca_file=settings.carrier_ca_file,
            timeout=settings.carrier_timeout,
        )
    )
    return theirs


@asynccontextmanager
async def _simulated(settings: Settings) -> AsyncIterator[Carrier]:
    if settings.environment is not Environment.LOCAL:
        _log.warning("ORDERFLEET_CARRIER is simulated: no parcel moves")
    yield SimulatedCarrier(ledger=settings.simulated_ledger, latency=settings.simulated_latency)


@asynccontextmanager
async def _http(settings: Settings) -> AsyncIterator[Carrier]:
    async with HttpCalls(
        WHO,
        settings.carrier_url,
        token_file=settings.carrier_token_file,
        ca_file=settings.carrier_ca_file,
        timeout=settings.carrier_timeout,
        connections=settings.worker_activity_slots,
    ) as calls:
        yield HttpCarrier(calls)


_OURS: Final[Mapping[str, Callable[[Settings], AbstractAsyncContextManager[Carrier]]]] = {
    "simulated": _simulated,
    "http": _http,
}
