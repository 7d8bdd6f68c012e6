"""A process that reserves, confirms, commits, releases, counts and adjusts at random until it is killed.

It writes a line for each commit and restock that the database acknowledged. A backend that is terminated during a call
leaves its outcome unknown; then the same call is made again.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar

from orderfleet.domain.errors import StoreUnavailable
from orderfleet.domain.stock import LevelCount, Reservation, StockOutcome
from orderfleet.domain.stock_plan import WantedLine, plan_places
from orderfleet.store.pool import Database
from orderfleet.store.stock import PostgresStock
from orderfleet.store.stock_admin import StockAdmin

T = TypeVar("T")
APPLICATION: Final = "stock client"
COUNTED: Final = "west"
"""The only location that is counted; no owner with pieces there passes its gate, so that no level becomes short."""
LIVES: Final = 6
"""Owners at the same time."""


class Client:
    """Lives of owners.

    Args:
        url: of the database.
        seed: of the random choices.
        journal: file of what was acknowledged.
    """

    def __init__(self, url: str, seed: int, journal: Path) -> None:
        self._database = Database(url, pool_size=LIVES, timeout=timedelta(seconds=30), application_name=APPLICATION)
        self._stock, self._admin = PostgresStock(self._database), StockAdmin(self._database)
        self._random = random.Random(seed)
        self._journal = journal.open("a", encoding="utf-8", buffering=1)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(LIVES):
                tasks.create_task(self._lives())

    async def _lives(self) -> None:
        while True:
            await self._random.choice([self._order, self._order, self._order, self._order, self._people])()

    async def _until_answered(self, call: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await call()
            except StoreUnavailable:
                await asyncio.sleep(0.01)

    async def _order(self) -> None:
        """An order: plan, reserve, perhaps renew, confirm, commit or release."""
        owner, chosen = f"{os.getpid()}-{uuid.uuid4().hex[:10]}", self._random
        wanted = [WantedLine(line=str(line), sku="tea", qty=chosen.randint(1, 3)) for line in range(1, 3)]
        for revision in range(1, 5):
            stock = await self._until_answered(lambda: self._stock.available(["tea"], owner))
            plan = plan_places(wanted, stock)
            if plan.missing:
                return
            request = Reservation(
                owner=owner, revision=revision, lines=plan.places, seconds=chosen.choice([0.05, 3600, 3600])
            )
            [answer] = await self._until_answered(lambda request=request: self._stock.reserve([request]))
            if answer.outcome is StockOutcome.APPLIED:
                break
        else:
            return
        if chosen.random() < 0.2:
            return  # abandoned: it expires, or stays held
        confirmed = request.model_copy(update={"confirm": chosen.random() < 0.8})
        [answer] = await self._until_answered(lambda: self._stock.reserve([confirmed]))
        if answer.outcome is StockOutcome.APPLIED and chosen.random() < 0.7:
            if all(each.location != COUNTED for each in plan.places):
                await self._until_answered(lambda: self._stock.pass_gate(owner, plan.places))
            done = await self._until_answered(lambda: self._stock.commit(owner, f"ship-{owner}", plan.places))
            if done.outcome is StockOutcome.APPLIED:
                self._journal.write(f"committed ship-{owner}\n")
                if chosen.random() < 0.5:
                    await self._until_answered(
                        lambda: self._stock.restock(owner, f"back-{owner}", plan.places, "returned")
                    )
                    self._journal.write(f"restocked back-{owner}\n")
        await self._until_answered(lambda: self._stock.reserve([Reservation(owner=owner)]))

    async def _people(self) -> None:
        """People and the maintenance: counts, adjustments, removal of what expired."""
        chosen = self._random.random()
        if chosen < 0.3:
            counts = [LevelCount(sku="tea", location=COUNTED, on_hand=self._random.randint(0, 40))]
            await self._until_answered(lambda: self._admin.count(counts, "stocktaking", "test"))
        elif chosen < 0.6:
            location, key = self._random.choice(["east", "north", COUNTED]), uuid.uuid4().hex
            pieces = self._random.randint(-3, 3)
            await self._until_answered(
                lambda: self._admin.adjust("tea", location, pieces, reason="found", actor="test", key=key)
            )
        else:
            await self._until_answered(self._stock.remove_expired)


if __name__ == "__main__":
    asyncio.run(Client(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])).run())
