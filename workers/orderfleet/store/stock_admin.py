"""Stock in Postgres, as people see and change it: locations, levels, counts, adjustments and movements.

Each call is one statement. Who changes something and why is recorded with each movement.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from orderfleet.domain.stock import (
    AdjustedLevel,
    CountResult,
    LevelCount,
    LevelPosition,
    LostPieces,
    StockFilter,
    StockLevel,
    StockLocation,
    StockMovement,
    StockOutcome,
)
from orderfleet.store.encoding import as_json, as_text
from orderfleet.store.pool import Database, statement

_LAST_ID: Final = 2**63 - 1


class _CountAnswer(CountResult):
    outcome: StockOutcome
    created: int = 0
    changed: int = 0
    lost: tuple[LostPieces, ...] = ()
    locations: tuple[str, ...] = ()


class _AdjustAnswer(AdjustedLevel):
    outcome: StockOutcome
    on_hand: int = 0
    reserved: int = 0


class StockAdmin:
    """Stock for people. Every call raises `StoreUnavailable` when Postgres is unavailable or too slow."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def locations(self) -> list[StockLocation]:
        """Return all locations, in the order in which they are used."""
        return [StockLocation(**row) for row in await self._database.fetch(statement("stock_locations"))]

    async def set_location(
        self, location: str, *, name: str | None = None, priority: int | None = None, active: bool | None = None
    ) -> StockLocation:
        """Create or change a location; what is None stays, or has its default. Return it."""
        values = (location, as_text(name), priority, active)
        return StockLocation(**(await self._database.fetch(statement("set_stock_location"), *values))[0])

    async def levels(
        self, wanted: StockFilter, *, after: LevelPosition | None = None, limit: int = 50
    ) -> tuple[list[StockLevel], LevelPosition | None]:
        """Return a page of levels by SKU and location, and the position of the next page; None at the end.

        The cost of a page does not depend on the number of levels.
        """
        sku, location = ("", "") if after is None else (as_text(after.sku), as_text(after.location))
        query: tuple[Any, ...]
        if wanted.sku is not None:
            query = ("stock_levels_of_sku", as_text(wanted.sku), location, limit + 1, as_text(wanted.location))
        elif wanted.location is not None:
            query = ("stock_levels_of_location", as_text(wanted.location), sku, limit + 1)
        else:
            query = ("stock_levels", sku, location, limit + 1)
        found = [StockLevel(**row) for row in await self._database.fetch(statement(query[0]), *query[1:])]
        page, rest = found[:limit], found[limit:]
        return page, LevelPosition(sku=page[-1].sku, location=page[-1].location) if rest else None

    async def movements(
        self, wanted: StockFilter, *, before: int | None = None, limit: int = 50
    ) -> tuple[list[StockMovement], int | None]:
        """Return a page of movements, newest first, and the id that the next page is before; None at the end.

        A filter of the location alone reads the movements of other locations in between.
        """
        first = (_LAST_ID if before is None else before, limit + 1)
        sku, location = as_text(wanted.sku), as_text(wanted.location)
        query: tuple[Any, ...]
        if wanted.owner is not None:
            query = ("stock_movements_of_owner", *first, as_text(wanted.owner), sku, location)
        elif sku is not None:
            query = ("stock_movements_of_sku", *first, sku, location)
        else:
            query = ("stock_movements", *first, location)
        found = [StockMovement(**row) for row in await self._database.fetch(statement(query[0]), *query[1:])]
        page, rest = found[:limit], found[limit:]
        return page, page[-1].id if rest else None

    async def count(
        self, counts: Sequence[LevelCount], reason: str, actor: str
    ) -> tuple[StockOutcome, CountResult, tuple[str, ...]]:
        """Record what was counted, all or nothing.

        Args:
            counts: each level at most once.
            reason: why it was counted.
            actor: who counted.

        Returns:
            `APPLIED` or `UNKNOWN_LOCATION`, what it changed, and the locations that do not exist.
        """
        rows = await self._database.fetch(statement("count_stock"), as_json(counts), as_text(reason), as_text(actor))
        answer = _CountAnswer.model_validate_json(rows[0]["answer"])
        return answer.outcome, CountResult(**dict(answer)), answer.locations

    async def adjust(
        self, sku: str, location: str, pieces: int, *, reason: str, actor: str, key: str | None = None
    ) -> tuple[StockOutcome, AdjustedLevel]:
        """Change what is on hand at a level by a signed number.

        Args:
            sku: of the level.
            location: of the level.
            pieces: signed.
            reason: why.
            actor: who.
            key: the same key with the same change is one adjustment.

        Returns:
            `APPLIED`, `CONFLICT` if pieces are reserved that it would take, `KEY_CONFLICT` or `UNKNOWN_LOCATION`; and
            the level after the call.
        """
        values = (as_text(sku), location, pieces, as_text(reason), as_text(actor), as_text(key))
        answer = _AdjustAnswer.model_validate_json(
            (await self._database.fetch(statement("adjust_stock"), *values))[0]["answer"]
        )
        return answer.outcome, AdjustedLevel(**dict(answer))
