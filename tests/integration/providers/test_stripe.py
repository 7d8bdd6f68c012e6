"""The adapter `stripe` against a server that keeps state as Stripe does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from orderfleet.domain.errors import (
    AuthorizationLapsed,
    PaymentRefused,
    PaymentVoided,
    ProviderRequestRejected,
    ProviderUnavailable,
)
from orderfleet.domain.order import CaptureMode
from orderfleet.domain.payment import (
    CaptureIntent,
    MovementKind,
    PaymentIntent,
    ProviderStatus,
    RefundIntent,
    VoidOutcome,
)
from orderfleet.providers.connections import InvalidProviderFile
from orderfleet.providers.payments.stripe.adapter import StripePayments
from orderfleet.providers.payments.stripe.objects import StripeIntent
from orderfleet.providers.registry import PAYMENT_PROVIDERS
from orderfleet.settings import Settings
from stripe_server import books
from stripe_server.server import KEY, RESTRICTED, StripeServer

IMMEDIATE, ON_SHIPMENT = CaptureMode.IMMEDIATE, CaptureMode.ON_SHIPMENT
RETURN_URL = "https://shop.example.com/paid"


@pytest.fixture
async def server() -> AsyncIterator[StripeServer]:
    async with StripeServer().running() as running:
        yield running


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    return file


def settings(server: StripeServer, key_file: Path, **values: Any) -> Settings:
    long = {"payment_timeout": "20s", "charge_timeout": "60s", "refund_timeout": "60s", "capture_timeout": "60s"}
    return Settings(
        payment_provider="stripe", payment_url=server.url, payment_token_file=key_file, **{**long, **values}
    )


@pytest.fixture
async def payments(server: StripeServer, key_file: Path) -> AsyncIterator[StripePayments]:
    async with PAYMENT_PROVIDERS.open(settings(server, key_file, stripe_return_url=RETURN_URL)) as adapter:
        assert isinstance(adapter, StripePayments)
        yield adapter


def intent(**values: Any) -> PaymentIntent:
    given = {"payment_id": "pay-1", "order_id": "ord-1", "currency": "USD", "amount": 1998, "method": books.CARD}
    return PaymentIntent(**{**given, **values})


async def prepared(payments: StripePayments, capture: CaptureMode = IMMEDIATE, **values: Any) -> PaymentIntent:
    payment = intent(**values)
    return payment.model_copy(update={"reference": await payments.prepare(payment, capture)})


async def authorized(payments: StripePayments, **values: Any) -> PaymentIntent:
    payment = await prepared(payments, ON_SHIPMENT, **values)
    await payments.authorize(payment)
    return payment


async def charged(payments: StripePayments, **values: Any) -> PaymentIntent:
    payment = await prepared(payments, **values)
    await payments.charge(payment)
    return payment


def lose_answer(server: StripeServer, operation: str) -> None:
    """The next request of an operation is carried out, and its connection is closed instead of an answer."""
    reads = operation.startswith("list") or operation == "retrieve"
    # The HTTP client itself repeats a read whose connection was closed.
    server.faults[operation] = ["drop", "drop"] if reads else ["drop"]


def moved(server: StripeServer) -> list[int]:
    return [each["amount"] for each in server.books.transactions]


class TestCharge:
    async def test_charge_confirms_the_prepared_intent(self, server, payments):
        payment = await prepared(payments)
        assert moved(server) == []
        charge = await payments.charge(payment)
        assert (charge.reference, charge.pending) == (payment.reference, None)
        assert moved(server) == [1998]
        stored = server.books.intents[payment.reference]
        assert stored["metadata"] == {
            "orderfleet_payment_id": "pay-1",
            "orderfleet_order_id": "ord-1",
            "orderfleet_number": "1",
        }

    async def test_prepare_has_the_payment_id_as_idempotency_key_and_pins_the_version(self, server, payments):
        first, second = await payments.prepare(intent(), IMMEDIATE), await payments.prepare(intent(), IMMEDIATE)
        assert first == second
        headers = server.requests[0][2]
        assert headers["Idempotency-Key"] == "pay-1"
        assert headers["Stripe-Version"] == "2026-10-28.endive"
        assert headers["Authorization"] == f"Bearer {KEY}"
        assert "X-Stripe-Client-Telemetry" not in headers

    @pytest.mark.parametrize("forgotten", [False, True])
    async def test_charge_twice_charges_once(self, server, payments, forgotten):
        payment = await charged(payments)
        if forgotten:
            server.forget_keys()
        assert (await payments.charge(payment)).reference == payment.reference
        assert moved(server) == [1998]

    @pytest.mark.parametrize("operation", ["retrieve", "confirm"])
    async def test_charge_with_a_lost_answer_is_charged_once(self, server, payments, operation):
        payment = await prepared(payments)
        lose_answer(server, operation)
        with pytest.raises(ProviderUnavailable, match="could not be reached"):
            await payments.charge(payment)
        server.forget_keys()
        await payments.charge(payment)
        assert moved(server) == [1998]

    async def test_prepare_with_a_lost_answer_returns_the_same_intent(self, server, payments):
        lose_answer(server, "create")
        with pytest.raises(ProviderUnavailable):
            await payments.prepare(intent(), IMMEDIATE)
        assert await payments.prepare(intent(), IMMEDIATE) == next(iter(server.books.intents))
        assert len(server.books.intents) == 1

    async def test_concurrent_charges_charge_once(self, server, payments):
        payment = await prepared(payments)
        charges = await asyncio.gather(*(payments.charge(payment) for _ in range(8)))
        assert {charge.reference for charge in charges} == {payment.reference}
        assert moved(server) == [1998]

    @pytest.mark.parametrize("other", [{"amount": 1999}, {"currency": "EUR"}, {"order_id": "ord-2"}])
    @pytest.mark.parametrize("before", [False, True])
    async def test_charge_with_other_content_is_refused(self, server, payments, other, before):
        payment = await charged(payments) if before else await prepared(payments)
        with pytest.raises(PaymentRefused):
            await payments.charge(payment.model_copy(update=other))
        assert moved(server) == ([1998] if before else [])

    async def test_prepare_with_other_content_under_the_key_is_refused(self, payments):
        await prepared(payments)
        with pytest.raises(PaymentRefused, match="same parameters"):
            await payments.prepare(intent(amount=1), IMMEDIATE)

    async def test_charge_of_an_authorization_is_refused(self, server, payments):
        payment = await prepared(payments, ON_SHIPMENT)
        with pytest.raises(PaymentRefused, match="capture method"):
            await payments.charge(payment)
        assert server.operations("confirm") == []

    async def test_declined_charge_is_refused_and_may_be_tried_with_another_method(self, server, payments):
        payment = await prepared(payments, method=books.DECLINED)
        with pytest.raises(PaymentRefused, match=r"402: .*\(card_declined, insufficient_funds\)"):
            await payments.charge(payment)
        found = await payments.look_up(payment)
        assert found is not None
        assert (found.status, found.authorized) == (ProviderStatus.FAILED, 0)
        assert "insufficient_funds" in found.reason
        await payments.charge(payment.model_copy(update={"method": books.CARD}))
        assert moved(server) == [1998]

    async def test_charge_without_a_method_is_refused_with_the_remedy(self, payments):
        with pytest.raises(PaymentRefused, match=r"payment\.method"):
            await charged(payments, method="")

    async def test_saved_method_sets_its_customer(self, server, payments):
        payment = await charged(payments, method=f"{books.CUSTOMER}/{books.SAVED}")
        assert server.books.intents[payment.reference]["customer"] == books.CUSTOMER
        assert moved(server) == [1998]

    async def test_authentication_is_pending_with_its_page_until_the_customer_answers(self, server, payments):
        payment = await prepared(payments, method=books.AUTHENTICATION)
        charge = await payments.charge(payment)
        assert charge.pending is not None
        assert charge.pending.url == f"https://hooks.example.com/3ds/{payment.reference}"
        found = await payments.look_up(payment)
        assert found is not None
        assert (found.status, found.pending) == (ProviderStatus.PENDING, charge.pending)
        server.books.finish(payment.reference)
        assert (await payments.charge(payment)).pending is None
        assert moved(server) == [1998]

    async def test_failed_authentication_is_a_failed_payment(self, server, payments):
        payment = await charged(payments, method=books.AUTHENTICATION)
        server.books.finish(payment.reference, declined=True)
        found = await payments.look_up(payment)
        assert found is not None
        assert (found.status, found.pending) == (ProviderStatus.FAILED, None)

    async def test_authentication_without_a_return_url_is_pending_without_a_page(self, server, key_file):
        async with PAYMENT_PROVIDERS.open(settings(server, key_file)) as adapter:
            charge = await adapter.charge(await prepared(adapter, method=books.AUTHENTICATION))
        assert charge.pending is not None
        assert charge.pending.url == ""
        assert server.operations("create")[0]["automatic_payment_methods"]["allow_redirects"] == "never"

    @pytest.mark.parametrize(
        ("end", "until"), [(1893456000, datetime(2030, 1, 1, tzinfo=UTC)), ("soon", None), (2**60, None)]
    )
    def test_voucher_is_pending_with_its_page_until_it_expires(self, end, until):
        details = {"hosted_voucher_url": "https://pay.example.com/1", "expires_at": end}
        found = StripeIntent(
            id="pi_1",
            status="requires_action",
            amount=1,
            currency="usd",
            created=0,
            next_action={"type": "konbini_display_details", "konbini_display_details": details},
        )
        assert (found.pending.url, found.pending.until) == ("https://pay.example.com/1", until)

    async def test_bank_debit_is_pending(self, server, payments):
        payment = await prepared(payments, method=books.BANK_DEBIT)
        assert (await payments.charge(payment)).pending is not None
        server.books.finish(payment.reference)
        assert (await payments.charge(payment)).pending is None

    async def test_charge_without_a_reference_finds_the_confirmed_intent(self, server, payments):
        payment = await charged(payments)
        server.forget_keys()
        assert (await payments.charge(intent())).reference == payment.reference
        assert moved(server) == [1998]


class TestErrors:
    @pytest.mark.parametrize(
        ("fault", "error"),
        [
            ({"status": 500, "body": '{"error": {"type": "api_error", "message": "broken"}}'}, ProviderUnavailable),
            (
                {"status": 409, "body": '{"error": {"type": "idempotency_error", "message": "in use"}}'},
                ProviderUnavailable,
            ),
            ({"status": 502, "body": "<html>bad gateway</html>"}, ProviderUnavailable),
            ({"status": 200, "body": "not JSON"}, ProviderUnavailable),
            ({"status": 200, "body": '{"id": "pi_1", "object": "payment_intent"}'}, ProviderUnavailable),
            ({"status": 302, "body": "", "headers": {"Location": "/elsewhere"}}, ProviderUnavailable),
            ({"status": 403, "body": '{"error": {"message": "no permission"}}'}, ProviderRequestRejected),
            ({"status": 404, "body": '{"error": {"message": "no such intent"}}'}, ProviderRequestRejected),
            ("drop_before", ProviderUnavailable),
        ],
    )
    async def test_answer_is_the_error(self, server, payments, fault, error):
        payment = await prepared(payments)
        server.faults["retrieve"] = [fault, fault]
        with pytest.raises(error):
            await payments.charge(payment)
        assert len(server.operations("retrieve")) == (2 if fault == "drop_before" else 1)
        assert server.operations("confirm") == []

    @pytest.mark.parametrize("operation", ["create", "capture", "refund", "void"])
    async def test_error_that_stripe_has_saved_for_a_key_does_not_stay_for_a_day(self, server, payments, operation):
        broken = {"status": 500, "body": '{"error": {"type": "api_error", "message": "broken"}}'}
        if operation == "create":
            server.faults["create"] = [broken]
            with pytest.raises(ProviderUnavailable):
                await payments.prepare(intent(), IMMEDIATE)
            await charged(payments)
            assert moved(server) == [1998]
            return
        payment = await (authorized(payments) if operation == "capture" else charged(payments))
        act, request, money = {
            "capture": (payments.capture, CaptureIntent(payment=payment, amount=1998), [1998]),
            "refund": (payments.refund, RefundIntent(payment=payment, refund_id="r1", amount=500), [1998, -500]),
            "void": (payments.void, payment, [1998, -1998]),
        }[operation]
        server.faults["refund" if operation == "void" else operation] = [broken]
        with pytest.raises(ProviderUnavailable, match="broken"):
            await act(request)
        for _ in range(2):
            await act(request)
        assert moved(server) == money

    async def test_rate_limit_is_unavailable_for_the_time_that_stripe_asks(self, server, payments):
        body = '{"error": {"type": "invalid_request_error", "code": "rate_limit", "message": "Too many requests"}}'
        server.faults["create"] = [{"status": 429, "body": body, "headers": {"Retry-After": "7"}}]
        with pytest.raises(ProviderUnavailable, match="429") as raised:
            await payments.prepare(intent(), IMMEDIATE)
        assert raised.value.retry_after == timedelta(seconds=7)

    async def test_timeout_bounds_all_requests_of_a_call(self, server, key_file):
        short = settings(server, key_file, payment_timeout="300ms")
        async with PAYMENT_PROVIDERS.open(short) as adapter:
            payment = await prepared(adapter)
            server.faults["confirm"] = ["hang"]
            began = time.monotonic()
            with pytest.raises(ProviderUnavailable, match="within 300ms"):
                await adapter.charge(payment)
            assert time.monotonic() - began < 5
            await adapter.charge(payment)
        assert moved(server) == [1998]

    async def test_replaced_key_is_read_for_the_next_request(self, server, payments, key_file):
        server.keys = {"sk_test_other"}
        with pytest.raises(ProviderUnavailable, match="401"):
            await payments.prepare(intent(), IMMEDIATE)
        key_file.write_text("sk_test_other")
        assert await payments.prepare(intent(), IMMEDIATE)

    async def test_restricted_key_without_a_permission_is_rejected(self, payments, key_file):
        payment = await charged(payments)
        key_file.write_text(RESTRICTED)
        with pytest.raises(ProviderRequestRejected, match="permission"):
            await payments.refund(RefundIntent(payment=payment, refund_id="r1", amount=1))

    async def test_unreadable_key_is_unavailable_in_a_call_and_wrong_at_the_start(self, server, payments, key_file):
        key_file.unlink()
        with pytest.raises(ProviderUnavailable, match="can't be read"):
            await payments.prepare(intent(), IMMEDIATE)
        with pytest.raises(InvalidProviderFile):
            await AsyncExitStack().enter_async_context(PAYMENT_PROVIDERS.open(settings(server, key_file)))

    @pytest.mark.parametrize(("environment", "warnings"), [("local", 0), ("production", 1)])
    async def test_key_for_tests_outside_a_local_stack_is_logged(self, server, key_file, environment, warnings):
        with capture_logs() as logged:
            async with PAYMENT_PROVIDERS.open(settings(server, key_file, environment=environment)):
                pass
        assert [each["event"].endswith("no money moves") for each in logged] == [True] * warnings

    async def test_unknown_reference_is_rejected(self, payments):
        with pytest.raises(ProviderRequestRejected, match="No such payment_intent"):
            await payments.charge(intent(reference="pi_unknown"))


class TestAmounts:
    @pytest.mark.parametrize(
        ("currency", "amount", "written"),
        [
            ("USD", 1998, "1998"),
            ("JPY", 1998, "1998"),
            ("KWD", 1990, "1990"),
            ("ISK", 500, "50000"),
            ("UGX", 500, "50000"),
            ("MGA", 50000, "500"),
        ],
    )
    async def test_amount_is_written_as_stripe_asks(self, server, payments, currency, amount, written):
        payment = await charged(payments, currency=currency, amount=amount)
        assert server.operations("create")[0]["amount"] == written
        found = await payments.look_up(payment)
        assert found is not None
        assert (found.amount, found.movements[0].amount) == (amount, amount)

    @pytest.mark.parametrize(("currency", "amount"), [("KWD", 1995), ("MGA", 50050), ("USD", 49), ("JPY", 49)])
    async def test_amount_off_the_step_or_below_the_minimum_is_refused(self, payments, currency, amount):
        limits = payments.limits(currency)
        assert amount % limits.step or amount < limits.minimum
        with pytest.raises(PaymentRefused):
            await payments.prepare(intent(currency=currency, amount=amount), IMMEDIATE)


class TestCapture:
    async def test_capture_takes_a_part_and_releases_the_rest(self, server, payments):
        payment = await authorized(payments)
        assert moved(server) == []
        capture = CaptureIntent(payment=payment, amount=1500)
        reference = (await payments.capture(capture)).reference
        assert reference.startswith("ch_")
        assert moved(server) == [1500]
        found = await payments.look_up(payment)
        assert found is not None
        assert (found.status, found.authorized) == (ProviderStatus.CAPTURED, 1998)
        assert [(each.kind, each.key, each.amount) for each in found.movements] == [
            (MovementKind.CAPTURED, "pay-1/1/capture/1", 1500)
        ]

    async def test_authorization_says_until_when_and_how_often_it_can_be_captured(self, server, payments):
        several = await payments.authorize(await prepared(payments, ON_SHIPMENT))
        assert several.multiple_captures
        assert several.expires_at is not None
        assert several.expires_at > datetime.now(UTC) + timedelta(days=6)
        server.books.multicapture = False
        assert not (await payments.authorize(await prepared(payments, ON_SHIPMENT, payment_id="p2"))).multiple_captures

    @pytest.mark.parametrize("operation", ["retrieve", "capture"])
    @pytest.mark.parametrize("forgotten", [False, True])
    async def test_capture_with_a_lost_answer_captures_once(self, server, payments, operation, forgotten):
        payment = await authorized(payments)
        capture = CaptureIntent(payment=payment, amount=1000)
        lose_answer(server, operation)
        with pytest.raises(ProviderUnavailable):
            await payments.capture(capture)
        if forgotten:
            server.forget_keys()
        await payments.capture(capture)
        assert moved(server) == [1000]

    async def test_several_captures_with_lost_answers_capture_each_once(self, server, payments):
        payment = await authorized(payments)
        captures = [
            CaptureIntent(payment=payment, number=1, amount=500, final=False),
            CaptureIntent(payment=payment, number=2, amount=500, final=False),
            CaptureIntent(payment=payment, number=3, amount=998),
        ]
        for capture in captures:
            lose_answer(server, "capture")
            with pytest.raises(ProviderUnavailable):
                await payments.capture(capture)
            server.forget_keys()
            await payments.capture(capture)
        server.forget_keys()
        for capture in captures:
            await payments.capture(capture)
        assert moved(server) == [500, 500, 998]
        found = await payments.look_up(payment)
        assert found is not None
        assert [each.amount for each in found.movements] == [500, 500, 998]

    async def test_concurrent_captures_without_keys_capture_once(self, server, payments):
        payment = await authorized(payments)
        capture = CaptureIntent(payment=payment, amount=1998)
        await asyncio.gather(*(payments.capture(capture) for _ in range(8)))
        assert moved(server) == [1998]

    async def test_capture_of_another_amount_under_the_number_is_refused(self, server, payments):
        payment = await authorized(payments)
        await payments.capture(CaptureIntent(payment=payment, amount=1000))
        with pytest.raises(PaymentRefused, match="another amount"):
            await payments.capture(CaptureIntent(payment=payment, amount=1001))
        assert moved(server) == [1000]

    async def test_capture_above_the_authorization_is_refused(self, server, payments):
        payment = await authorized(payments)
        with pytest.raises(PaymentRefused, match="amount_too_large"):
            await payments.capture(CaptureIntent(payment=payment, amount=1999))
        assert moved(server) == []

    async def test_second_capture_of_a_single_capture_is_refused(self, server, payments):
        server.books.multicapture = False
        payment = await authorized(payments)
        await payments.capture(CaptureIntent(payment=payment, amount=1000))
        with pytest.raises(PaymentRefused, match="can't be captured"):
            await payments.capture(CaptureIntent(payment=payment, number=2, amount=500))
        assert moved(server) == [1000]

    async def test_capture_of_a_lapsed_authorization_says_so(self, server, payments):
        canceled, expired = await authorized(payments), await authorized(payments, payment_id="pay-2")
        server.books.lapse(canceled.reference)
        server.books.clock = lambda: time.time() + 8 * 86400
        for payment in (canceled, expired):
            with pytest.raises(AuthorizationLapsed):
                await payments.capture(CaptureIntent(payment=payment, amount=1000))
        assert moved(server) == []

    async def test_renewed_authorization_is_another_intent_with_its_number(self, server, payments):
        first = await authorized(payments)
        server.books.lapse(first.reference)
        second = await authorized(payments, number=2)
        assert second.reference != first.reference
        await payments.capture(CaptureIntent(payment=second, amount=1998))
        assert await payments.void(first) is VoidOutcome.RELEASED
        assert moved(server) == [1998]

    async def test_capture_before_the_authorization_is_refused(self, payments):
        payment = await prepared(payments, ON_SHIPMENT)
        with pytest.raises(PaymentRefused, match="requires_payment_method"):
            await payments.capture(CaptureIntent(payment=payment, amount=1000))


class TestRefund:
    async def test_two_equal_refunds_are_two(self, server, payments):
        payment = await charged(payments)
        for refund_id in ("r1", "r2"):
            await payments.refund(RefundIntent(payment=payment, refund_id=refund_id, amount=500))
        assert moved(server) == [1998, -500, -500]

    @pytest.mark.parametrize("forgotten", [False, True])
    @pytest.mark.parametrize("operation", ["list_refunds", "refund"])
    async def test_refund_with_a_lost_answer_refunds_once(self, server, payments, operation, forgotten):
        refund = RefundIntent(payment=await charged(payments), refund_id="r1", amount=500)
        lose_answer(server, operation)
        with pytest.raises(ProviderUnavailable):
            await payments.refund(refund)
        if forgotten:
            server.forget_keys()
        first, second = await payments.refund(refund), await payments.refund(refund)
        assert first == second
        assert moved(server) == [1998, -500]

    async def test_refund_is_found_among_more_than_a_page(self, server, payments):
        payment = await charged(payments)
        refunds = [RefundIntent(payment=payment, refund_id=f"r{each}", amount=1) for each in range(120)]
        for refund in refunds:
            await payments.refund(refund)
        server.forget_keys()
        await payments.refund(refunds[0])
        assert moved(server) == [1998, *[-1] * 120]

    async def test_refund_above_what_is_left_is_refused(self, server, payments):
        payment = await charged(payments)
        await payments.refund(RefundIntent(payment=payment, refund_id="r1", amount=1500))
        for amount in (499, 1998):
            with pytest.raises(PaymentRefused):
                await payments.refund(RefundIntent(payment=payment, refund_id=f"r-{amount}", amount=amount))
        assert moved(server) == [1998, -1500]

    async def test_refund_of_a_refunded_charge_is_refused(self, server, payments):
        payment = await charged(payments)
        await payments.refund(RefundIntent(payment=payment, refund_id="r1", amount=1998))
        with pytest.raises(PaymentRefused, match="already been refunded"):
            await payments.refund(RefundIntent(payment=payment, refund_id="r2", amount=1))

    @pytest.mark.parametrize("forgotten", [False, True])
    async def test_refund_of_another_amount_under_the_id_is_refused(self, server, payments, forgotten):
        payment = await charged(payments)
        await payments.refund(RefundIntent(payment=payment, refund_id="r1", amount=500))
        if forgotten:
            server.forget_keys()
        with pytest.raises(PaymentRefused, match="another amount"):
            await payments.refund(RefundIntent(payment=payment, refund_id="r1", amount=501))
        assert moved(server) == [1998, -500]

    async def test_refund_that_failed_at_stripe_is_refused_and_shows_in_the_books(self, server, payments):
        payment = await charged(payments)
        refund = RefundIntent(payment=payment, refund_id="r1", amount=500)
        server.books.fail_refund((await payments.refund(refund)).reference)
        with pytest.raises(PaymentRefused, match="lost_or_stolen_card"):
            await payments.refund(refund)
        found = await payments.look_up(payment)
        assert found is not None
        assert [(each.kind, each.key) for each in found.movements] == [
            (MovementKind.CAPTURED, "pay-1"),
            (MovementKind.REFUNDED, refund.key),
            (MovementKind.REFUND_FAILED, refund.key),
        ]

    async def test_long_refund_id_has_a_key_that_stripe_takes(self, server, payments):
        payment = await charged(payments, payment_id="p" * 200)
        for last in "ab":
            await payments.refund(RefundIntent(payment=payment, refund_id="r" * 63 + last, amount=500))
        keys = [headers["Idempotency-Key"] for name, _, headers in server.requests if name == "refund"]
        assert [len(key) for key in keys] == [255, 255]
        assert moved(server) == [1998, -500, -500]


class TestVoid:
    @pytest.mark.parametrize(
        ("method", "outcome"),
        [
            ("", VoidOutcome.NEVER_CHARGED),
            (books.AUTHENTICATION, VoidOutcome.NEVER_CHARGED),
            (books.CARD, VoidOutcome.RELEASED),
        ],
    )
    async def test_void_cancels_what_is_not_captured(self, server, payments, method, outcome):
        payment = await prepared(payments, ON_SHIPMENT, method=method)
        if method:
            await payments.authorize(payment)
        assert await payments.void(payment) is outcome
        assert await payments.void(payment) is outcome
        with pytest.raises(PaymentVoided):
            await payments.authorize(payment.model_copy(update={"method": books.CARD}))
        assert moved(server) == []

    async def test_void_refunds_what_is_captured_and_not_refunded(self, server, payments):
        payment = await charged(payments)
        await payments.refund(RefundIntent(payment=payment, refund_id="r1", amount=500))
        assert await payments.void(payment) is VoidOutcome.REFUNDED
        assert await payments.void(payment) is VoidOutcome.REFUNDED
        assert moved(server) == [1998, -500, -1498]
        with pytest.raises(PaymentVoided):
            await payments.charge(payment)
        found = await payments.look_up(payment)
        assert found is not None
        assert found.status is ProviderStatus.VOIDED
        assert found.movements[-1].key == "pay-1/void"

    @pytest.mark.parametrize("operation", ["retrieve", "update", "list_refunds", "refund"])
    async def test_void_with_a_lost_answer_refunds_once(self, server, payments, operation):
        payment = await charged(payments)
        lose_answer(server, operation)
        with pytest.raises(ProviderUnavailable):
            await payments.void(payment)
        server.forget_keys()
        assert await payments.void(payment) is VoidOutcome.REFUNDED
        assert moved(server) == [1998, -1998]

    async def test_void_with_a_lost_cancellation_releases_once(self, server, payments):
        payment = await authorized(payments)
        lose_answer(server, "cancel")
        with pytest.raises(ProviderUnavailable):
            await payments.void(payment)
        assert await payments.void(payment) is VoidOutcome.RELEASED

    async def test_void_after_a_part_of_several_captures_releases_and_refunds(self, server, payments):
        payment = await authorized(payments)
        await payments.capture(CaptureIntent(payment=payment, amount=500, final=False))
        assert await payments.void(payment) is VoidOutcome.REFUNDED
        assert moved(server) == [500, -500]
        assert server.books.intents[payment.reference]["status"] == "canceled"

    async def test_void_makes_a_failed_refund_again(self, server, payments):
        payment = await charged(payments)
        await payments.void(payment)
        server.books.fail_refund(next(iter(server.books.refunds)))
        assert await payments.void(payment) is VoidOutcome.REFUNDED
        assert [each["amount"] for each in server.books.refunds_of(payment.reference, counted=True)] == [1998]

    async def test_void_leaves_what_a_dispute_took(self, server, payments):
        payment = await charged(payments)
        server.books.dispute(payment.reference)
        assert await payments.void(payment) is VoidOutcome.REFUNDED
        assert moved(server) == [1998, -1998]

    async def test_void_of_a_payment_in_process_is_tried_later(self, server, payments):
        payment = await charged(payments, method=books.BANK_DEBIT)
        with pytest.raises(ProviderUnavailable, match="in process"):
            await payments.void(payment)
        server.books.finish(payment.reference)
        assert await payments.void(payment) is VoidOutcome.REFUNDED
        assert moved(server) == [1998, -1998]

    @pytest.mark.parametrize("capture", [IMMEDIATE, ON_SHIPMENT])
    @pytest.mark.parametrize("search_lags", [False, True])
    async def test_void_without_a_reference_closes_the_prepared_intent(self, server, payments, capture, search_lags):
        payment = await prepared(payments, capture)
        server.search_lags = search_lags
        assert await payments.void(intent()) is VoidOutcome.NEVER_CHARGED
        confirm = payments.charge if capture is IMMEDIATE else payments.authorize
        with pytest.raises(PaymentVoided):
            await confirm(payment)
        assert moved(server) == []

    async def test_void_before_the_prepare_closes_what_the_late_prepare_gets(self, server, payments):
        assert await payments.void(intent()) is VoidOutcome.NEVER_CHARGED
        with pytest.raises(PaymentVoided):
            await charged(payments)
        with pytest.raises(PaymentRefused):
            await prepared(payments, ON_SHIPMENT)
        assert moved(server) == []

    async def test_void_without_a_reference_and_keys_finds_the_intent_by_its_metadata(self, server, payments):
        payment = await charged(payments)
        server.forget_keys()
        assert await payments.void(intent()) is VoidOutcome.REFUNDED
        assert moved(server) == [1998, -1998]
        assert server.books.intents[payment.reference]["metadata"]["orderfleet_voided"] == "true"

    async def test_void_leaves_other_payments_and_numbers(self, server, payments):
        await charged(payments)
        await charged(payments, number=2)
        await charged(payments, payment_id="pay-10")
        assert await payments.void(intent(number=2)) is VoidOutcome.REFUNDED
        assert moved(server) == [1998, 1998, 1998, -1998]

    async def test_void_of_an_amount_that_stripe_refuses_finds_nothing(self, payments):
        assert await payments.void(intent(amount=1)) is VoidOutcome.NEVER_CHARGED


class TestBooks:
    async def test_look_up_of_an_unknown_payment_is_none(self, payments):
        assert await payments.look_up(intent()) is None

    async def test_look_up_of_an_intent_that_nothing_confirmed_is_none(self, payments):
        assert await payments.look_up(await prepared(payments)) is None

    async def test_look_up_finds_the_confirmed_intent_by_its_metadata(self, server, payments):
        payment = await charged(payments)
        server.forget_keys()
        await payments.prepare(intent(), IMMEDIATE)
        found = await payments.look_up(intent())
        assert found is not None
        assert (found.reference, found.status) == (payment.reference, ProviderStatus.CAPTURED)

    async def test_dispute_is_charged_back_and_reversed(self, server, payments):
        payment = await charged(payments)
        dispute = server.books.dispute(payment.reference)
        server.books.win_dispute(dispute["id"])
        found = await payments.look_up(payment)
        assert found is not None
        assert [(each.kind, each.reference, each.amount) for each in found.movements[1:]] == [
            (MovementKind.CHARGED_BACK, dispute["id"], 1998),
            (MovementKind.CHARGE_BACK_REVERSED, dispute["id"], 1998),
        ]

    async def test_payments_lists_what_was_created_or_moved_money(self, server, payments):
        now = time.time()
        old = await charged(payments, payment_id="pay-old")
        await charged(payments, payment_id="pay-untouched")
        server.books.clock = lambda: now + 86400
        await payments.refund(RefundIntent(payment=old, refund_id="r1", amount=500))
        for number in range(105):
            await charged(payments, payment_id=f"pay-new-{number}", method=books.AUTHENTICATION)
        await prepared(payments, payment_id="pay-untried")
        server.books.create({"amount": "100", "currency": "usd", "metadata": {"order_id": "of another system"}})
        since = datetime.fromtimestamp(now + 3600, UTC)
        found = [each async for each in payments.payments(since, since + timedelta(days=2))]
        ids = [each.payment_id for each in found]
        assert sorted(ids) == sorted(["pay-old", *(f"pay-new-{number}" for number in range(105))])
        assert {each.status for each in found if each.payment_id != "pay-old"} == {ProviderStatus.PENDING}
