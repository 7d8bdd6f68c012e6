"""Activities of a reconciliation: compare the ledger with the payment provider's books, repair what is safe.

Each runs for a bounded time, sends its position with each heartbeat, and returns it. What it repeats after a kill
changes nothing: a fact is recorded once, and a provider can void again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

import structlog
from pydantic import ValidationError
from temporalio import activity

from orderfleet.domain.base import Contract, truncate
from orderfleet.domain.books import authorizations
from orderfleet.domain.differences import Difference, DifferenceId, DifferenceStore, RecordedDifference
from orderfleet.domain.errors import OrderfleetError, PaymentsNotListed, ProviderUnavailable, StoreUnavailable
from orderfleet.domain.events import Progress, reported_event
from orderfleet.domain.ledger import RETURNS, EntryKind, EntrySource, PaymentDetail, PaymentEntry
from orderfleet.domain.payment import PaymentIntent, ProviderPayment
from orderfleet.domain.ports import OrderStore, OrderWorkflows
from orderfleet.domain.reconciliation import compare_books
from orderfleet.domain.reconciliation_run import NOT_SUPPORTED, ReconcileInput, ReconcileResult
from orderfleet.domain.status import Step
from orderfleet.observability import metrics
from orderfleet.providers.interfaces import PaymentProvider
from orderfleet.temporal.concurrency import limited
from orderfleet.temporal.step_interceptors import AttemptClock

_log = structlog.get_logger()
T = TypeVar("T")
R = TypeVar("R")

BUDGET_SECONDS: Final = 30.0
"""An activity begins no further part of the window after this time; the workflow schedules the next one."""
SLICE: Final = timedelta(hours=1)
"""Longest part of a window that is compared at once."""
BATCH: Final = 200
"""Payments that are compared at once, so the most that are in memory."""
MAX_CONCURRENT: Final = 8
"""Calls of the provider at the same time."""
_UNAVAILABLE: Final = (ProviderUnavailable, StoreUnavailable)
_NO_GRACE: Final = datetime.max.replace(tzinfo=UTC)


@dataclass
class _Run:
    """State of one attempt: its input, its result so far, and when it must stop."""

    step: ReconcileInput
    clock: AttemptClock = field(default_factory=AttemptClock)
    until: float = field(default_factory=lambda: time.monotonic() + BUDGET_SECONDS)

    def __post_init__(self) -> None:
        self.result = _resumed() or ReconcileResult(position=self.step.position)

    @property
    def over(self) -> bool:
        return self.result.done or time.monotonic() >= self.until

    @property
    def before(self) -> datetime:
        """A difference that began later may be an operation in progress."""
        return self.clock.now() - self.step.grace

    def add(self, *, compared: int = 0, found: int = 0, repaired: int = 0) -> None:
        before = self.result
        counts = {
            "compared": before.compared + compared,
            "found": before.found + found,
            "repaired": before.repaired + repaired,
        }
        self.result = before.model_copy(update=counts)
        self.beat()

    def advance(self, position: str, *, done: bool) -> None:
        self.result = self.result.model_copy(update={"position": position, "done": done})
        self.beat()

    def beat(self) -> None:
        """Send a heartbeat with the position that the next attempt continues from."""
        activity.heartbeat(self.result)


class ReconciliationActivities:
    """Activities on the ledger and the payment provider.

    Args:
        store: the ledger as a reconciliation reads it, and the differences.
        facts: the order store, in which facts and their events are recorded.
        provider: of payments.
        workflows: of the orders, whose live status shows a repaired payment.
    """

    def __init__(
        self, store: DifferenceStore, facts: OrderStore, provider: PaymentProvider, workflows: OrderWorkflows
    ) -> None:
        self._store = store
        self._facts = facts
        self._provider = provider
        self._workflows = workflows
        self._warned = False

    @activity.defn(name="reconcile_window")
    async def reconcile_window(self, step: ReconcileInput) -> ReconcileResult:
        """Compare what changed in a range of time, in parts of at most an hour and a bounded number of entries."""
        run = _Run(step)
        try:
            await self._compare_window(run)
        except PaymentsNotListed as error:
            metrics.RECONCILIATIONS_NOT_SUPPORTED.inc()
            if not self._warned:
                _log.warning(NOT_SUPPORTED, answer=str(error))
            self._warned = True
            return run.result.model_copy(update={"not_supported": truncate(str(error))})
        return run.result

    async def _compare_window(self, run: _Run) -> None:
        step = run.step
        while not run.over:
            start = datetime.fromisoformat(run.result.position) if run.result.position else step.since
            end = await self._store.slice_end(start, min(start + SLICE, step.until))
            seen: set[str] = set()
            async with aclosing(_batches(self._provider.payments(start, end), BATCH)) as batches:
                async for records in batches:
                    payments = await self._store.payments({record.payment_id for record in records})
                    await self._settle(run, payments, records, complete=False)
                    seen.update(record.payment_id for record in records)
            await self._compare_unlisted(run, start, end, seen)
            run.advance(end.astimezone(UTC).isoformat(), done=end >= step.until)

    @activity.defn(name="reconcile_open")
    async def reconcile_open(self, step: ReconcileInput) -> ReconcileResult:
        """Compare the open differences that this reconciliation has not found yet; resolve those that are gone.

        The last one completes the reconciliation.
        """
        run = _Run(step)
        while not run.over:
            page = await self._store.open_differences(step.started, run.result.position, BATCH)
            for payment_id in sorted({each.payment_id for each in page}):
                await self._compare_again(run, [each for each in page if each.payment_id == payment_id])
                run.advance(payment_id, done=False)
            run.advance(run.result.position, done=len(page) < BATCH)
        if run.result.done:
            return run.result.model_copy(update={"unsafe": await self._store.complete()})
        return run.result

    async def _compare_unlisted(self, run: _Run, start: datetime, end: datetime, seen: Collection[str]) -> None:
        """Compare the payments that the ledger changed in a range of time and that the provider did not list."""
        after = ""
        while page := await self._store.active_payments(start, end, after, BATCH):
            after = page[-1]
            unlisted = [payment_id for payment_id in page if payment_id not in seen]
            payments = await self._store.payments(unlisted) if unlisted else []
            wanted = [intent for payment in payments for intent in authorizations(payment)]
            records = await asyncio.gather(*map(limited(self._provider.look_up, MAX_CONCURRENT, run.beat), wanted))
            await self._settle(run, payments, [each for each in records if each is not None], complete=True)

    async def _compare_again(self, run: _Run, before: Sequence[RecordedDifference]) -> None:
        """Compare the payment of open differences; resolve those that are gone."""
        payments, records = await self._look_up(before[0].payment_id, before)
        found = await self._settle(run, payments, records, complete=True)
        for gone in {each.identity for each in before} - {each.identity for each in found}:
            await self._store.resolve(gone)

    async def _look_up(
        self, payment_id: str, differences: Iterable[Difference | RecordedDifference]
    ) -> tuple[list[PaymentDetail], list[ProviderPayment]]:
        """The payment in the ledger, and what the provider has of it under the ids of the ledger and of differences."""
        payments = await self._store.payments([payment_id])
        wanted = [intent for payment in payments for intent in authorizations(payment)]
        known = {intent.reference for intent in wanted}
        wanted += [_intent(each) for each in differences if each.reference not in known]
        records = [await self._provider.look_up(intent) for intent in wanted]
        unique = {(each.number, each.reference): each for each in records if each is not None}
        return payments, [each for each in unique.values() if each.payment_id == payment_id]

    async def _settle(
        self, run: _Run, payments: Sequence[PaymentDetail], records: Sequence[ProviderPayment], *, complete: bool
    ) -> list[Difference]:
        """Compare, repair what is safe, record the differences; return them."""
        found = compare_books(payments, records, before=run.before, complete=complete)
        repaired: set[DifferenceId] = set()
        if run.step.repair:
            for payment_id in dict.fromkeys(each.payment_id for each in found if each.safe):
                those = [each for each in found if each.payment_id == payment_id]
                repaired |= await self._repair(those, [each for each in records if each.payment_id == payment_id])
                run.beat()
        for each in found:
            if each.identity in repaired:
                metrics.DIFFERENCES_REPAIRED.labels(kind=each.kind).inc()
            elif not each.safe:
                _log.warning("the ledger and the payment provider differ", **_log_fields(each), remedy=each.remedy)
        await self._store.record_differences(found, repaired)
        run.add(compared=len({each.payment_id for each in records}), found=len(found), repaired=len(repaired))
        return found

    async def _repair(
        self, differences: Sequence[Difference], records: Sequence[ProviderPayment]
    ) -> frozenset[DifferenceId]:
        """Repair the safe ones among the differences of one payment; return those that are gone after it."""
        payment_id = differences[0].payment_id
        for each in differences:
            try:
                await self._record_facts(each)
                if each.voids:
                    await self._void(each)
            except _UNAVAILABLE:
                raise
            except OrderfleetError as error:
                _log.warning("a difference could not be repaired", **_log_fields(each), error=str(error))
        payments = await self._store.payments([payment_id])
        if any(each.voids for each in differences):
            # What the void returned and released is recorded at once, because nothing else will.
            payments, records = await self._look_up(payment_id, differences)
            for each in compare_books(payments, records, before=_NO_GRACE):
                await self._record_facts(each)
            payments = await self._store.payments([payment_id])
        left = compare_books(payments, records, before=_NO_GRACE)
        remaining = {each.identity for each in left}
        return frozenset(each.identity for each in differences if each.safe and each.identity not in remaining)

    async def _record_facts(self, difference: Difference) -> None:
        for fact in difference.facts:
            event = reported_event(difference.payment_id, fact)
            payment = await self._facts.record_fact(difference.payment_id, fact, [event])
            if payment is not None and fact.kind in RETURNS:
                await self._workflows.show_payment(payment)

    async def _void(self, difference: Difference) -> None:
        intent = _intent(difference)
        await self._provider.void(intent)
        # The ledger has the authorization as closed, so only the audit trail gets the void.
        voided = PaymentEntry(
            kind=EntryKind.VOIDED,
            key=intent.key,
            number=intent.number,
            amount=difference.provider_amount or 0,
            currency=intent.currency,
            source=EntrySource.RECONCILIATION,
            reference=intent.reference,
            at=datetime.now(UTC),
        )
        event = reported_event(intent.payment_id, voided)
        await self._facts.record(intent.order_id, Progress(seq=0, step=Step.CHARGE, events=(event,)))


def _intent(difference: Difference | RecordedDifference) -> PaymentIntent:
    """The charge or the authorization of a difference, as the provider is asked for it."""
    amounts = (difference.ledger_amount, difference.provider_amount, 0)
    return PaymentIntent.model_construct(
        payment_id=difference.payment_id,
        order_id=difference.order_id,
        currency=difference.currency,
        amount=next(each for each in amounts if each is not None),
        method="",
        number=difference.number,
        reference=difference.reference,
    )


def _log_fields(difference: Difference) -> dict[str, str]:
    return {"kind": difference.kind, "payment_id": difference.payment_id, "order_id": difference.order_id}


def _resumed() -> ReconcileResult | None:
    """Position of the previous attempt, from its last heartbeat; None without one."""
    details = activity.info().heartbeat_details
    if not details:
        return None
    try:
        return ReconcileResult.model_validate(
            details[0].model_dump() if isinstance(details[0], Contract) else details[0]
        )
    except ValidationError:
        return None


async def _batches(records: AsyncIterator[T], size: int) -> AsyncGenerator[list[T], None]:
    batch: list[T] = []
    async for record in records:
        batch.append(record)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
