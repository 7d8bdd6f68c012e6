"""Payment providers: the adapters of the `PaymentProvider` port, by name.

The order worker's entry point calls `payment_provider`; nothing else knows which one runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

import structlog

from orderfleet import adapters
from orderfleet.calls.client import HttpCalls
from orderfleet.contracts.errors import OrderfleetError
from orderfleet.payments.http import WHO, HttpPayments
from orderfleet.payments.simulated import SimulatedPayments
from orderfleet.ports import PaymentProvider
from orderfleet.runtime.settings import Environment, Settings

_log = structlog.get_logger()


class UnknownPaymentProvider(OrderfleetError):
    """No payment provider has that name; the message lists those there are."""


def adapter(settings: Settings) -> str:
    """The name of the adapter that is used.

    Raises:
        NotChosen: outside a local stack the settings name none.
    """
    return adapters.chosen(settings.payment_provider, "payment_provider", settings.environment)


def payment_provider(settings: Settings) -> AbstractAsyncContextManager[PaymentProvider]:
    """The payment provider that the settings name, open as long as the context is.

    Raises:
        NotChosen: see `adapter`.
        UnknownPaymentProvider: there is none of that name.
        BadAdapter: a package registered that name, and it can't be used.
    """
    name = adapter(settings)
    if name in _OURS:
        return _OURS[name](settings)
    make = adapters.registered(adapters.PAYMENT_PROVIDERS, name)
    if make is None:
        known = adapters.known(adapters.PAYMENT_PROVIDERS, _OURS)
        raise UnknownPaymentProvider(f"no payment provider is called {name!r}; known: {known}")
    theirs: AbstractAsyncContextManager[PaymentProvider] = make(
        adapters.AdapterSettings(
            url=settings.payment_url,
            token_file=settings.payment_token_file,
            ca_file=settings.payment_ca_file,
            timeout=settings.payment_timeout,
        )
    )
    return theirs


@asynccontextmanager
async def _simulated(settings: Settings) -> AsyncIterator[PaymentProvider]:
    if settings.environment is not Environment.LOCAL:
        _log.warning("ORDERFLEET_PAYMENT_PROVIDER is simulated: no money moves")
    yield SimulatedPayments(ledger=settings.simulated_ledger, latency=settings.simulated_latency)


@asynccontextmanager
async def _http(settings: Settings) -> AsyncIterator[PaymentProvider]:
    async with HttpCalls(
        WHO,
        settings.payment_url,
        token_file=settings.payment_token_file,
        ca_file=settings.payment_ca_file,
        timeout=settings.payment_timeout,
        connections=settings.worker_activity_slots,
    ) as calls:
        yield HttpPayments(calls)


_OURS: Final[Mapping[str, Callable[[Settings], AbstractAsyncContextManager[PaymentProvider]]]] = {
    "simulated": _simulated,
    "http": _http,
}
