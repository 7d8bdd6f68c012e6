"""Reconciliation on a real server, a real Postgres and the simulated provider: every difference is found, once."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from temporalio.client import Client

from orderfleet.domain import names
from orderfleet.domain.differences import DifferenceKind as Kind
from orderfleet.domain.differences import RecordedDifference
from orderfleet.domain.ledger import PaymentDetail, PaymentEntry, RefundRequest
from orderfleet.domain.order import CaptureMode, Delivery
from orderfleet.domain.payment import Charge, PaymentIntent, ProviderStatus, Refund, VoidOutcome
from orderfleet.domain.reconciliation_run import Reconciliation, ReconciliationProgress
from orderfleet.domain.status import PaymentStatus, Step
from orderfleet.orders.reconciliation import OVERLAP
from orderfleet.orders.schedules import ensure_schedule, reconciliation
from orderfleet.providers.payments.simulated import SimulatedPayments
from orderfleet.store.payment_reads import PaymentReads
from orderfleet.store.reconciliation import PostgresDifferences
from orderfleet.store.writes import OrderWrites
from support.factories import AUTO
from support.metric_samples import metric_changes
from support.polling import eventually
from support.sample_rows import payment, receive, sample_order
from support.workflow_env import WorkflowTestEnv, workflow_test_env

WHOLE = Decimal("31.30")
PART = Decimal("1.30")


@dataclass
class Books:
    """Both books, and a worker that reconciles them."""

    env: WorkflowTestEnv
    provider: SimulatedPayments
    record: OrderWrites
    ledger: PaymentReads
    differences: PostgresDifferences

    async def begin(
        self, name: str, *, capture: CaptureMode = CaptureMode.IMMEDIATE, method: str = ""
    ) -> PaymentIntent:
        """A payment that the ledger has, and whose charge or authorization has not begun."""
        await receive(self.record, sample_order(name))
        intent = payment(name).model_copy(update={"method": method})
        await self.record.begin_payment(intent, capture=capture)
        return intent

    async def charged(self, name: str) -> PaymentIntent:
        """A payment that is charged in both books."""
        intent = await self.begin(name)
        await self.record.finish_payment(intent, PaymentStatus.CHARGED, await self.provider.charge(intent))
        return intent

    async def authorized(self, name: str, method: str = "") -> PaymentIntent:
        """A payment that is authorized in both books."""
        intent = await self.begin(name, capture=CaptureMode.ON_SHIPMENT, method=method)
        answer = await self.provider.authorize(intent)
        await self.record.finish_payment(intent, PaymentStatus.AUTHORIZED, answer, capture=CaptureMode.ON_SHIPMENT)
        return intent

    async def refunded(self, intent: PaymentIntent, *, provider: bool = True) -> None:
        """Refund a part, in the ledger and at the provider."""
        request = RefundRequest(refund_id="part", amount=130)
        (part,) = (await self.record.begin_refund(intent.payment_id, intent.order_id, request)).parts
        answer = await self.provider.refund(part) if provider else Refund(reference="re_lost")
        await self.record.finish_refund(part, answer)

    def move(self, kind: str, intent: PaymentIntent, amount: Decimal = PART) -> str:
        return self.provider.ledger.move(kind, intent.payment_id, amount)

    async def payment(self, name: str) -> PaymentDetail:
        found = await self.ledger.payment(f"pay-{name}")
        assert found is not None
        return found

    async def reconcile(self, **changes: Any) -> ReconciliationProgress:
        given = {"policy": self.env.order("any").policy, "grace": timedelta(0), **changes}
        return await self.env.temporal.execute_workflow(
            names.RECONCILIATION_WORKFLOW,
            Reconciliation(**given),
            id=f"reconciliation-{uuid.uuid4()}",
            task_queue=self.env.settings.orders_task_queue,
            result_type=ReconciliationProgress,
        )

    async def open(self) -> dict[tuple[str, str], RecordedDifference]:
        return {(each.payment_id, each.kind): each for each in await self.differences.differences()}


@pytest.fixture
async def books(temporal_client: Client, postgres_url: str, task_queues: Any) -> AsyncIterator[Books]:
    provider = SimulatedPayments()
    queues = task_queues.orders, task_queues.shipping
    async with workflow_test_env(temporal_client, postgres_url, *queues, provider=provider) as env:
        database = env.database
        # Slices of few entries, so that a window has several.
        differences = PostgresDifferences(database, slice_entries=5)
        yield Books(env, provider, OrderWrites(database), PaymentReads(database), differences)


async def _capture_of_a_payment_in_progress(books: Books) -> None:
    await books.provider.charge(await books.begin("in-progress"))


async def _capture_of_a_failed_payment(books: Books) -> None:
    intent = await books.begin("failed")
    await books.record.finish_payment(intent, PaymentStatus.FAILED)
    await books.provider.charge(intent)


async def _capture_of_a_voided_payment(books: Books) -> None:
    intent = await books.begin("voided")
    await books.record.finish_payment(intent, PaymentStatus.VOIDED, outcome=VoidOutcome.NEVER_CHARGED)
    await books.provider.charge(intent)


async def _capture_in_the_ledger_alone(books: Books) -> None:
    intent = await books.begin("ours")
    await books.record.finish_payment(intent, PaymentStatus.CHARGED, Charge(reference="ch_lost"))


async def _other_amount(books: Books) -> None:
    intent = await books.begin("amount")
    await books.provider.charge(intent.model_copy(update={"amount": 3131}))


async def _other_currency(books: Books) -> None:
    intent = await books.begin("currency")
    await books.provider.charge(intent.model_copy(update={"currency": "EUR"}))


async def _other_order(books: Books) -> None:
    intent = await books.begin("order")
    await books.provider.charge(intent.model_copy(update={"order_id": "another"}))


async def _refund_in_the_dashboard(books: Books) -> None:
    books.move("refund", await books.charged("dashboard"))


async def _refund_in_the_ledger_alone(books: Books) -> None:
    await books.refunded(await books.charged("refund"), provider=False)


async def _failed_refund(books: Books) -> None:
    intent = await books.charged("refund-failed")
    await books.refunded(intent)
    books.move("refund_failure", intent)


async def _charge_back(books: Books) -> None:
    books.move("charge_back", await books.charged("dispute"))


async def _charge_back_that_was_reversed(books: Books) -> None:
    intent = await books.charged("dispute-won")
    reference = books.move("charge_back", intent)
    await books.record.record_fact(
        intent.payment_id,
        PaymentEntry(
            kind="charged_back",
            key=reference,
            amount=130,
            currency="USD",
            source="webhook",
            reference=reference,
            at=datetime.now(UTC),
        ),
    )
    books.move("charge_back_reversal", intent)


async def _authorization_that_stayed_open(books: Books) -> None:
    intent = await books.authorized("not-released")
    await books.record.finish_payment(
        intent, PaymentStatus.VOIDED, capture=CaptureMode.ON_SHIPMENT, outcome=VoidOutcome.RELEASED
    )


async def _authorization_that_lapsed(books: Books) -> None:
    await books.authorized("lapsed", method="lapse:1ms")
    await asyncio.sleep(0.01)


async def _authorization_of_the_provider_alone(books: Books) -> None:
    await books.provider.authorize(await books.begin("authorized", capture=CaptureMode.ON_SHIPMENT))


async def _payment_of_the_provider_alone(books: Books) -> None:
    await books.provider.charge(payment("unknown"))


async def _second_charge(books: Books) -> None:
    books.move("charge", await books.charged("twice"), WHOLE)


SAFE: dict[Callable[[Books], Awaitable[None]], tuple[str, Kind]] = {
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
UNSAFE: dict[Callable[[Books], Awaitable[None]], tuple[str, Kind]] = {
    _capture_in_the_ledger_alone: ("pay-ours", Kind.CAPTURE_NOT_AT_PROVIDER),
    _other_amount: ("pay-amount", Kind.AMOUNT),
    _other_currency: ("pay-currency", Kind.CURRENCY),
    _other_order: ("pay-order", Kind.ORDER_ID),
    _refund_in_the_ledger_alone: ("pay-refund", Kind.REFUND_NOT_AT_PROVIDER),
    _payment_of_the_provider_alone: ("pay-unknown", Kind.PAYMENT_NOT_IN_LEDGER),
    _second_charge: ("pay-twice", Kind.CHARGED_TWICE),
}


def test_every_kind_is_injected() -> None:
    assert {kind for _, kind in (SAFE | UNSAFE).values()} == set(Kind)


async def test_every_difference_is_found_and_the_safe_ones_are_repaired(books: Books) -> None:
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

    # Another one finds only those that need a person, and they stay the same ones.
    before = await books.open()
    second = await books.reconcile()
    assert (second.found, second.repaired, second.open.unsafe) == (len(UNSAFE), 0, len(UNSAFE))
    after = await books.open()
    assert set(after) == set(UNSAFE.values())
    assert all(found.first_seen_at == before[each].first_seen_at for each, found in after.items())


async def test_repaired_refund_shows_in_the_live_status_of_a_running_order(books: Books) -> None:
    order_id = f"reconciled-{uuid.uuid4().hex[:8]}"
    await books.env.start(books.env.order(order_id, review=AUTO, delivery=Delivery(confirm=True)))
    await books.env.until_recorded(order_id, lambda status: status.step is Step.SHIPPED)
    books.provider.ledger.move("refund", f"pay-{order_id}", PART)
    assert (await books.reconcile()).repaired == 1
    shown = await books.env.until(order_id, lambda status: bool(status.payment.refunded))
    assert (shown.payment.status, shown.payment.refunded) == (PaymentStatus.PARTIALLY_REFUNDED, PART)
    assert shown.payment == (await books.env.recorded(order_id)).status.payment


async def test_difference_that_is_gone_is_resolved_although_the_window_is_over(books: Books) -> None:
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


async def test_dry_run_lists_and_repairs_nothing(books: Books) -> None:
    await _refund_in_the_dashboard(books)
    result = await books.reconcile(repair=False)
    assert (result.found, result.repaired) == (1, 0)
    ((found),) = (await books.open()).values()
    assert found.safe
    assert (await books.payment("dashboard")).refunded == 0


async def test_operation_in_progress_is_not_reported_within_the_grace_time(books: Books) -> None:
    await _capture_of_a_payment_in_progress(books)
    assert (await books.reconcile(grace=timedelta(minutes=10))).found == 0
    assert (await books.payment("in-progress")).status is PaymentStatus.INIT


async def test_scheduled_run_begins_where_the_last_completed_one_ended(books: Books) -> None:
    often = timedelta(seconds=1)
    settings = books.env.settings.model_copy(
        update={"reconciliation_interval": often, "reconciliation_window": timedelta(0)}
    )
    schedule = reconciliation(settings)
    await ensure_schedule(books.env.temporal, schedule)
    handle = books.env.temporal.get_schedule_handle(schedule.id)
    try:
        query = f'WorkflowType = "{names.RECONCILIATION_WORKFLOW}" AND TaskQueue = "{schedule.task_queue}"'
        query += ' AND ExecutionStatus = "Completed"'
        await eventually(lambda: books.env.temporal.count_workflows(query), lambda found: found.count >= 2)
    finally:
        await handle.delete()
    ids = [found.id async for found in books.env.temporal.list_workflows(query)]
    results = [
        await books.env.temporal.get_workflow_handle(each, result_type=ReconciliationProgress).result() for each in ids
    ]
    first, second, *_ = sorted(results, key=lambda each: each.until or datetime.max.replace(tzinfo=UTC))
    assert first.until is not None
    assert second.since == first.until - settings.reconciliation_grace - OVERLAP
