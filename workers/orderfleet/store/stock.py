"""Stock in Postgres, as orders use it. Implements `Stock`.

Each call is one statement, so one round trip and one transaction. Functions of migration 0012 decide under the locks of
the rows; nothing here must decide on what it has read before.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pydantic import TypeAdapter

from orderfleet.domain.stock import AvailableStock, Reservation, StockAnswer, StockPlace
from orderfleet.store.encoding import as_json, as_text
from orderfleet.store.pool import Database, statement

_ANSWERS = TypeAdapter(list[StockAnswer])


class PostgresStock:
    """`Stock` over Postgres. Every call raises `StoreUnavailable` when Postgres is unavailable or too slow."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def available(self, skus: Collection[str], owner: str = "") -> list[AvailableStock]:
        """Return what can be reserved of SKUs at active locations.

        Args:
            skus: the SKUs.
            owner: an owner whose own pieces are available to it; empty for none.
        """
        wanted = [as_text(sku) for sku in skus]
        rows = await self._database.fetch(statement("available_stock"), wanted, as_text(owner))
        return [AvailableStock(**row) for row in rows]

    async def reserve(self, reservations: Sequence[Reservation]) -> list[StockAnswer]:
        """Reserve, renew, confirm or release for several owners, each wholly or not at all; answers in the same order.

        One call for many owners is one commit, which bounds the rate of a SKU that many want.
        """
        rows = await self._database.fetch(statement("reserve_stock"), as_json(reservations))
        return _ANSWERS.validate_json(rows[0]["answer"])

    async def pass_gate(self, owner: str, lines: Sequence[StockPlace], *, passed: bool = True) -> bool:
        """Mark reserved pieces as about to be dispatched, so that no count takes them away.

        Args:
            owner: the owner.
            lines: its confirmed pieces.
            passed: False marks them as before the gate again, because their dispatch does not take place.

        Returns:
            Whether they are marked; False if pieces are no longer there.
        """
        rows = await self._database.fetch(statement("pass_stock_gate"), as_text(owner), as_json(lines), passed)
        return bool(rows[0]["passed"])

    async def commit(self, owner: str, key: str, lines: Sequence[StockPlace], actor: str = "order") -> StockAnswer:
        """Commit reserved pieces at their dispatch: they leave the stock.

        Args:
            owner: the owner.
            key: of their booking; the same key with the same pieces is one commit.
            lines: the pieces.
            actor: recorded in the movements.
        """
        return await self._decide("commit_stock", owner, key, as_json(lines), actor)

    async def restock(
        self, owner: str, key: str, lines: Sequence[StockPlace], reason: str, actor: str = "order"
    ) -> StockAnswer:
        """Return pieces to stock: a dispatch was canceled, or they were returned.

        Args:
            owner: the order that had them; empty for none.
            key: the same key with the same pieces is one restock.
            lines: the pieces.
            reason: recorded in the movements.
            actor: recorded in the movements.
        """
        return await self._decide("restock_stock", owner, key, as_json(lines), reason, actor)

    async def remove_expired(self, most: int = 1000) -> int:
        """Remove the rows of reservations that have expired; return how many. For periodic maintenance.

        They are free before that: each reservation removes those of its levels, and readers subtract them.

        Args:
            most: expired reservations that are looked for.
        """
        rows = await self._database.fetch(statement("remove_expired_stock"), most)
        return int(rows[0]["removed"] or 0)

    async def _decide(self, name: str, *values: str) -> StockAnswer:
        rows = await self._database.fetch(statement(name), *(as_text(value) for value in values))
        return StockAnswer.model_validate_json(rows[0]["answer"])
