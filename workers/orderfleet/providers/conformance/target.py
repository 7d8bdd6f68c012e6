"""Opens an adapter for the suite, with a lossy proxy in front of its service where that is reached over `http://`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from orderfleet.providers.conformance.bench import LoseAnswer, discard_result
from orderfleet.providers.conformance.lossy_proxy import LossyProxy
from orderfleet.providers.interfaces import PaymentProvider
from orderfleet.providers.registry import PAYMENT_PROVIDERS
from orderfleet.settings import Settings


@dataclass(frozen=True)
class Target:
    """An open adapter, and how an answer to it is lost."""

    provider: PaymentProvider
    lose_answer: LoseAnswer
    loses_on_the_wire: bool
    """Whether answers are lost between service and adapter; otherwise the suite discards results."""


@asynccontextmanager
async def open_target(settings: Settings, *, proxy: bool = True) -> AsyncIterator[Target]:
    """Open the adapter that the settings name.

    Args:
        settings: with the adapter's name and the URL of its service.
        proxy: whether to put a proxy between them if the URL is `http://`. What is encrypted can't pass it.

    Raises:
        WrongSetting: there is no such adapter, or its settings are invalid.
    """
    if not (proxy and settings.payment_url.startswith("http://")):
        async with PAYMENT_PROVIDERS.open(settings) as provider:
            yield Target(provider, discard_result, loses_on_the_wire=False)
        return
    async with LossyProxy(settings.payment_url).running() as between:
        proxied = settings.model_copy(update={"payment_url": between.url})
        async with PAYMENT_PROVIDERS.open(proxied) as provider:
            yield Target(provider, between.lose_answer, loses_on_the_wire=True)
