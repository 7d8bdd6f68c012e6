"""Many orders at once for few pieces, also with killed backends and clients: never oversold, and all adds up."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from orderfleet.domain.stock import Reservation, StockOutcome
from orderfleet.domain.stock_plan import WantedLine, plan_places
from orderfleet.store.pool import Database
from orderfleet.store.stock import PostgresStock
from orderfleet.store.stock_admin import StockAdmin
from orderfleet_local.stack import paths
from support.polling import eventually
from support.stock_client import APPLICATION
from support.stock_rows import expire, inconsistent, put_in

ORDERS, PIECES = 500, {"east": 40, "north": 35, "west": 25}
CLIENTS = 3


@pytest.fixture
async def crowd(postgres_url: str) -> AsyncIterator[PostgresStock]:
    """Stock over as many connections as a fleet has."""
    async with Database(postgres_url, pool_size=24, timeout=timedelta(seconds=60)) as opened:
        yield PostgresStock(opened)


async def reserve_one(stock: PostgresStock, owner: str) -> bool:
    """Plan and reserve one piece as an order does; whether it is reserved. It is missing only if no location has it."""
    while True:
        plan = plan_places([WantedLine(line="1", sku="tea", qty=1)], await stock.available(["tea"], owner))
        if plan.missing:
            return False
        [answer] = await stock.reserve([Reservation(owner=owner, revision=1, lines=plan.places, seconds=3600)])
        if answer.outcome is StockOutcome.APPLIED:
            return True
        assert answer.outcome is StockOutcome.CONFLICT


async def reserved_pieces(sql: asyncpg.Connection) -> dict[str, int]:
    rows = await sql.fetch("select location, sum(qty - committed) as pieces from stock_reservations group by location")
    return {row["location"]: row["pieces"] for row in rows}


async def test_five_hundred_orders_for_a_hundred_pieces_reserve_exactly_a_hundred(
    crowd: PostgresStock, database: Database, sql: asyncpg.Connection
) -> None:
    await put_in(StockAdmin(database), **PIECES)
    reserved = await asyncio.gather(*(reserve_one(crowd, f"o-{number}") for number in range(ORDERS)))
    assert reserved.count(True) == 100
    assert await reserved_pieces(sql) == PIECES
    assert await inconsistent(sql) == []
    # What is canceled or expires is free again, and no more than that.
    owners = [f"o-{number}" for number, got in enumerate(reserved) if got]
    canceled, expired = owners[:30], owners[30:50]
    await expire(sql, expired)
    answers = await crowd.reserve([Reservation(owner=owner) for owner in canceled])
    assert {answer.outcome for answer in answers} == {StockOutcome.APPLIED}
    again = await asyncio.gather(*(reserve_one(crowd, f"late-{number}") for number in range(200)))
    assert again.count(True) == 50
    assert await reserved_pieces(sql) == PIECES
    assert await inconsistent(sql) == []


class Clients:
    """Processes of `support.stock_client`, which this restarts with another seed when they are killed."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url, self._folder, self._seed = url, folder, 0
        self._running: list[subprocess.Popen[bytes]] = []
        for _ in range(CLIENTS):
            self._start()

    def _start(self) -> None:
        self._seed += 1
        command = [sys.executable, "-m", "support.stock_client", self._url, str(self._seed), str(self.journal)]
        environment = {**os.environ, "PYTHONPATH": str(paths.checkout() / "tests")}
        with (self._folder / f"{self._seed}.log").open("wb") as log:
            self._running.append(subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT))

    @property
    def journal(self) -> Path:
        return self._folder / "journal"

    def acknowledged(self) -> set[tuple[str, str]]:
        """Kind and key of each movement that the database acknowledged to a process."""
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        return {(kind, key) for kind, _, key in (line.partition(" ") for line in lines) if len(key) > len("ship-")}

    def kill_one(self, chosen: random.Random) -> None:
        """Kill a process with SIGKILL, and start another one."""
        self._end(self._running.pop(chosen.randrange(CLIENTS)))
        self._start()

    def kill(self) -> None:
        while self._running:
            self._end(self._running.pop())

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it had ended by itself: " + self._logs()

    def _logs(self) -> str:
        return "\n".join(path.read_text() for path in self._folder.glob("*.log"))


TERMINATE = f"""
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and application_name = '{APPLICATION}' and state = 'active'
order by random() limit 2
"""
RUNNING = (
    f"select count(*) from pg_stat_activity where datname = current_database() and application_name = '{APPLICATION}'"
)
BALANCE = """
select l.location, l.on_hand,
    (select coalesce(sum(qty), 0) from stock_movements as m
        where m.location = l.location and kind in ('counted', 'adjusted')) as put_in,
    (select -coalesce(sum(qty), 0) from stock_movements as m where m.location = l.location and kind = 'committed')
        as committed,
    (select coalesce(sum(qty), 0) from stock_movements as m where m.location = l.location and kind = 'restocked')
        as restocked
from stock_levels as l
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_kills_of_backends_and_clients_lose_no_piece_and_cause_no_deadlock(
    database: Database, sql: asyncpg.Connection, postgres_url: str, tmp_path: Path
) -> None:
    stock, chosen = PostgresStock(database), random.Random(7)
    await put_in(StockAdmin(database), **PIECES)
    clients = Clients(postgres_url, tmp_path)
    try:
        terminated, killed, work = 0, 0, 0
        while terminated < 40 or killed < 6 or work < 200:
            await asyncio.sleep(chosen.uniform(0.02, 0.1))
            terminated += len(await sql.fetch(TERMINATE))
            done = clients.acknowledged()
            if len(done) >= work + 40:  # each kill comes after some work, however slow the machine is
                work, killed = len(done), killed + 1
                clients.kill_one(chosen)
            levels = await sql.fetch("select on_hand, reserved from stock_levels")
            assert all(0 <= level["reserved"] <= level["on_hand"] for level in levels), levels
    finally:
        clients.kill()
    # A backend whose client is gone first ends its statement.
    await eventually(lambda: sql.fetchval(RUNNING), lambda count: count == 0)
    await stock.remove_expired()
    assert await inconsistent(sql) == []
    for row in await sql.fetch(BALANCE):
        assert row["on_hand"] + row["committed"] - row["restocked"] == row["put_in"], row
    recorded = {(row["kind"], row["key"]) for row in await sql.fetch("select kind, key from stock_movements")}
    assert clients.acknowledged() <= recorded
    owners = (
        "select count(*) from stock_reservations as r where state = 'committed' and not exists ("
        "select from stock_movements as m where m.owner = r.owner and m.kind = 'committed')"
    )
    assert await sql.fetchval(owners) == 0
    # Statistics of ended backends arrive within a second.
    await asyncio.sleep(1)
    deadlocks = "select deadlocks from pg_stat_database where datname = current_database()"
    assert await sql.fetchval(deadlocks) == 0
