"""The examples in deploy/docs/providers.md, as requests of the adapters and as answers of the provider server."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orderfleet.domain.errors import AuthorizationLapsed, OrderfleetError, PaymentRefused, PaymentVoided
from orderfleet.domain.payment import (
    Authorization,
    Capture,
    CaptureIntent,
    Charge,
    Movement,
    MovementKind,
    PaymentIntent,
    ProviderPayment,
    ProviderStatus,
    Refund,
    RefundIntent,
    VoidOutcome,
)
from orderfleet.domain.shipment import Booking, BookingState, Parcel
from orderfleet.domain.status import PendingCustomer
from provider_server.process import ProviderServer, provider_server
from support.documents import PROVIDERS, Exchange, exchanges

SHOWN = exchanges(PROVIDERS)
OWN = {"reference", "tracking_number", "url", "until", "at", "expires_at"}
"""Ids, pages and times that the provider and the carrier choose."""
BOOKED = Booking(carrier="test", tracking_number="SIM8A1F03")
LAPSED = datetime(2026, 3, 8, 12, 30, tzinfo=UTC)
OUTCOMES = [
    Charge(reference="ch_81b7"),
    Refund(reference="re_4d0a"),
    VoidOutcome.REFUNDED,
    PaymentVoided("the payment provider refused with 410: payment pay-ord-1 was voided"),
    PaymentRefused("the payment provider refused with 402: card declined"),
    Authorization(reference="au_55d0", multiple_captures=True),
    Capture(reference="cp_9c11"),
    VoidOutcome.REFUNDED,
    Authorization(reference="au_7e21", expires_at=LAPSED, multiple_captures=True),
    AuthorizationLapsed("the payment provider refused with 422: the authorization lapse-ord-4 has lapsed"),
    Charge(
        reference="ch_2f90",
        pending=PendingCustomer(url="https://pay.example/ch_2f90", until=datetime(2026, 3, 1, 13, 30, tzinfo=UTC)),
    ),
    ProviderPayment(
        payment_id="pay-ord-3",
        order_id="ord-3",
        reference="au_55d0",
        currency="USD",
        amount=3130,
        status=ProviderStatus.VOIDED,
        authorized=3130,
        movements=(
            Movement(
                kind=MovementKind.CAPTURED,
                key="pay-ord-3/1/capture/1",
                reference="cp_9c11",
                amount=2000,
                at=datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC),
            ),
            Movement(
                kind=MovementKind.REFUNDED,
                key="pay-ord-3/void",
                reference="re_0b52",
                amount=2000,
                at=datetime(2026, 3, 1, 12, 31, tzinfo=UTC),
            ),
        ),
    ),
    None,
    [],
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
    ids=[f"{number}-{shown.path}-{shown.status}" for number, shown in enumerate(SHOWN)],
)
async def test_documented_examples_are_sent_and_parsed_by_the_adapters(
    adapters: Any, server: ProviderServer, tmp_path: Path, shown: Exchange, outcome: Any
) -> None:
    token = tmp_path / "token"
    token.write_text(shown.authorization.removeprefix("Bearer "))
    url = urllib.parse.urlsplit(shown.path)
    server.answers(url.path, shown.status, shown.said)
    call = await calls(adapters, token, shown)
    try:
        assert await call() == outcome
    except OrderfleetError as error:
        assert (type(error), str(error)) == (type(outcome), str(outcome))  # noqa: PT017 - some examples are refusals
    sent = server.calls()[-1]
    assert (sent["method"], sent["path"]) == (shown.method, url.path)
    assert sent["headers"].get("Idempotency-Key", "") == shown.key
    assert sent["headers"]["Authorization"] == shown.authorization
    if shown.method == "GET":
        assert dict(urllib.parse.parse_qsl(url.query)).items() <= sent["body"].items()
    else:
        assert sent["body"] == shown.asked
        assert sent["headers"]["Content-Type"] == "application/json"


async def calls(adapters: Any, token: Path, shown: Exchange) -> Callable[[], Awaitable[Any]]:
    """The adapter's call that the example shows."""
    if shown.method == "GET":
        return await reading_calls(adapters, token, urllib.parse.urlsplit(shown.path))
    if "payment_id" in shown.asked:
        payments, payment = await adapters.payments(payment_token_file=token), PaymentIntent(**shown.asked)
        if shown.path == "/captures":
            capture = CaptureIntent(payment=payment, number=shown.asked["capture"], amount=payment.amount)
            return lambda: payments.capture(capture)
        if shown.path == "/refunds":
            refund = RefundIntent(payment=payment, refund_id=shown.asked["refund_id"], amount=payment.amount)
            return lambda: payments.refund(refund)
        by_path = {"/charges": payments.charge, "/authorizations": payments.authorize, "/voids": payments.void}
        return lambda: by_path[shown.path](payment)
    carrier = await adapters.carrier(carrier_token_file=token)
    if shown.path == "/bookings":
        return lambda: carrier.book(shown.key, Parcel.model_validate(shown.asked))
    return lambda: carrier.void_booking(shown.asked["key"], shown.asked["attempt"])


async def reading_calls(adapters: Any, token: Path, url: urllib.parse.SplitResult) -> Callable[[], Awaitable[Any]]:
    """The adapter's look-up or list that the example shows."""
    payments = await adapters.payments(payment_token_file=token)
    if url.query:
        since, until = (datetime.fromisoformat(value) for _, value in urllib.parse.parse_qsl(url.query))

        async def listed() -> list[ProviderPayment]:
            return [each async for each in payments.payments(since, until)]

        return listed
    _, _, payment_id, number = url.path.split("/")
    payment = PaymentIntent(payment_id=payment_id, number=number, order_id="ord-1", amount=1, currency="USD")
    return lambda: payments.look_up(payment)


def request_example(server: ProviderServer, shown: Exchange) -> tuple[int, Any]:
    """The server's answer to the request of the example."""
    request = urllib.request.Request(
        server.url + shown.path,
        method=shown.method,
        data=json.dumps(shown.asked).encode() if shown.method == "POST" else None,
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
    if isinstance(answer, list):
        return [shape(each) for each in answer]
    if not isinstance(answer, dict):
        return answer
    return {name: bool(value) if name in OWN else shape(value) for name, value in answer.items()}
