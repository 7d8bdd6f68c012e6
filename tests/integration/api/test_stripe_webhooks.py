"""Stripe's webhooks: signatures, and events that come late, repeatedly and in any order."""

from __future__ import annotations

import json
import random
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import stripe
from fastapi import FastAPI

from orderfleet.api.app import create_app
from orderfleet.api.dependencies import Readiness, Services
from orderfleet.api.fanout import Fanout
from orderfleet.domain import names
from orderfleet.domain.order import CaptureMode
from orderfleet.domain.payment import Charge, PaymentIntent
from orderfleet.domain.status import PaymentStatus
from orderfleet.providers.connections import InvalidProviderFile
from orderfleet.providers.payments.stripe.events import EVENTS, StripeEvents
from orderfleet.services.errors import OrderNotFound
from orderfleet.services.orders import OrderService
from orderfleet.services.payment_updates import PaymentUpdateService
from orderfleet.settings import Settings
from orderfleet.store.feed import PostgresChangeFeed
from orderfleet.store.payments import PaymentWrites
from orderfleet.store.pool import Database
from orderfleet.store.reads import OrderReads
from orderfleet.store.writes import OrderWrites
from stripe_server import books
from support.metric_samples import metric_changes
from support.sample_rows import receive, sample_order

SECRETS = ("whsec_old", "whsec_new")


@dataclass
class Signals:
    """The client of the orders' workflows: it records their signals."""

    running: bool = True
    sent: list[tuple[str, str]] = field(default_factory=list)

    async def signal(self, order_id: str, name: str, _args: Any) -> None:
        if not self.running:
            raise OrderNotFound(order_id)
        self.sent.append((order_id, name))


class Shop:
    """An API with webhooks, a payment in its ledger, and the same payment at Stripe."""

    def __init__(self, app: FastAPI, url: str, database: Database, signals: Signals) -> None:
        self.url = url
        self.caller = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api")
        self.database, self.signals = database, signals
        self.payments = PaymentWrites(database)
        self.stripe = books.Books()
        self.order_id = f"ord-{uuid.uuid4().hex[:12]}"
        self.payment = PaymentIntent(
            payment_id=f"pay-{self.order_id}", order_id=self.order_id, currency="USD", amount=1998
        )

    async def begin(self, capture: CaptureMode = CaptureMode.IMMEDIATE) -> str:
        """Receive the order, begin its payment, and create its PaymentIntent; return the id."""
        await receive(OrderWrites(self.database), sample_order(self.order_id, payment_id=self.payment.payment_id))
        await self.payments.begin_payment(self.payment, capture=capture)
        metadata = {
            "orderfleet_payment_id": self.payment.payment_id,
            "orderfleet_order_id": self.order_id,
            "orderfleet_number": "1",
        }
        method = "automatic" if capture is CaptureMode.IMMEDIATE else "manual"
        created = self.stripe.create(
            {"amount": "1998", "currency": "usd", "metadata": metadata, "capture_method": method}
        )
        created["id"], before = f"pi_{self.order_id}", created["id"]
        self.stripe.intents[created["id"]] = self.stripe.intents.pop(before)
        await self.payments.set_reference(self.payment, created["id"])
        return created["id"]

    async def deliver(self, events: list[dict[str, Any]] | None = None) -> list[str]:
        """Send events, by default those that happened since the last call; return the results."""
        if events is None:
            events, self.stripe.events = self.stripe.events, []
        answers = [await self.send(json.dumps(event)) for event in events]
        assert {answer.status_code for answer in answers} <= {200}, [answer.text for answer in answers]
        return [answer.json()["result"] for answer in answers]

    async def send(self, body: str, *, secret: str = SECRETS[0], at: float | None = None) -> httpx.Response:
        header = stripe.WebhookSignature.generate_signature_header(body, secret, int(at or time.time()))
        return await self.caller.post("/webhooks/stripe", content=body, headers={"Stripe-Signature": header})

    async def entries(self) -> list[tuple[str, str, int, str]]:
        rows = await self._rows(
            "select kind, key, amount, source from payment_entries where payment_id = $1 order by 1, 2"
        )
        return [tuple(row) for row in rows]

    async def sums(self) -> tuple[int, int, int, str]:
        rows = await self._rows("select captured, refunded, charged_back, status from payments where payment_id = $1")
        return tuple(rows[0])

    async def events(self) -> list[str]:
        connection = await asyncpg.connect(self.url)
        try:
            rows = await connection.fetch("select kind from events where order_id = $1", self.order_id)
        finally:
            await connection.close()
        return sorted(row["kind"] for row in rows)

    async def _rows(self, query: str) -> list[Any]:
        connection = await asyncpg.connect(self.url)
        try:
            return await connection.fetch(query, self.payment.payment_id)
        finally:
            await connection.close()


@pytest.fixture
def secrets_file(tmp_path: Path) -> Path:
    file = tmp_path / "secrets"
    file.write_text("\n".join(SECRETS))
    return file


@asynccontextmanager
async def opened(url: str, secrets_file: Path | None) -> AsyncIterator[Shop]:
    async with Database(url, pool_size=3, timeout=timedelta(seconds=30)) as database:
        signals: Any = Signals()
        unused: Any = None
        services = Services(
            Settings(),
            OrderService(signals, OrderReads(database)),
            unused,
            unused,
            Readiness({}),
            Fanout(PostgresChangeFeed(database)),
            payment_updates=PaymentUpdateService(PaymentWrites(database), signals),
            payment_reports=StripeEvents(secrets_file) if secrets_file else None,
        )
        shop = Shop(create_app(services), url, database, signals)
        yield shop
        await shop.caller.aclose()


@pytest.fixture
async def shop(postgres_url: str, secrets_file: Path) -> AsyncIterator[Shop]:
    async with opened(postgres_url, secrets_file) as shop:
        yield shop


async def charged(shop: Shop) -> str:
    """A payment that is charged at Stripe and in the ledger."""
    reference = await shop.begin()
    shop.stripe.confirm(reference, {"payment_method": books.CARD})
    await shop.payments.finish_payment(shop.payment, PaymentStatus.CHARGED, Charge(reference=reference))
    shop.stripe.events.clear()
    return reference


async def test_late_success_is_captured_and_wakes_the_order(shop: Shop) -> None:
    reference = await shop.begin()
    shop.stripe.confirm(reference, {"payment_method": books.AUTHENTICATION})
    assert await shop.deliver() == ["ignored"]
    shop.stripe.finish(reference)
    assert await shop.deliver() == ["accepted"]
    assert await shop.entries() == [("captured", shop.payment.key, 1998, "webhook")]
    assert (await shop.sums())[3] == "CHARGED"
    assert shop.signals.sent == [(shop.order_id, names.PAYMENT_UPDATE)]
    assert await shop.events() == ["captured", "received"]


async def test_success_that_the_order_has_recorded_changes_nothing(shop: Shop) -> None:
    reference = await charged(shop)
    shop.signals.running = False
    intent = {**shop.stripe.intents[reference]}
    event = {"id": "evt_1", "type": "payment_intent.succeeded", "created": int(time.time()), "data": {"object": intent}}
    assert await shop.deliver([event, event]) == ["ignored", "ignored"]
    assert await shop.sums() == (1998, 0, 0, "CHARGED")


async def test_late_failure_wakes_the_order_and_moves_no_money(shop: Shop) -> None:
    reference = await shop.begin()
    shop.stripe.confirm(reference, {"payment_method": books.AUTHENTICATION})
    shop.stripe.finish(reference, declined=True)
    assert await shop.deliver() == ["ignored", "accepted"]
    assert shop.signals.sent == [(shop.order_id, names.PAYMENT_UPDATE)]
    assert await shop.entries() == []


@pytest.mark.parametrize("happens", ["authorized", "lapsed"])
async def test_end_of_an_authorization_wakes_the_order(shop: Shop, happens: str) -> None:
    reference = await shop.begin(CaptureMode.ON_SHIPMENT)
    shop.stripe.confirm(reference, {"payment_method": books.CARD})
    if happens == "lapsed":
        await shop.deliver()
        shop.signals.sent.clear()
        shop.stripe.lapse(reference)
    assert await shop.deliver() == ["accepted"]
    assert shop.signals.sent == [(shop.order_id, names.PAYMENT_UPDATE)]


async def test_capture_whose_answer_was_lost_is_recorded_under_its_key(shop: Shop) -> None:
    reference = await shop.begin(CaptureMode.ON_SHIPMENT)
    shop.stripe.confirm(reference, {"payment_method": books.CARD})
    shop.stripe.capture(reference, {"amount_to_capture": "1500", "metadata": {"orderfleet_capture_1": "1500"}})
    await shop.deliver()
    assert ("captured", f"{shop.payment.payment_id}/1/capture/1", 1500, "webhook") in await shop.entries()


async def test_refund_of_the_dashboard_is_recorded_and_ours_only_if_it_fails(shop: Shop) -> None:
    reference = await charged(shop)
    dashboard = shop.stripe.refund({"payment_intent": reference, "amount": "300"})
    assert await shop.deliver() == ["accepted"]
    # The live status of a running order shows it.
    assert shop.signals.sent == [(shop.order_id, names.PAYMENT_RECORDED)]
    ours = shop.stripe.refund({"payment_intent": reference, "amount": "500", "metadata": {"orderfleet_key": "k"}})
    assert await shop.deliver() == ["ignored"]
    assert await shop.sums() == (1998, 300, 0, "PARTIALLY_REFUNDED")
    shop.stripe.fail_refund(dashboard["id"])
    shop.stripe.fail_refund(ours["id"])
    await shop.deliver()
    assert await shop.sums() == (1998, 0, 0, "CHARGED")
    kinds = Counter(kind for kind, *_ in await shop.entries())
    assert kinds == {"captured": 1, "refunded": 2, "refund_reversed": 2}


async def test_dispute_is_charged_back_when_funds_move_and_reversed_when_it_is_won(shop: Shop) -> None:
    reference = await charged(shop)
    dispute = shop.stripe.dispute(reference)
    assert await shop.deliver() == ["ignored", "accepted"]
    assert (await shop.sums())[2] == 1998
    shop.stripe.win_dispute(dispute["id"])
    await shop.deliver()
    assert await shop.sums() == (1998, 0, 0, "CHARGED")
    assert await shop.events() == ["charge_back_reversed", "charged_back", "received"]


@pytest.mark.parametrize("seed", range(6))
async def test_events_twice_and_in_any_order_give_the_same_ledger(shop: Shop, seed: int) -> None:
    reference = await shop.begin()
    shop.stripe.confirm(reference, {"payment_method": books.AUTHENTICATION})
    shop.stripe.finish(reference)
    failed = shop.stripe.refund({"payment_intent": reference, "amount": "300"})
    shop.stripe.fail_refund(failed["id"])
    shop.stripe.refund({"payment_intent": reference, "amount": "200"})
    shop.stripe.win_dispute(shop.stripe.dispute(reference)["id"])
    events = shop.stripe.events * 2
    random.Random(seed).shuffle(events)
    await shop.deliver(events)
    assert await shop.sums() == (1998, 200, 0, "PARTIALLY_REFUNDED")
    assert len(await shop.entries()) == 6
    assert await shop.deliver(events) == [
        "accepted" if event["type"] == "payment_intent.succeeded" else "ignored" for event in events
    ]


async def test_event_of_an_unknown_payment_is_200_and_counted(shop: Shop) -> None:
    await shop.begin()
    unknown = shop.stripe.create({"amount": "100", "currency": "usd", "metadata": {}})
    shop.stripe.confirm(unknown["id"], {"payment_method": books.CARD})
    shop.stripe.dispute(unknown["id"])
    labels = {"event": "charge.dispute.funds_withdrawn", "result": "unknown"}
    with metric_changes() as samples:
        assert set(await shop.deliver()) == {"ignored"}
    assert samples("orderfleet_payment_webhooks_total", **labels) == 1


@pytest.mark.parametrize("secret", SECRETS)
async def test_each_secret_of_the_file_verifies(shop: Shop, secret: str) -> None:
    answer = await shop.send(json.dumps({"type": "ping", "created": 1, "data": {"object": {}}}), secret=secret)
    assert (answer.status_code, answer.json()) == (200, {"result": "ignored"})


@pytest.mark.parametrize("wrong", ["secret", "age", "body", "header", "encoding"])
async def test_wrong_signature_is_400(shop: Shop, wrong: str) -> None:
    body = json.dumps({"type": "ping", "created": 1, "data": {"object": {}}})
    if wrong == "secret":
        answer = await shop.send(body, secret="whsec_other")
    elif wrong == "age":
        answer = await shop.send(body, at=time.time() - 301)
    else:
        header = stripe.WebhookSignature.generate_signature_header(body, SECRETS[0])
        sent: Any = {"body": body + " ", "header": body, "encoding": b"\xff\xfe"}[wrong]
        headers = {} if wrong == "header" else {"Stripe-Signature": header}
        answer = await shop.caller.post("/webhooks/stripe", content=sent, headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:orderfleet:problem:invalid-webhook")
    assert SECRETS[0] not in answer.text


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{}",
        '{"type": "payment_intent.succeeded", "created": 1, "data": null}',
        '{"type": "payment_intent.succeeded", "created": 1, "data": {"object": {"id": "pi_1"}}}',
        '{"type": "payment_intent.succeeded", "created": 99999999999999999, "data": {"object": {}}}',
        '{"type": "refund.failed", "created": 1, "data": []}',
    ],
)
async def test_signed_body_that_is_no_event_is_400(shop: Shop, body: str) -> None:
    assert (await shop.send(body)).status_code == 400


async def test_rotated_secrets_are_read_again_and_a_lost_file_is_503(shop, secrets_file) -> None:
    body = json.dumps({"type": "ping", "created": 1, "data": {"object": {}}})
    secrets_file.write_text("whsec_third")
    assert (await shop.send(body)).status_code == 400
    assert (await shop.send(body, secret="whsec_third")).status_code == 200
    secrets_file.unlink()
    assert (await shop.send(body)).status_code == 503


async def test_without_secrets_the_route_is_404(postgres_url: str) -> None:
    async with opened(postgres_url, None) as shop:
        assert (await shop.send("{}")).status_code == 404


@pytest.mark.parametrize("content", [None, "", "two words\x00"])
def test_invalid_file_of_secrets_is_an_error_at_the_start(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "secrets").write_text(content)
    with pytest.raises(InvalidProviderFile, match="secrets"):
        StripeEvents(tmp_path / "secrets")


def test_events_are_those_that_the_documentation_names() -> None:
    text = (Path(__file__).parents[3] / "deploy" / "docs" / "providers.md").read_text()
    assert [event for event in EVENTS if f"`{event}`" not in text] == []
