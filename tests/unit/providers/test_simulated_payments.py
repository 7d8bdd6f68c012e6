from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from orderfleet.domain.errors import PaymentRefused, PaymentVoided, ProviderUnavailable
from orderfleet.domain.payment import VoidOutcome
from orderfleet.providers.payments.simulated import SimulatedPayments
from orderfleet.providers.registry import PAYMENT_PROVIDERS, UnknownAdapter
from orderfleet.settings import Settings
from support.sample_rows import payment


@pytest.fixture(params=["memory", "file"])
def provider(request: pytest.FixtureRequest, tmp_path: Path) -> SimulatedPayments:
    return SimulatedPayments(ledger=None if request.param == "memory" else tmp_path / "new" / "ledger.db")


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


async def test_void_refunds_a_charge_once(provider: SimulatedPayments) -> None:
    await provider.charge(payment())
    assert [await provider.void(payment()) for _ in range(2)] == [VoidOutcome.REFUNDED] * 2
    await provider.refund(payment())
    with pytest.raises(PaymentVoided):
        await provider.charge(payment())
    assert Counter(kind for kind, _ in moved(provider)) == {"charge": 1, "refund": 1, "void": 1}


async def test_refund_is_made_once(provider: SimulatedPayments) -> None:
    first = await provider.charge(payment())
    await provider.refund(payment())
    await provider.refund(payment())
    assert moved(provider) == [("charge", "31.30"), ("refund", "31.30")]
    assert await provider.charge(payment()) == first  # the same charge, refunded
    assert len(moved(provider)) == 2


async def test_refund_without_a_charge_is_refused(provider: SimulatedPayments) -> None:
    with pytest.raises(PaymentRefused, match="no charge to refund"):
        await provider.refund(payment())


async def test_refusal_by_prefix_is_shown(provider: SimulatedPayments) -> None:
    for _ in range(2):
        with pytest.raises(PaymentRefused):
            await provider.charge(payment(payment_id="refuse-1"))
    assert moved(provider) == []
    assert len(provider.ledger.calls()) == 2


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
