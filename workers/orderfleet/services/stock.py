"""Stock for people: lists and changes it for the API and the command line. Each change is recorded with who and why."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from orderfleet.domain.errors import StoreUnavailable
from orderfleet.domain.stock import (
    AdjustedLevel,
    CountResult,
    LevelCount,
    LevelPosition,
    StockFilter,
    StockLevel,
    StockLocation,
    StockMovement,
    StockOutcome,
)
from orderfleet.services.deadline import RPC_TIMEOUT, remaining
from orderfleet.services.errors import StockKeyConflict, StockRejected, UnknownLocation
from orderfleet.store.stock_admin import StockAdmin


class StockService:
    """Lists and changes stock. Every call raises `StoreUnavailable` if the order store does not answer.

    Args:
        admin: the stock.
        timeout: longest duration of one statement; an open deadline scope may shorten it.
    """

    def __init__(self, admin: StockAdmin, *, timeout: timedelta = RPC_TIMEOUT) -> None:
        self._admin = admin
        self._timeout = timeout.total_seconds()

    async def locations(self) -> list[StockLocation]:
        """All locations, in the order in which they are used."""
        async with self._limit():
            return await self._admin.locations()

    async def set_location(
        self, location: str, *, name: str | None = None, priority: int | None = None, active: bool | None = None
    ) -> StockLocation:
        """Create or change a location; what is None stays, or has its default."""
        async with self._limit():
            return await self._admin.set_location(location, name=name, priority=priority, active=active)

    async def levels(
        self, wanted: StockFilter, *, after: LevelPosition | None = None, limit: int
    ) -> tuple[list[StockLevel], LevelPosition | None]:
        """A page of levels by SKU and location, and the position of the next page; None at the end."""
        async with self._limit():
            return await self._admin.levels(wanted, after=after, limit=limit)

    async def movements(
        self, wanted: StockFilter, *, before: int | None = None, limit: int
    ) -> tuple[list[StockMovement], int | None]:
        """A page of movements, newest first, and the id that the next page is before; None at the end."""
        async with self._limit():
            return await self._admin.movements(wanted, before=before, limit=limit)

    async def count(self, counts: Sequence[LevelCount], *, reason: str, actor: str) -> CountResult:
        """Record what was counted, all or nothing. Orders may lose reserved pieces; the result names them.

        Args:
            counts: each level once.
            reason: why it was counted.
            actor: who counted.

        Raises:
            UnknownLocation: a location does not exist.
        """
        async with self._limit():
            outcome, result, unknown = await self._admin.count(counts, reason, actor)
        if outcome is StockOutcome.UNKNOWN_LOCATION:
            raise UnknownLocation(unknown)
        return result

    async def adjust(
        self, sku: str, location: str, pieces: int, *, reason: str, actor: str, key: str | None = None
    ) -> AdjustedLevel:
        """Change what is on hand at a level by a signed number.

        Args:
            sku: of the level.
            location: of the level.
            pieces: signed.
            reason: why.
            actor: who.
            key: the same key with the same change is one adjustment.

        Raises:
            StockRejected: it would take pieces that are reserved, or that are not there.
            StockKeyConflict: the key was used for another change.
            UnknownLocation: the location does not exist.
        """
        async with self._limit():
            outcome, level = await self._admin.adjust(sku, location, pieces, reason=reason, actor=actor, key=key)
        if outcome is StockOutcome.UNKNOWN_LOCATION:
            raise UnknownLocation((location,))
        if outcome is StockOutcome.KEY_CONFLICT:
            raise StockKeyConflict(f"the id {key!r} was used for another adjustment; choose another id")
        if outcome is StockOutcome.CONFLICT:
            raise StockRejected(
                f"{level.on_hand} pieces of {sku!r} are on hand at {location!r} and {level.reserved} of them reserved:"
                f" {-pieces} can't be taken away; take at most {max(0, level.on_hand - level.reserved)}, or count the"
                " level, which takes reservations away"
            )
        return level

    @asynccontextmanager
    async def _limit(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(remaining(self._timeout)):
                yield
        except TimeoutError as error:
            raise StoreUnavailable("Postgres did not answer in time") from error
