"""Reconciliation on a real server, a real Postgres and the simulated provider: every difference is found, once."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import Client

from orderfleet.domain.differences import DifferenceKind as Kind
from orderfleet.domain.order import CaptureMode, Delivery
from orderfleet.domain.payment import Charge, ProviderStatus, VoidOutcome
from orderfleet.domain.status import PaymentStatus, Step
from orderfleet.providers.payments.simulated import SimulatedPayments
from support.factories import AUTO
from support.metric_samples import metric_changes
from support.reconciled_books import PART, WHOLE, ReconciledBooks
from support.sample_rows import payment
from support.workflow_env import workflow_test_env


@pytest.fixture
async def books(temporal_client: Client, postgres_url: str, task_queues: Any) -> AsyncIterator[ReconciledBooks]:
    provider = SimulatedPayments()
    queues = task_queues.orders, task_queues.shipping
    async with workflow_test_env(temporal_client, postgres_url, *queues, provider=provider) as env:
        yield ReconciledBooks.of(env, provider)


async def _capture_of_a_payment_in_progress(books: ReconciledBooks) -> None:
    await books.provider.charge(await books.begin("in-progress"))


async def _capture_of_a_failed_payment(books: ReconciledBooks) -> None:
    intent = await books.begin("failed")
    await books.record.finish_payment(intent, PaymentStatus.FAILED)
    await books.provider.charge(intent)


async def _capture_of_a_voided_payment(books: ReconciledBooks) -> None:
    intent = await books.begin("voided")
    await books.record.finish_payment(intent, PaymentStatus.VOIDED, outcome=VoidOutcome.NEVER_CHARGED)
    await books.provider.charge(intent)


async def _capture_in_the_ledger_alone(books: ReconciledBooks) -> None:
    intent = await books.begin("ours")
    await books.record.finish_payment(intent, PaymentStatus.CHARGED, Charge(reference="ch_lost"))


async def _other_amount(books: ReconciledBooks) -> None:
    intent = await books.begin("amount")
    await books.provider.charge(intent.model_copy(update={"amount": 3131}))


async def _other_currency(books: ReconciledBooks) -> None:
    intent = await books.begin("currency")
    await books.provider.charge(intent.model_copy(update={"currency": "EUR"}))


async def _other_order(books: ReconciledBooks) -> None:
    intent = await books.begin("order")
    await books.provider.charge(intent.model_copy(update={"order_id": "another"}))


async def _refund_in_the_dashboard(books: ReconciledBooks) -> None:
    books.move("refund", await books.charged("dashboard"))


async def _refund_in_the_ledger_alone(books: ReconciledBooks) -> None:
    await books.refunded(await books.charged("refund"), provider=False)


async def _failed_refund(books: ReconciledBooks) -> None:
    intent = await books.charged("refund-failed")
    await books.refunded(intent)
    books.move("refund_failure", intent)


async def _charge_back(books: ReconciledBooks) -> None:
    books.move("charge_back", await books.charged("dispute"))


async def _charge_back_that_was_reversed(books: ReconciledBooks) -> None:
    intent = await books.charged("dispute-won")
    await books.fact(intent, "charged_back", books.move("charge_back", intent))
    books.move("charge_back_reversal", intent)


async def _charge_back_in_the_ledger_alone(books: ReconciledBooks) -> None:
    await books.fact(await books.charged("dispute-ours"), "charged_back", "dp_lost")


async def _reversal_of_a_charge_back_in_the_ledger_alone(books: ReconciledBooks) -> None:
    intent = await books.charged("dispute-lost")
    reference = books.move("charge_back", intent)
    await books.fact(intent, "charged_back", reference)
    await books.fact(intent, "charge_back_reversed", reference)


async def _failure_of_a_refund_in_the_ledger_alone(books: ReconciledBooks) -> None:
    intent = await books.charged("refund-paid-out")
    await books.fact(intent, "refund_reversed", await books.refunded(intent))


async def _authorization_that_stayed_open(books: ReconciledBooks) -> None:
    intent = await books.authorized("not-released")
    await books.record.finish_payment(
        intent, PaymentStatus.VOIDED, capture=CaptureMode.ON_SHIPMENT, outcome=VoidOutcome.RELEASED
    )


async def _authorization_that_lapsed(books: ReconciledBooks) -> None:
    await books.authorized("lapsed", method="lapse:1ms")
    await asyncio.sleep(0.01)


async def _authorization_of_the_provider_alone(books: ReconciledBooks) -> None:
    await books.provider.authorize(await books.begin("authorized", capture=CaptureMode.ON_SHIPMENT))


async def _payment_of_the_provider_alone(books: ReconciledBooks) -> None:
    await books.provider.charge(payment("unknown"))


async def _second_charge(books: ReconciledBooks) -> None:
    books.move("charge", await books.charged("twice"), WHOLE)


SAFE: dict[Callable[[ReconciledBooks], Awaitable[None]], tuple[str, Kind]] = {
    _capture_of_a_payment_in_progress: ("pay-in-progress", Kind.CAPTURE_NOT_IN_LEDGER),
    _capture_of_a_failed_payment: ("pay-failed", Kind.CAPTURE_NOT_IN_LEDGER),
    _capture_of_a_voided_payment: ("pay-voided", Kind.CAPTURE_NOT_IN_LEDGER),
    _refund_in_the_dashboard: ("pay-dashboard", Kind.REFUND_NOT_IN_LEDGER),
    _failed_refund: ("pay-refund-failed", Kind.REFUND_FAILED),
    _charge_back: ("pay-dispute", Kind.CHARGE_BACK_NOT_IN_LEDGER),
    _charge_back_that_was_reversed: ("pay-dispute-won", Kind.CHARGE_BACK_REVERSAL_NOT_IN_LEDGER),
    _authorization_that_stayed_open: ("pay-not-released", Kind.AUTHORIZATION_NOT_RELEASED),
    _authorization_that_lapsed: ("pay-lapsed", Kind.AUTHORIZATION_ENDED),
    _authorization_of_the_provider_alone: ("pay-authorized", Kind.AUTHORIZATION_NOT_IN_LEDGER),
}
UNSAFE: dict[Callable[[ReconciledBooks], Awaitable[None]], tuple[str, Kind]] = {
    _capture_in_the_ledger_alone: ("pay-ours", Kind.CAPTURE_NOT_AT_PROVIDER),
    _other_amount: ("pay-amount", Kind.AMOUNT),
    _other_currency: ("pay-currency", Kind.CURRENCY),
    _other_order: ("pay-order", Kind.ORDER_ID),
    _refund_in_the_ledger_alone: ("pay-refund", Kind.REFUND_NOT_AT_PROVIDER),
    _failure_of_a_refund_in_the_ledger_alone: ("pay-refund-paid-out", Kind.REFUND_FAILURE_NOT_AT_PROVIDER),
    _charge_back_in_the_ledger_alone: ("pay-dispute-ours", Kind.CHARGE_BACK_NOT_AT_PROVIDER),
    _reversal_of_a_charge_back_in_the_ledger_alone: (
        "pay-dispute-lost",
        Kind.CHARGE_BACK_REVERSAL_NOT_AT_PROVIDER,
    ),
    _payment_of_the_provider_alone: ("pay-unknown", Kind.PAYMENT_NOT_IN_LEDGER),
    _second_charge: ("pay-twice", Kind.CHARGED_TWICE),
}


REPAIRS: dict[str, list[tuple[str, str]]] = {
    "in-progress": [("captured", "31.30")],
    "failed": [("captured", "31.30")],
    "voided": [("captured", "31.30"), ("payment_voided", "31.30"), ("refunded", "31.30")],
    "dashboard": [("refunded", "1.30")],
    "refund-failed": [("refund_failed", "1.30")],
    "dispute": [("charged_back", "1.30")],
    "dispute-won": [("charge_back_reversed", "1.30")],
    "not-released": [("payment_voided", "31.30")],
    "lapsed": [("released", "31.30")],
    "authorized": [("authorized", "31.30")],
}
"""The events of the repairs by order; the orders have no others beside their receipt."""


def test_every_kind_is_injected() -> None:
    assert {kind for _, kind in (SAFE | UNSAFE).values()} == set(Kind)


async def test_every_difference_is_found_and_the_safe_ones_are_repaired(books: ReconciledBooks) -> None:
    for number in range(4):
        await books.charged(f"equal-{number}")
    for inject in SAFE | UNSAFE:
        await inject(books)
    with metric_changes() as samples:
        first = await books.reconcile()
    assert (first.found, first.repaired) == (len(SAFE) + len(UNSAFE), len(SAFE))
    assert first.open.unsafe == len(UNSAFE)
    everything = {(each.payment_id, each.kind): each for each in await books.differences.differences(resolved=True)}
    assert set(everything) == set((SAFE | UNSAFE).values())
    assert {each for each, found in everything.items() if found.repaired_at} == set(SAFE.values())
    for kind, count in Counter(kind for _, kind in SAFE.values()).items():
        assert samples("orderfleet_payment_differences_repaired_total", kind=kind) == count

    # The ledger has what the provider did, and the provider has returned what was undone.
    expected = {
        "in-progress": PaymentStatus.CHARGED,
        "failed": PaymentStatus.CHARGED,
        "voided": PaymentStatus.REFUNDED,
        "dashboard": PaymentStatus.PARTIALLY_REFUNDED,
        "refund-failed": PaymentStatus.CHARGED,
        "not-released": PaymentStatus.VOIDED,
        "lapsed": PaymentStatus.VOIDED,
        "authorized": PaymentStatus.AUTHORIZED,
    }
    for name, status in expected.items():
        assert (await books.payment(name)).status is status, name
    disputes = [(await books.payment(name)).charged_back for name in ("dispute", "dispute-won")]
    assert disputes == [130, 0]
    for name in ("voided", "not-released"):
        record = await books.provider.look_up(payment(name))
        assert record is not None
        assert record.status is ProviderStatus.VOIDED
    sources = {each.source for each in (await books.payment("dashboard")).entries if each.kind == "refunded"}
    assert sources == {"reconciliation"}

    for name, repairs in REPAIRS.items():
        events = [each for each in await books.env.events(name) if each.kind != "received"]
        assert [(each.kind, each.detail["amount"]) for each in events] == repairs, name
        assert {(each.detail["payment"], each.detail["by"]) for each in events} == {(f"pay-{name}", "reconciliation")}

    # Another one finds only those that need a person, and they stay the same ones.
    before = await books.open()
    second = await books.reconcile()
    assert (second.found, second.repaired, second.open.unsafe) == (len(UNSAFE), 0, len(UNSAFE))
    after = await books.open()
    assert set(after) == set(UNSAFE.values())
    assert all(found.first_seen_at == before[each].first_seen_at for each, found in after.items())


async def test_repaired_refund_shows_in_the_live_status_of_a_running_order(books: ReconciledBooks) -> None:
    order_id = f"reconciled-{uuid.uuid4().hex[:8]}"
    await books.env.start(books.env.order(order_id, review=AUTO, delivery=Delivery(confirm=True)))
    await books.env.until_recorded(order_id, lambda status: status.step is Step.SHIPPED)
    books.provider.ledger.move("refund", f"pay-{order_id}", PART)
    assert (await books.reconcile()).repaired == 1
    shown = await books.env.until(order_id, lambda status: bool(status.payment.refunded))
    assert (shown.payment.status, shown.payment.refunded) == (PaymentStatus.PARTIALLY_REFUNDED, PART)
    assert shown.payment == (await books.env.recorded(order_id)).status.payment


async def test_difference_that_is_gone_is_resolved_although_the_window_is_over(books: ReconciledBooks) -> None:
    await _second_charge(books)
    assert (await books.reconcile()).open.unsafe == 1
    long_ago = datetime.now(UTC) - timedelta(days=2)
    window = {"since": long_ago, "until": long_ago + timedelta(hours=1)}
    still_there = await books.reconcile(**window)
    assert (still_there.window.compared, still_there.open.found, still_there.open.unsafe) == (0, 1, 1)
    books.move("refund", payment("twice"), WHOLE)
    gone = await books.reconcile(**window)
    assert (gone.found, gone.open.unsafe) == (0, 0)
    (resolved,) = await books.differences.differences(resolved=True)
    assert resolved.resolved_at is not None
    assert resolved.repaired_at is None


async def test_dry_run_lists_and_repairs_nothing(books: ReconciledBooks) -> None:
    await _refund_in_the_dashboard(books)
    result = await books.reconcile(repair=False)
    assert (result.found, result.repaired) == (1, 0)
    ((found),) = (await books.open()).values()
    assert found.safe
    assert (await books.payment("dashboard")).refunded == 0


async def test_operation_in_progress_is_not_reported_within_the_grace_time(books: ReconciledBooks) -> None:
    await _capture_of_a_payment_in_progress(books)
    assert (await books.reconcile(grace=timedelta(minutes=10))).found == 0
    assert (await books.payment("in-progress")).status is PaymentStatus.INIT
