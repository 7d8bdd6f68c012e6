"""The examples in deploy/docs/providers.md, as requests of the adapters and as answers of the provider server."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orderfleet.domain.errors import OrderfleetError, PaymentRefused, PaymentVoided
from orderfleet.domain.payment import Charge, PaymentIntent, RefundIntent, VoidOutcome
from orderfleet.domain.shipment import Booking, BookingState, Parcel
from provider_server.process import ProviderServer, provider_server
from support.documents import PROVIDERS, Exchange, exchanges

SHOWN = exchanges(PROVIDERS)
OWN_IDS = {"reference", "tracking_number"}
"""Ids that the provider and the carrier create."""
BOOKED = Booking(carrier="test", tracking_number="SIM8A1F03")
OUTCOMES = [
    Charge(reference="ch_81b7"),
    None,
    VoidOutcome.REFUNDED,
    PaymentVoided("the payment provider refused with 410: payment pay-ord-1 was voided"),
    PaymentRefused("the payment provider refused with 402: card declined"),
    BOOKED,
    (BookingState.DISPATCHED, BOOKED),
]


@pytest.fixture(scope="module")
def fresh_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProviderServer]:
    with provider_server(tmp_path_factory.mktemp("documented")) as made:
        yield made


@pytest.fixture
def server(fresh_server: ProviderServer) -> ProviderServer:
    return fresh_server


def test_documented_examples_are_the_provider_servers_answers(tmp_path: Path) -> None:
    with provider_server(tmp_path) as own:
        for shown in SHOWN:
            assert request_example(own, shown) == (shown.status, shape(shown.said)), shown


@pytest.mark.parametrize(
    ("shown", "outcome"),
    list(zip(SHOWN, OUTCOMES, strict=True)),
    ids=[f"{shown.path}-{shown.status}" for shown in SHOWN],
)
async def test_documented_examples_are_sent_and_parsed_by_the_adapters(
    adapters: Any, server: ProviderServer, tmp_path: Path, shown: Exchange, outcome: Any
) -> None:
    token = tmp_path / "token"
    token.write_text(shown.authorization.removeprefix("Bearer "))
    server.answers(shown.path, shown.status, shown.said)
    call = await calls(adapters, token, shown)
    try:
        assert await call() == outcome
    except OrderfleetError as error:
        assert (type(error), str(error)) == (type(outcome), str(outcome))  # noqa: PT017 - some examples are refusals
    sent = server.calls()[-1]
    assert (sent["path"], sent["body"]) == (shown.path, shown.asked)
    assert sent["headers"]["Idempotency-Key"] == shown.key
    assert sent["headers"]["Authorization"] == shown.authorization
    assert sent["headers"]["Content-Type"] == "application/json"


async def calls(adapters: Any, token: Path, shown: Exchange) -> Callable[[], Awaitable[Any]]:
    """The adapter's call that the example shows."""
    if "payment_id" in shown.asked:
        payments, payment = await adapters.payments(payment_token_file=token), PaymentIntent(**shown.asked)
        refund = RefundIntent(payment=payment, refund_id="order", amount=payment.amount)
        by_path = {"/charges": payments.charge, "/refunds": lambda _: payments.refund(refund), "/voids": payments.void}
        return lambda: by_path[shown.path](payment)
    carrier = await adapters.carrier(carrier_token_file=token)
    if shown.path == "/bookings":
        return lambda: carrier.book(shown.key, Parcel.model_validate(shown.asked))
    return lambda: carrier.void_booking(shown.asked["key"], shown.asked["attempt"])


def request_example(server: ProviderServer, shown: Exchange) -> tuple[int, Any]:
    """The server's answer to the request of the example."""
    request = urllib.request.Request(
        server.url + shown.path,
        data=json.dumps(shown.asked).encode(),
        headers={"Idempotency-Key": shown.key, "Authorization": shown.authorization},
    )
    try:
        answer = urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return answer.status, shape(json.loads(answer.read()))


def shape(answer: Any) -> Any:
    """The answer without values that differ from run to run."""
    if not isinstance(answer, dict):
        return answer
    return {name: bool(value) if name in OWN_IDS else shape(value) for name, value in answer.items()}
