"""A payment provider and a carrier for Orderfleet; `pyproject.toml` registers both under the name `acme`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from acme_fleet.bank import Bank
from acme_fleet.carrier import AcmeCarrier
from acme_fleet.payments import AcmePayments
from orderfleet.providers.interfaces import AdapterSettings


@asynccontextmanager
async def payments(_settings: AdapterSettings) -> AsyncIterator[AcmePayments]:
    """Open the payment provider. A client library gets the URL and reads the token file for each call."""
    yield AcmePayments(Bank())


@asynccontextmanager
async def carrier(_settings: AdapterSettings) -> AsyncIterator[AcmeCarrier]:
    """Open the carrier."""
    yield AcmeCarrier()
