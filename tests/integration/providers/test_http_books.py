"""Authorizations, captures, refunds and look-ups over HTTP: answers that are no answers, and pages of the list."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orderfleet.domain.errors import (
    AuthorizationLapsed,
    PaymentRefused,
    PaymentsNotListed,
    ProviderRequestRejected,
    ProviderUnavailable,
)
from orderfleet.domain.payment import AmountLimits, CaptureIntent, PaymentIntent, ProviderStatus, RefundIntent
from orderfleet.providers.interfaces import PaymentProvider
from provider_server.process import ProviderServer
from provider_server.work import PAGE
from support.sample_rows import payment

MOVEMENT = {"kind": "captured", "reference": "m", "amount": "1.00", "at": "2026-03-01T00:00:00Z"}


@pytest.fixture
def intent() -> PaymentIntent:
    return payment(uuid.uuid4().hex)


def answer(intent: PaymentIntent, **fields: Any) -> dict[str, Any]:
    return {
        "payment_id": intent.payment_id,
        "number": intent.number,
        "amount": "10.00",
        "currency": "USD",
        "reference": "ref_1",
        **fields,
    }


def books(intent: PaymentIntent, **fields: Any) -> dict[str, Any]:
    return answer(intent, order_id=intent.order_id, status="captured", authorized="10.00", **fields)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"capture": 2}, "capture is 2 where 1 was asked"),
        ({"amount": "10.01"}, "amount is 10.01 where 10.00 was asked"),
        ({"number": 2}, "number is 2 where 1 was asked"),
        ({"currency": "EUR"}, "currency is EUR where USD was asked"),
        ({"status": "pending"}, "status: Input should be 'captured'"),
        ({"reference": ""}, "reference: "),
    ],
)
async def test_answer_of_another_capture_is_no_capture(
    payments: PaymentProvider, server: ProviderServer, intent: PaymentIntent, changes: dict[str, Any], message: str
) -> None:
    server.answers("/captures", 200, answer(intent, status="captured", capture=1) | changes)
    with pytest.raises(ProviderUnavailable, match="gave no usable answer to /captures") as raised:
        await payments.capture(CaptureIntent(payment=intent, amount=1000))
    assert message in str(raised.value)


@pytest.mark.parametrize("changes", [{"refund_id": "another"}, {"part": 2}, {"amount": "31.30"}, {"status": "charged"}])
async def test_answer_of_another_refund_is_no_refund(
    payments: PaymentProvider, server: ProviderServer, intent: PaymentIntent, changes: dict[str, Any]
) -> None:
    right = answer(intent, status="refunded", refund_id="r", part=1)
    refund = RefundIntent(payment=intent, refund_id="r", amount=1000)
    server.answers("/refunds", 200, right | changes)
    with pytest.raises(ProviderUnavailable, match="gave no usable answer to /refunds"):
        await payments.refund(refund)
    server.answers("/refunds", 200, right)
    assert (await payments.refund(refund)).reference == "ref_1"


@pytest.mark.parametrize("url", ["javascript:alert(1)", "ftp://bank/x", "https://bank/a b", "//bank"])
async def test_pending_answer_with_a_url_that_is_no_web_page_is_no_answer(
    payments: PaymentProvider, server: ProviderServer, intent: PaymentIntent, url: str
) -> None:
    pending = answer(intent, status="pending", amount="31.30", pending={"url": url})
    server.answers("/authorizations", 200, pending)
    with pytest.raises(ProviderUnavailable, match=r"pending\.url"):
        await payments.authorize(intent)


async def test_pending_answer_needs_neither_url_nor_end(
    payments: PaymentProvider, server: ProviderServer, intent: PaymentIntent
) -> None:
    server.answers("/authorizations", 200, answer(intent, status="pending", amount="31.30"))
    made = await payments.authorize(intent)
    assert made.pending is not None
    assert (made.pending.url, made.pending.until) == ("", None)


@pytest.mark.parametrize(
    ("code", "error"),
    [("authorization_lapsed", AuthorizationLapsed), ("declined", PaymentRefused), ("", PaymentRefused)],
)
async def test_code_of_a_rejection_says_that_the_authorization_lapsed(
    payments: PaymentProvider, server: ProviderServer, intent: PaymentIntent, code: str, error: type[Exception]
) -> None:
    server.answers("/captures", 422, {"payment_id": intent.payment_id, "detail": "no", "code": code})
    with pytest.raises(PaymentRefused) as raised:
        await payments.capture(CaptureIntent(payment=intent, amount=1000))
    assert type(raised.value) is error


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"amount": "10.001"}, "10.001 USD has too many decimals"),
        ({"currency": "XAU"}, "currency 'XAU' is unknown"),
        ({"authorized": "-1.00"}, "authorized: "),
        ({"status": "done"}, "status: "),
        ({"number": 2}, "number is 2 where 1 was asked"),
        (
            {"movements": [{"kind": "captured", "reference": "m", "amount": "0.005", "at": "2026-03-01T00:00:00Z"}]},
            "0.005",
        ),
        (
            {"movements": [{"kind": "captured", "reference": "m", "amount": "1.00", "at": "2026-03-01T00:00:00"}]},
            "at: ",
        ),
    ],
)
async def test_look_up_whose_answer_is_wrong_is_unavailable(
    payments: PaymentProvider, server: ProviderServer, intent: PaymentIntent, changes: dict[str, Any], message: str
) -> None:
    path = f"/payments/{intent.payment_id}/1"
    server.answers(path, 200, books(intent) | changes)
    with pytest.raises(ProviderUnavailable, match="gave no usable answer") as raised:
        await payments.look_up(intent)
    assert message in str(raised.value)
    server.answers(path, 200, books(intent))
    found = await payments.look_up(intent)
    assert found is not None
    assert (found.amount, found.authorized, found.status) == (1000, 1000, ProviderStatus.CAPTURED)


async def test_look_up_finds_nothing_only_if_the_answer_names_the_payment(
    payments: PaymentProvider, server: ProviderServer, intent: PaymentIntent
) -> None:
    assert await payments.look_up(intent) is None
    server.answers(f"/payments/{intent.payment_id}/1", 404, "no such route")
    with pytest.raises(ProviderRequestRejected, match="404"):
        await payments.look_up(intent)
    server.answers(f"/payments/{intent.payment_id}/1", 403, {"payment_id": intent.payment_id, "detail": "not yours"})
    with pytest.raises(PaymentRefused, match="403: not yours"):
        await payments.look_up(intent)


async def test_list_reads_every_page(payments: PaymentProvider, server: ProviderServer) -> None:
    since, order_id = datetime.now(UTC) - timedelta(seconds=1), uuid.uuid4().hex
    intents = [payment(order_id, f"{order_id}-{number}") for number in range(2 * PAGE + 1)]
    for each in intents:
        await payments.charge(each)
    found = [each async for each in payments.payments(since, datetime.now(UTC) + timedelta(seconds=1))]
    assert sorted(each.payment_id for each in found if each.order_id == order_id) == sorted(
        each.payment_id for each in intents
    )
    cursors = [call["body"].get("cursor") for call in server.calls() if call["path"] == "/payments"]
    assert cursors[-3:] == [None, str(PAGE), str(2 * PAGE)]


async def test_list_that_fails_in_the_middle_raises(payments: PaymentProvider, server: ProviderServer) -> None:
    now = datetime.now(UTC)
    server.script(
        "/payments",
        {"fault": "answer", "status": 200, "body": {"payments": [], "next": "more"}},
        {"fault": "answer", "status": 503, "body": ""},
    )
    with pytest.raises(ProviderUnavailable, match="503"):
        [each async for each in payments.payments(now, now)]


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_service_without_the_list_differs_from_one_that_is_unavailable(
    payments: PaymentProvider, server: ProviderServer, status: int
) -> None:
    now = datetime.now(UTC)
    server.answers("/payments", status, "no such route")
    with pytest.raises(PaymentsNotListed, match=str(status)):
        [each async for each in payments.payments(now, now)]
    server.answers("/payments", 500, "down")
    with pytest.raises(ProviderUnavailable, match="500"):
        [each async for each in payments.payments(now, now)]


async def test_limits_are_those_of_the_setting(adapters: Any) -> None:
    payments = await adapters.payments(payment_limits="KWD:step=0.010")
    assert payments.limits("KWD") == AmountLimits(step=10)
    assert payments.limits("USD") == AmountLimits()
