"""Payment providers: the adapters of the `PaymentProvider` port, by name.

The order worker's entry point calls `payment_provider`; nothing else knows which one runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

import structlog

from orderfleet.domain.ports import PaymentProvider
from orderfleet.providers import registry
from orderfleet.providers.http_calls import HttpCalls
from orderfleet.providers.payments.http import WHO, HttpPayments
from orderfleet.providers.payments.simulated import SimulatedPayments
from orderfleet.settings import Settings
from orderfleet.settings.processes import Environment

_log = structlog.get_logger()


def adapter(settings: Settings) -> str:
    """The name of the adapter that is used. Raises as `Adapters.chosen`."""
    return _ADAPTERS.chosen(settings)


def payment_provider(settings: Settings) -> AbstractAsyncContextManager[PaymentProvider]:
    """The payment provider that the settings name, open as long as the context is. Raises as `Adapters.opened`."""
    return _ADAPTERS.opened(settings)


def _given(settings: Settings) -> registry.AdapterSettings:
    return registry.AdapterSettings(
        url=settings.payment_url,
        token_file=settings.payment_token_file,
        ca_file=settings.payment_ca_file,
        timeout=settings.payment_timeout,
    )


@asynccontextmanager
async def _simulated(settings: Settings) -> AsyncIterator[PaymentProvider]:
    if settings.environment is not Environment.LOCAL:
        _log.warning("ORDERFLEET_PAYMENT_PROVIDER is simulated: no money moves")
    yield SimulatedPayments(ledger=settings.simulated_ledger, latency=settings.simulated_latency)


@asynccontextmanager
async def _http(settings: Settings) -> AsyncIterator[PaymentProvider]:
    given = _given(settings)
    async with HttpCalls(
        WHO,
        given.url,
        token_file=given.token_file,
        ca_file=given.ca_file,
        timeout=given.timeout,
        connections=settings.worker_activity_slots,
    ) as calls:
        yield HttpPayments(calls)


_ADAPTERS: Final = registry.Adapters[PaymentProvider](
    what="payment provider",
    group=registry.PAYMENT_PROVIDERS,
    field="payment_provider",
    given=_given,
    ours={"simulated": _simulated, "http": _http},
)
