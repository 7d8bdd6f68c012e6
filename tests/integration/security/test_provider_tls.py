"""TLS to the payment provider and the carrier."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from orderfleet.domain.errors import CarrierUnavailable, ProviderUnavailable
from orderfleet.domain.payment import PaymentIntent, VoidOutcome
from orderfleet.domain.shipment import BookingState
from orderfleet.providers.http_calls import InvalidProviderFile
from orderfleet.providers.registry import CARRIERS, PAYMENT_PROVIDERS
from orderfleet.settings import Settings
from orderfleet_local.stack.certificates import Certificates
from provider_server.process import ProviderServer, provider_server
from support.tls_proxy import tls_proxy

CALL = {"payment_timeout": "20s", "charge_timeout": "60s", "capture_timeout": "60s", "refund_timeout": "60s"}
BOOK = {"carrier_timeout": "20s", "dispatch_carrier_timeout": "60s"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProviderServer]:
    with provider_server(tmp_path_factory.mktemp("provider")) as running:
        yield running


@pytest.fixture
async def url(server: ProviderServer, own_ca: Certificates) -> AsyncIterator[str]:
    async with tls_proxy(urlsplit(server.url).netloc, own_ca) as address:
        yield f"https://{address}"


def paying(url: str, **settings: object) -> Settings:
    return Settings(payment_provider="http", payment_url=url, **CALL, **settings)


async def test_providers_are_verified_by_the_authorities_of_a_file(url: str, own_ca: Certificates) -> None:
    file = own_ca.file("ca.crt")
    async with PAYMENT_PROVIDERS.open(paying(url, payment_ca_file=file)) as payments:
        assert await payments.void(intent("tls-pay-1")) is VoidOutcome.NEVER_CHARGED
    async with CARRIERS.open(Settings(carrier="http", carrier_url=url, carrier_ca_file=file, **BOOK)) as booked:
        assert (await booked.void_booking("tls-ship-1", 1))[0] is BookingState.NONE


async def test_providers_of_other_authorities_get_no_request(url: str, other_ca: Certificates) -> None:
    for trusted in (other_ca.file("ca.crt"), None):
        async with PAYMENT_PROVIDERS.open(paying(url, payment_ca_file=trusted)) as payments:
            with pytest.raises(ProviderUnavailable, match="certificate verify failed"):
                await payments.void(intent("tls-pay-2"))
        settings = Settings(carrier="http", carrier_url=url, carrier_ca_file=trusted, **BOOK)
        async with CARRIERS.open(settings) as booked:
            with pytest.raises(CarrierUnavailable, match="certificate verify failed"):
                await booked.void_booking("tls-ship-2", 1)


async def test_authorities_are_renewed_without_a_restart(
    url: str, own_ca: Certificates, other_ca: Certificates, tmp_path: Path
) -> None:
    file = tmp_path / "ca.crt"
    file.write_bytes(other_ca.file("ca.crt").read_bytes())
    async with PAYMENT_PROVIDERS.open(paying(url, payment_ca_file=file)) as payments:
        with pytest.raises(ProviderUnavailable, match="certificate verify failed"):
            await payments.void(intent("tls-pay-3"))
        file.write_bytes(own_ca.file("ca.crt").read_bytes())
        assert await payments.void(intent("tls-pay-3")) is VoidOutcome.NEVER_CHARGED
        file.write_text("no certificate")
        with pytest.raises(ProviderUnavailable, match=r"ca\.crt: it holds no certificate"):
            await payments.void(intent("tls-pay-3"))


@pytest.mark.parametrize(("content", "message"), [(None, "can't be read"), ("hello", "it holds no certificate")])
async def test_unusable_authorities_file_is_named_at_the_start(
    tmp_path: Path, content: str | None, message: str
) -> None:
    file = tmp_path / "ca.crt"
    if content is not None:
        file.write_text(content)
    with pytest.raises(InvalidProviderFile, match=f"the file of authorities {file}: {message}"):
        async with PAYMENT_PROVIDERS.open(paying("https://127.0.0.1:1", payment_ca_file=file)):
            pass


def intent(payment_id: str) -> PaymentIntent:
    return PaymentIntent(payment_id=payment_id, order_id="tls", amount="9.99", currency="USD")
