from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from orderfleet.domain.errors import AuthorizationLapsed, PaymentRefused, PaymentVoided, ProviderUnavailable
from orderfleet.domain.payment import (
    AmountLimits,
    CaptureIntent,
    MovementKind,
    PaymentIntent,
    ProviderStatus,
    RefundIntent,
    VoidOutcome,
)
from orderfleet.providers.payments.simulated import SimulatedPayments
from orderfleet.providers.registry import PAYMENT_PROVIDERS, UnknownAdapter
from orderfleet.settings import Settings
from support.sample_rows import payment


@pytest.fixture(params=["memory", "file"])
def provider(request: pytest.FixtureRequest, tmp_path: Path) -> SimulatedPayments:
    return SimulatedPayments(ledger=None if request.param == "memory" else tmp_path / "new" / "ledger.db")


def refund(amount: int, refund_id: str = "order") -> RefundIntent:
    return RefundIntent(payment=payment(), refund_id=refund_id, amount=amount)


def moved(provider: SimulatedPayments) -> list[tuple[str, str]]:
    return [(entry.kind, str(entry.amount)) for entry in provider.ledger.entries()]


async def test_payment_is_charged_once(provider: SimulatedPayments) -> None:
    answers = await asyncio.gather(*(provider.charge(payment()) for _ in range(5)))
    assert len({answer.reference for answer in answers}) == 1
    assert moved(provider) == [("charge", "31.30")]
    assert provider.ledger.calls() == [("charge", "pay-ord-1")] * 5


async def test_charge_with_another_amount_is_refused(provider: SimulatedPayments) -> None:
    await provider.charge(payment(amount="10.00"))
    with pytest.raises(PaymentRefused, match=r"charged before: 10.00 USD for order ord-1"):
        await provider.charge(payment(amount="10.01"))
    with pytest.raises(PaymentRefused):
        await provider.charge(payment("ord-2", "pay-ord-1", "10.00"))
    await provider.charge(payment(amount="10"))  # the same amount in another notation
    assert moved(provider) == [("charge", "10.00")]


async def test_charge_of_a_voided_payment_is_rejected(provider: SimulatedPayments) -> None:
    assert await provider.void(payment()) is VoidOutcome.NEVER_CHARGED
    assert await provider.void(payment()) is VoidOutcome.NEVER_CHARGED
    with pytest.raises(PaymentVoided):
        await provider.charge(payment())
    assert moved(provider) == [("void", "31.30")]


async def test_void_refunds_what_a_charge_has_left(provider: SimulatedPayments) -> None:
    await provider.charge(payment())
    await provider.refund(refund(1000, "first"))
    assert [await provider.void(payment()) for _ in range(2)] == [VoidOutcome.REFUNDED] * 2
    with pytest.raises(PaymentVoided, match="what it captured is refunded"):
        await provider.refund(refund(100, "late"))
    with pytest.raises(PaymentVoided):
        await provider.charge(payment())
    assert moved(provider) == [("charge", "31.30"), ("refund", "10.00"), ("void", "31.30"), ("refund", "21.30")]


async def test_two_refunds_of_one_amount_are_two_and_a_repeated_one_is_one(provider: SimulatedPayments) -> None:
    first = await provider.charge(payment())
    answers = [await provider.refund(refund(1000, refund_id)) for refund_id in ("a", "b", "a")]
    assert answers[0] == answers[2] != answers[1]
    assert moved(provider) == [("charge", "31.30"), ("refund", "10.00"), ("refund", "10.00")]
    with pytest.raises(PaymentRefused, match=r"11.30 USD left to refund, not 11.31"):
        await provider.refund(refund(1131, "c"))
    with pytest.raises(PaymentRefused, match=r"pay-ord-1/refund/a/1 was used before, for 10.00 USD"):
        await provider.refund(refund(1001, "a"))
    assert await provider.charge(payment()) == first  # the same charge, refunded in part


async def test_refund_without_a_charge_is_refused(provider: SimulatedPayments) -> None:
    with pytest.raises(PaymentRefused, match="no charge and no authorization"):
        await provider.refund(refund(1))


async def test_authorization_is_captured_in_parts_and_its_rest_is_released(provider: SimulatedPayments) -> None:
    authorization = await provider.authorize(payment())
    assert await provider.authorize(payment()) == authorization
    with pytest.raises(PaymentRefused, match=r"authorized before: 31.30 USD"):
        await provider.charge(payment())
    captures = [CaptureIntent(payment=payment(), number=n, amount=1000, final=n == 2) for n in (1, 1, 2)]
    answers = [await provider.capture(each) for each in captures]
    assert answers[0] == answers[1] != answers[2]
    with pytest.raises(PaymentRefused, match="is captured; nothing can be captured"):
        await provider.capture(CaptureIntent(payment=payment(), number=3, amount=1))
    assert moved(provider) == [
        ("authorize", "31.30"),
        ("capture", "10.00"),
        ("capture", "10.00"),
        ("release", "11.30"),
    ]
    await provider.refund(refund(2000))
    with pytest.raises(PaymentRefused, match=r"0.00 USD left to refund"):
        await provider.refund(refund(1, "more"))


async def test_capture_above_the_authorization_is_refused(provider: SimulatedPayments) -> None:
    await provider.authorize(payment())
    with pytest.raises(PaymentRefused, match=r"31.30 USD left to capture, not 31.31"):
        await provider.capture(CaptureIntent(payment=payment(), amount=3131))
    assert moved(provider) == [("authorize", "31.30")]


async def test_void_releases_an_authorization_and_leaves_the_next_one(provider: SimulatedPayments) -> None:
    second = payment().model_copy(update={"number": 2})
    await provider.authorize(payment())
    await provider.authorize(second)
    assert [await provider.void(payment()) for _ in range(2)] == [VoidOutcome.RELEASED] * 2
    for call in (provider.authorize(payment()), provider.capture(CaptureIntent(payment=payment(), amount=3130))):
        with pytest.raises(PaymentVoided):
            await call
    await provider.capture(CaptureIntent(payment=second, amount=3130))
    assert [kind for kind, _ in moved(provider)] == ["authorize", "authorize", "void", "release", "capture"]


async def test_lapsed_authorization_is_released_and_not_captured(provider: SimulatedPayments) -> None:
    lapsing = payment().model_copy(update={"method": "lapse:1us"})
    assert (await provider.authorize(lapsing)).expires_at is not None
    with pytest.raises(AuthorizationLapsed, match="has lapsed"):
        await provider.capture(CaptureIntent(payment=lapsing, amount=3130))
    found = await provider.look_up(lapsing)
    assert found is not None
    assert (found.status, found.authorized) == (ProviderStatus.VOIDED, 3130)
    assert [kind for kind, _ in moved(provider)] == ["authorize", "release"]
    assert await provider.void(lapsing) is VoidOutcome.RELEASED


async def test_refused_capture_leaves_the_authorization(provider: SimulatedPayments) -> None:
    refusing = payment().model_copy(update={"method": "refuse_capture"})
    await provider.authorize(refusing)
    with pytest.raises(PaymentRefused, match="refuses captures"):
        await provider.capture(CaptureIntent(payment=refusing, amount=3130))
    assert await provider.void(refusing) is VoidOutcome.RELEASED


@pytest.mark.parametrize("kind", ["charge", "authorize"])
async def test_pending_payment_moves_money_when_it_is_confirmed(provider: SimulatedPayments, kind: str) -> None:
    waiting, call = payment().model_copy(update={"method": "pending:2h"}), getattr(provider, kind)
    first = await call(waiting)
    assert first.pending.url
    assert first.pending.until - datetime.now(UTC) > timedelta(hours=1)
    assert await call(waiting) == first
    assert moved(provider) == []
    provider.ledger.confirm("pay-ord-1")
    assert (await call(waiting)).pending is None
    assert moved(provider) == [(kind, "31.30")]
    with pytest.raises(LookupError):
        provider.ledger.confirm("pay-ord-1")


async def test_pending_payment_that_fails_is_refused_and_may_be_tried_again(provider: SimulatedPayments) -> None:
    waiting = payment().model_copy(update={"method": "pending"})
    await provider.charge(waiting)
    provider.ledger.fail("pay-ord-1")
    found = await provider.look_up(waiting)
    assert found is not None
    assert (found.status, found.reason) == (ProviderStatus.FAILED, "the customer did not confirm")
    await provider.charge(payment())
    assert moved(provider) == [("charge", "31.30")]


@pytest.mark.parametrize(
    ("method", "status", "reason"),
    [
        ("confirm:1us", ProviderStatus.CAPTURED, ""),
        ("fail:1us", ProviderStatus.FAILED, "card declined"),
        ("pending:1us", ProviderStatus.FAILED, "the customer did not confirm in time"),
    ],
)
async def test_pending_payment_is_decided_by_itself(
    provider: SimulatedPayments, method: str, status: ProviderStatus, reason: str
) -> None:
    waiting = payment().model_copy(update={"method": method})
    assert (await provider.charge(waiting)).pending is not None
    found = await provider.look_up(waiting)
    assert found is not None
    assert (found.status, found.reason) == (status, reason)


async def test_void_of_a_pending_payment_ends_it(provider: SimulatedPayments) -> None:
    await provider.charge(payment().model_copy(update={"method": "pending"}))
    assert await provider.void(payment()) is VoidOutcome.NEVER_CHARGED
    with pytest.raises(LookupError):
        provider.ledger.confirm("pay-ord-1")
    assert moved(provider) == [("void", "31.30")]


@pytest.mark.parametrize("method", ["", "refuse"])
async def test_refusal_moves_nothing_and_is_kept(provider: SimulatedPayments, method: str) -> None:
    refused = payment(payment_id="pay-1" if method else "refuse-1").model_copy(update={"method": method})
    for _ in range(2):
        with pytest.raises(PaymentRefused, match="was refused: card declined"):
            await provider.charge(refused)
    assert moved(provider) == []
    assert len(provider.ledger.calls()) == 2
    found = await provider.look_up(refused)
    assert found is not None
    assert (found.status, found.reason) == (ProviderStatus.FAILED, "card declined")


async def test_method_decides_before_the_prefix_of_the_id(provider: SimulatedPayments) -> None:
    await provider.charge(payment(payment_id="refuse-1").model_copy(update={"method": "card"}))
    assert moved(provider) == [("charge", "31.30")]
    with pytest.raises(PaymentRefused, match="is not a duration"):
        await provider.charge(payment().model_copy(update={"method": "pending:soon"}))


async def test_look_up_shows_every_movement(provider: SimulatedPayments) -> None:
    assert await provider.look_up(payment()) is None
    charge = await provider.charge(payment())
    ours = await provider.refund(refund(1000))
    theirs = provider.ledger.move("refund", "pay-ord-1", Decimal("1.30"))
    provider.ledger.move("charge_back", "pay-ord-1", Decimal("20.00"))
    by_reference = payment(payment_id="another").model_copy(update={"reference": charge.reference})
    found = await provider.look_up(by_reference)
    assert found is not None
    assert found == await provider.look_up(payment())
    assert (found.status, found.authorized) == (ProviderStatus.CAPTURED, 3130)
    assert [(each.kind, each.key, each.amount) for each in found.movements] == [
        (MovementKind.CAPTURED, "pay-ord-1", 3130),
        (MovementKind.REFUNDED, "pay-ord-1/refund/order/1", 1000),
        (MovementKind.REFUNDED, "", 130),
        (MovementKind.CHARGED_BACK, "", 2000),
    ]
    assert [each.reference for each in found.movements[:3]] == [charge.reference, ours.reference, theirs]
    with pytest.raises(PaymentRefused, match=r"0.00 USD left to refund"):
        await provider.refund(refund(1, "more"))


async def test_list_has_what_was_created_or_moved_in_the_time_range(provider: SimulatedPayments) -> None:
    async def listed(since: datetime, until: datetime) -> list[str]:
        return [each.payment_id async for each in provider.payments(since, until)]

    start = datetime.now(UTC)
    await provider.charge(payment())
    await asyncio.sleep(0.01)
    middle = datetime.now(UTC)
    await provider.charge(payment("ord-2", "pay-2"))
    assert await listed(start, middle) == ["pay-ord-1"]
    assert await listed(middle, datetime.now(UTC) + timedelta(seconds=1)) == ["pay-2"]
    await provider.refund(refund(100))
    assert sorted(await listed(middle, datetime.now(UTC) + timedelta(seconds=1))) == ["pay-2", "pay-ord-1"]


async def test_amounts_that_break_the_limits_are_refused() -> None:
    provider = SimulatedPayments(limits={"KWD": AmountLimits(step=10, minimum=100)})
    assert provider.limits("USD") == AmountLimits()
    for amount in (90, 1001):
        with pytest.raises(PaymentRefused, match=r"a multiple of 0.010 KWD from 0.100 KWD"):
            await provider.charge(PaymentIntent(payment_id="p", order_id="o", currency="KWD", amount=amount))
    charged = PaymentIntent(payment_id="p", order_id="o", currency="KWD", amount=1000)
    await provider.charge(charged)
    with pytest.raises(PaymentRefused, match=r"a multiple of 0.010 KWD"):
        await provider.refund(RefundIntent(payment=charged, refund_id="r", amount=15))
    await provider.refund(RefundIntent(payment=charged, refund_id="r", amount=10))


async def test_charge_whose_answer_is_lost_is_committed() -> None:
    provider = SimulatedPayments(latency=timedelta(hours=1))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await provider.charge(payment())
    assert moved(provider) == [("charge", "31.30")]


async def test_amounts_are_exact(provider: SimulatedPayments) -> None:
    await provider.charge(payment(amount="9999999999.99"))
    assert provider.ledger.entries()[0].amount == Decimal("9999999999.99")


async def test_ledger_that_cannot_be_opened_is_provider_unavailable(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").mkdir()
    provider = SimulatedPayments(ledger=tmp_path / "ledger.db")
    with pytest.raises(ProviderUnavailable, match="unable to open"):
        await provider.charge(payment())


async def test_providers_are_selected_by_name() -> None:
    async with PAYMENT_PROVIDERS.open(Settings(environment="local")) as provider:
        assert isinstance(provider, SimulatedPayments)
    with pytest.raises(UnknownAdapter, match=r"no payment provider is called 'strip'; known: http, simulated"):
        PAYMENT_PROVIDERS.open(Settings(payment_provider="strip"))
