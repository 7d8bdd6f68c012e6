"""The payment provider over HTTP, against a real server: the outcome of each answer."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from orderfleet.domain.errors import PaymentRefused, PaymentVoided, ProviderRequestRejected, ProviderUnavailable
from orderfleet.domain.payment import PaymentIntent, RefundIntent, VoidOutcome
from orderfleet.providers.http_calls import InvalidProviderFile
from orderfleet.providers.interfaces import PaymentProvider
from orderfleet.providers.payments.simulated import PaymentLedger
from provider_server.faults import AFTER, BEFORE
from provider_server.process import ProviderServer
from support.polling import eventually
from support.sample_rows import payment


@pytest.fixture
def intent() -> PaymentIntent:
    return payment(uuid.uuid4().hex)


def refund(intent: PaymentIntent) -> RefundIntent:
    return RefundIntent(payment=intent, refund_id="order", amount=intent.amount)


def moved(server: ProviderServer, intent: PaymentIntent) -> Counter[str]:
    entries = PaymentLedger(server.ledger).entries()
    return Counter(entry.kind for entry in entries if entry.payment_id == intent.payment_id)


def charge_answer(intent: PaymentIntent, **changes: Any) -> dict[str, Any]:
    return {
        "payment_id": intent.payment_id,
        "status": "charged",
        "amount": str(intent.decimal_amount),
        "currency": intent.currency,
        "reference": "ch_1",
        **changes,
    }


async def test_charge_void_and_refund_move_the_money_once(
    payments: PaymentProvider, server: ProviderServer, intent: PaymentIntent
) -> None:
    first = await payments.charge(intent)
    assert await payments.charge(intent) == first
    await payments.refund(refund(intent))
    await payments.refund(refund(intent))
    assert await payments.void(intent) is VoidOutcome.REFUNDED
    assert moved(server, intent) == {"charge": 1, "refund": 1, "void": 1}


async def test_every_call_carries_its_own_idempotency_key(
    payments: PaymentProvider, server: ProviderServer, intent: PaymentIntent
) -> None:
    await payments.charge(intent)
    await payments.refund(refund(intent))
    await payments.void(intent)
    calls = server.calls(payment_id=intent.payment_id)
    assert [(call["path"], call["headers"]["Idempotency-Key"]) for call in calls] == [
        ("/charges", intent.payment_id),
        ("/refunds", f"{intent.payment_id}/refund/order/1"),
        ("/voids", f"{intent.payment_id}/void"),
    ]
    assert len({call["peer"] for call in calls}) == 1, "all calls use one connection"


@pytest.mark.parametrize("status", [400, 402, 403, 404, 405, 422, 451])
async def test_refusal_that_names_the_payment_is_final_with_its_reason(
    payments: PaymentProvider, server: ProviderServer, intent: PaymentIntent, status: int
) -> None:
    server.answers("/charges", status, {"payment_id": intent.payment_id, "detail": "card expired"})
    with pytest.raises(PaymentRefused, match=f"^the payment provider refused with {status}: card expired$"):
        await payments.charge(intent)


@pytest.mark.parametrize("status", [400, 402, 403, 404, 410, 422])
async def test_refusal_that_does_not_name_the_payment_is_a_rejected_request(
    payments: PaymentProvider, server: ProviderServer, intent: PaymentIntent, status: int
) -> None:
    server.answers("/charges", status, {"payment_id": "pay-another", "error": {"message": "no such\n route"}})
    with pytest.raises(ProviderRequestRejected, match=f"^the payment provider refused with {status}: no such route$"):
        await payments.charge(intent)


async def test_charge_of_a_voided_payment_is_rejected(
    payments: PaymentProvider, server: ProviderServer, intent: PaymentIntent
) -> None:
    assert await payments.void(intent) is VoidOutcome.NEVER_CHARGED
    with pytest.raises(PaymentVoided, match="was voided"):
        await payments.charge(intent)
    assert moved(server, intent) == {"void": 1}


@pytest.mark.parametrize("status", [401, 408, 409, 425, 429, 500, 502, 503, 504])
async def test_retryable_status_is_unavailable_with_retry_after(
    payments: PaymentProvider, server: ProviderServer, intent: PaymentIntent, status: int
) -> None:
    server.answers("/charges", status, "try later\n", Retry_After="7")
    with pytest.raises(ProviderUnavailable, match=f"^the payment provider answered {status}: try later$") as raised:
        await payments.charge(intent)
    assert raised.value.retry_after == timedelta(seconds=7)
    assert await payments.charge(intent)


async def test_retry_after_may_be_a_date(
    payments: PaymentProvider, server: ProviderServer, intent: PaymentIntent
) -> None:
    later = datetime.now(UTC) + timedelta(minutes=2)
    server.answers("/charges", 503, "", Retry_After=format_datetime(later, usegmt=True))
    with pytest.raises(ProviderUnavailable, match="503: Service Unavailable") as raised:
        await payments.charge(intent)
    assert raised.value.retry_after is not None
    assert timedelta(seconds=90) < raised.value.retry_after <= timedelta(minutes=2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"amount": "31.31"}, "amount is 31.31 where 31.30 was asked"),
        ({"amount": 3130}, "amount is 3130 where 31.30 was asked"),
        ({"amount": "NaN"}, "amount: "),
        ({"currency": "EUR"}, "currency is EUR where USD was asked"),
        ({"payment_id": "pay-other"}, "payment_id is pay-other where pay-"),
        ({"status": "done"}, "status: Input should be 'charged' or 'pending'"),
        ({"number": 2}, "number is 2 where 1 was asked"),
        ({"status": "pending", "pending": {"url": "javascript:alert(1)"}}, "pending.url: "),
        ({"reference": ""}, "reference: "),
        ({"reference": "a\x00b"}, "reference: "),
        ({"reference": None}, "reference: "),
    ],
)
async def test_answer_that_does_not_match_the_charge_is_provider_unavailable(
    payments: PaymentProvider, server: ProviderServer, intent: PaymentIntent, changes: dict[str, Any], message: str
) -> None:
    server.answers("/charges", 200, charge_answer(intent, **changes))
    with pytest.raises(ProviderUnavailable, match="gave no usable answer to /charges") as raised:
        await payments.charge(intent)
    assert message in str(raised.value)
    assert await payments.charge(intent)


async def test_amounts_are_compared_by_value(
    payments: PaymentProvider, server: ProviderServer, intent: PaymentIntent
) -> None:
    for amount in ("31.3", "31.3000", 31.30):
        server.answers("/charges", 201, charge_answer(intent, amount=amount))
        assert (await payments.charge(intent)).reference == "ch_1"
    large = payment(uuid.uuid4().hex, amount="1E+4")
    await payments.charge(large)
    assert server.calls(payment_id=large.payment_id)[0]["body"]["amount"] == "10000.00"


@pytest.mark.parametrize("body", ["", "[]", "null", '"charged"', "{", "<html>", '{"a": "\\ud800"}', "\xff" * 9])
async def test_malformed_body_is_provider_unavailable(
    payments: PaymentProvider, server: ProviderServer, intent: PaymentIntent, body: str
) -> None:
    for path, call in (
        ("/charges", payments.charge),
        ("/voids", payments.void),
        ("/refunds", lambda intent: payments.refund(refund(intent))),
    ):
        server.answers(path, 200, body)
        with pytest.raises(ProviderUnavailable, match=f"gave no usable answer to {path}: ."):
            await call(intent)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("huge", "longer than 65536 bytes"),
        ("mute", "payment_id: Field required; status: Field required"),
        ("half", "could not be reached: "),
        ("drop_after", "could not be reached: "),
        ("broken", "answered 500: it broke"),
        ("unavailable", "answered 503: Service Unavailable"),
    ],
)
async def test_failed_call_says_what_failed(
    payments: PaymentProvider, server: ProviderServer, intent: PaymentIntent, fault: str, message: str
) -> None:
    server.script("/charges", fault)
    with pytest.raises(ProviderUnavailable, match=message):
        await payments.charge(intent)


@pytest.mark.parametrize("fault", [*BEFORE, *AFTER])
async def test_retried_charge_charges_once_after_any_fault(
    adapters: Any, server: ProviderServer, intent: PaymentIntent, fault: str
) -> None:
    timed_out, payments = await adapters.payments(payment_timeout="400ms"), await adapters.payments()
    server.script("/charges", {"fault": fault, "seconds": 0.6})
    with suppress(ProviderUnavailable):
        await timed_out.charge(intent)
    assert await payments.charge(intent)
    assert moved(server, intent) == {"charge": 1}


async def test_charge_that_arrives_after_its_void_moves_no_money(
    adapters: Any, server: ProviderServer, intent: PaymentIntent
) -> None:
    timed_out, payments = await adapters.payments(payment_timeout="300ms"), await adapters.payments()
    server.script("/charges", {"fault": "late_work", "seconds": 0.5})
    with pytest.raises(ProviderUnavailable, match=r"^the payment provider did not answer within 300ms$"):
        await timed_out.charge(intent)
    assert await payments.void(intent) is VoidOutcome.NEVER_CHARGED
    async with asyncio.timeout(30):
        with pytest.raises(PaymentVoided):
            await payments.charge(intent)
    assert moved(server, intent) == {"void": 1}


async def test_repeated_answer_is_not_matched_to_the_next_call(
    payments: PaymentProvider, server: ProviderServer
) -> None:
    first, other = payment(uuid.uuid4().hex), payment(uuid.uuid4().hex)
    server.script("/charges", {"fault": "again", "seconds": 0.4}, {"fault": "late", "seconds": 1.5})
    mine = await payments.charge(first)
    with pytest.raises(ProviderUnavailable, match=f"payment_id is {first.payment_id} where {other.payment_id} was"):
        await payments.charge(other)
    assert await payments.charge(other) != mine
    assert [moved(server, each) for each in (first, other)] == [{"charge": 1}] * 2
    ours = {first.payment_id, other.payment_id}
    ports = [call["peer"] for call in server.calls() if call["body"].get("payment_id") in ours]
    assert ports[0] == ports[1] != ports[2], "the connection is closed"


async def test_repeated_refusal_does_not_refuse_the_next_payment(
    payments: PaymentProvider, server: ProviderServer
) -> None:
    refused, other = payment(uuid.uuid4().hex, f"refuse-{uuid.uuid4().hex}"), payment(uuid.uuid4().hex)
    server.script("/charges", {"fault": "again", "seconds": 0.4}, {"fault": "late", "seconds": 1.5})
    with pytest.raises(PaymentRefused, match="402: card declined"):
        await payments.charge(refused)
    with pytest.raises(ProviderRequestRejected, match="402: card declined"):
        await payments.charge(other)
    assert await payments.void(other) is VoidOutcome.REFUNDED
    assert moved(server, other) == {"charge": 1, "void": 1, "refund": 1}


async def test_call_in_progress_ends_on_an_untrusted_connection(
    payments: PaymentProvider, server: ProviderServer
) -> None:
    slow, wrong = payment(uuid.uuid4().hex), payment(uuid.uuid4().hex)
    server.script("/charges", {"fault": "late", "seconds": 0.3}, "wrong")
    in_progress = asyncio.create_task(payments.charge(slow))
    await eventually(lambda: asyncio.to_thread(lambda: bool(server.calls(payment_id=slow.payment_id))))
    with pytest.raises(ProviderUnavailable):
        await payments.charge(wrong)
    assert await in_progress


async def test_unreachable_service_is_provider_unavailable(adapters: Any, intent: PaymentIntent) -> None:
    payments = await adapters.payments(payment_url="http://127.0.0.1:1/base")
    with pytest.raises(ProviderUnavailable, match=r"^the payment provider could not be reached: Cannot connect"):
        await payments.charge(intent)


async def test_redirect_is_not_followed(
    payments: PaymentProvider, server: ProviderServer, intent: PaymentIntent
) -> None:
    server.answers("/charges", 308, "", Location=f"{server.url}/charges")
    with pytest.raises(ProviderUnavailable, match="status 308 where 2xx was expected; redirects are not followed"):
        await payments.charge(intent)
    assert len(server.calls(payment_id=intent.payment_id)) == 1


async def test_token_file_is_read_for_each_call(
    adapters: Any, server: ProviderServer, intent: PaymentIntent, token_file: Path
) -> None:
    token_file.write_text("first")  # noqa: ASYNC240 - a few bytes
    payments = await adapters.payments(payment_token_file=token_file)
    await payments.charge(intent)
    token_file.write_text("second\n")  # noqa: ASYNC240
    await payments.charge(intent)
    sent = [call["headers"]["Authorization"] for call in server.calls(payment_id=intent.payment_id)]
    assert sent == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize("content", [None, "", "two words", "a\r\nX-Evil: 1", b"\xff\xfe"])
async def test_invalid_token_file_is_an_error_without_its_content(
    adapters: Any, server: ProviderServer, intent: PaymentIntent, token_file: Path, content: str | bytes | None
) -> None:
    token_file.write_text("good")  # noqa: ASYNC240 - a few bytes
    payments = await adapters.payments(payment_token_file=token_file)
    token_file.unlink()  # noqa: ASYNC240
    if content is not None:
        token_file.write_bytes(content.encode() if isinstance(content, str) else content)  # noqa: ASYNC240
    message = f"the token file {token_file} (can't be read|has to hold)"
    with pytest.raises(ProviderUnavailable, match=message) as raised:
        await payments.charge(intent)
    with pytest.raises(InvalidProviderFile, match=message):
        await adapters.payments(payment_token_file=token_file)
    assert "Evil" not in str(raised.value)
    assert not server.calls(payment_id=intent.payment_id)
