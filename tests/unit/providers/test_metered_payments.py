"""Every call of a payment provider is measured by its name and outcome."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orderfleet.domain.errors import PaymentRefused
from orderfleet.domain.order import CaptureMode
from orderfleet.domain.payment import CaptureIntent, RefundIntent
from orderfleet.observability.order_metrics import ProviderCallMetrics
from orderfleet.providers.interfaces import PreparesPayments
from orderfleet.providers.metered import metered_payments
from orderfleet.providers.payments.simulated import SimulatedPayments
from support.metric_samples import Samples, metric_changes
from support.sample_rows import payment
from support.scripted_providers import PreparingPayments

ALWAYS = (datetime(2020, 1, 1, tzinfo=UTC), datetime.now(UTC) + timedelta(days=1))


def measured(changes: Samples, call: str, outcome: str = "ok") -> float:
    return changes("orderfleet_provider_call_duration_seconds_count", provider="payments", call=call, outcome=outcome)


async def test_each_call_is_measured_once() -> None:
    provider = metered_payments(SimulatedPayments(), ProviderCallMetrics("payments", "simulated"))
    authorized = payment("ord-2", "pay-2")
    with metric_changes() as changes:
        await provider.charge(payment())
        await provider.authorize(authorized)
        await provider.capture(CaptureIntent(payment=authorized, amount=3130))
        await provider.refund(RefundIntent(payment=payment(), refund_id="r", amount=100))
        await provider.void(payment())
        assert await provider.look_up(payment()) is not None
        assert len([each async for each in provider.payments(*ALWAYS)]) == 2
    names = ("charge", "authorize", "capture", "refund", "void", "look_up", "payments")
    assert {name: measured(changes, name) for name in names} == dict.fromkeys(names, 1.0)
    assert provider.limits("USD").step == 1


async def test_refused_call_and_unfinished_list_have_their_outcome() -> None:
    provider = metered_payments(SimulatedPayments(), ProviderCallMetrics("payments", "simulated"))
    with metric_changes() as changes:
        with pytest.raises(PaymentRefused):
            await provider.charge(payment(payment_id="refuse-1"))
        await provider.charge(payment())
        listed = provider.payments(*ALWAYS)
        await anext(listed)
        await listed.aclose()  # type: ignore[attr-defined] - an async generator
    assert (measured(changes, "charge", "refused"), measured(changes, "payments", "canceled")) == (1.0, 1.0)


async def test_provider_prepares_payments_if_the_measured_one_does() -> None:
    metrics = ProviderCallMetrics("payments", "scripted")
    assert not isinstance(metered_payments(SimulatedPayments(), metrics), PreparesPayments)
    provider = metered_payments(PreparingPayments(), metrics)
    assert isinstance(provider, PreparesPayments)
    with metric_changes() as changes:
        assert await provider.prepare(payment(), CaptureMode.IMMEDIATE)
    assert measured(changes, "prepare") == 1.0
