"""Kills workers in the middle of their calls of payment provider and carrier, and checks how the orders end.

Provider and carrier answer only a while after they acted. A worker is killed when its call has reached a moment that
still needs kills. In the end provider, ledger and order are compared.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from chaos.kill_moments import Call, Moment, Reached, moments
from chaos.kill_orders import REFUND, CallsRun, Tally
from chaos.kills import SEED, ForkServer, keep_ordering
from orderfleet.providers.payments.simulated import PaymentLedger
from orderfleet.store.pool import Database
from support.ledgers import parcel_errors
from support.payment_agreement import disagreements, payment_sources

_LAST_COMMIT: Final = 0.03
"""Seconds within which the database stores what a worker sent before it was killed."""


async def kill_in_calls(
    fleets: Sequence[tuple[CallsRun, ForkServer]], tally: Tally, database: Database, database_url: str, ledger: Path
) -> None:
    """Run until there were enough kills, and check that every order ended correctly.

    Args:
        fleets: orders, and their workers on queues of their own.
        tally: of their kills.
        database: the order store.
        database_url: of the order store.
        ledger: file of the providers.
    """
    waiting: list[asyncio.Queue[Reached]] = [asyncio.Queue() for _ in fleets]

    def notice(reached: Reached) -> None:
        for (run, _), queue in zip(fleets, waiting, strict=True):
            if f"{run.name}-{SEED}-" in reached.payment_id:
                queue.put_nowait(reached)

    async with moments(ledger, database_url, notice), asyncio.TaskGroup() as group:
        for (run, workers), queue in zip(fleets, waiting, strict=True):
            group.create_task(keep_ordering(run))
            group.create_task(_keep_killing(run, workers, queue, database, PaymentLedger(ledger)))
    await _check([run for run, _ in fleets], tally, database, PaymentLedger(ledger))


async def _keep_killing(
    run: CallsRun, workers: ForkServer, waiting: asyncio.Queue[Reached], database: Database, ledger: PaymentLedger
) -> None:
    """Kill a worker whose call has reached a moment that needs kills, until there were enough."""
    while not run.stop.is_set():
        try:
            async with asyncio.timeout(1):
                reached = await waiting.get()
        except TimeoutError:
            continue
        if not run.tally.wants(reached):
            continue
        workers.kill("shipping" if reached.call is Call.BOOKING else "orders")
        await asyncio.sleep(_LAST_COMMIT)
        run.tally.count(reached.call, await _met(reached, database, ledger))
        # Without a pause no worker would ever complete an order.
        await asyncio.sleep(0.7 + run.rng.random())
        while not waiting.empty():
            waiting.get_nowait()


async def _met(reached: Reached, database: Database, ledger: PaymentLedger) -> Moment:
    """The moment that a kill has really met, by what the provider and the order store have of the call."""
    if reached.call is Call.BOOKING:
        return reached.moment
    query = "select from payment_entries where payment_id = $1 and key = $2"
    if await database.fetch(query, reached.payment_id, reached.key):
        return Moment.AFTER_DATABASE
    book = await asyncio.to_thread(ledger.entries, reached.payment_id)
    made = any(entry.key == reached.key for entry in book)
    return Moment.BEFORE_DATABASE if made else Moment.BEFORE_PROVIDER


async def _check(runs: Sequence[CallsRun], tally: Tally, database: Database, ledger: PaymentLedger) -> None:
    ends: Counter[str] = Counter()
    broken: dict[str, list[str]] = {}
    for run in runs:
        parcels = run.ledgers.parcels()
        for order_id in run.started:
            sources = await payment_sources(database, ledger, order_id)
            status = sources.status
            ends[f"{status.step}, payment {status.payment.status}"] += 1
            refunded = REFUND * run.refunded[order_id]
            if problems := [*disagreements(sources, refunded), *parcel_errors(order_id, status, parcels)]:
                broken[order_id] = problems
    entries = Counter(entry.kind for entry in ledger.entries())
    print(f"\nseed {SEED}: {tally.kills.total()} kills over {ends.total()} orders; the provider: {dict(entries)}")
    for (call, moment), number in sorted(tally.kills.items()):
        print(f"  {number:4} kills   {call}, {moment}")
    for end, number in sorted(ends.items()):
        print(f"  {number:4} orders  {end}")
    assert not broken, broken
    assert not tally.missing(), tally.missing()
