"""An order store that is unavailable for a number of calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

from orderfleet.domain.errors import StoreUnavailable
from orderfleet.store.pool import Database
from orderfleet.store.writes import OrderWrites

T = TypeVar("T")

ANY: Final = "any"
"""In place of a method's name: any method."""


@dataclass
class StoreOutage:
    """The number of next calls that fail, by the name of the method."""

    unavailable: Counter[str] = field(default_factory=Counter)
    """Calls that fail before their write."""
    lost: Counter[str] = field(default_factory=Counter)
    """Calls that write, and whose answer is lost."""

    def order_store(self, database: Database) -> OrderWrites:
        """A store with this outage."""
        return _UnreliableOrderWrites(database, self)

    async def call(self, name: str, write: Callable[[], Awaitable[T]]) -> T:
        if _take(self.unavailable, name):
            raise StoreUnavailable("Postgres is unavailable")
        answer = await write()
        if _take(self.lost, name):
            raise StoreUnavailable("Postgres closed the connection before it answered")
        return answer


def _take(remaining: Counter[str], name: str) -> bool:
    for key in (name, ANY):
        if remaining[key]:
            remaining[key] -= 1
            return True
    return False


class _UnreliableOrderWrites(OrderWrites):
    def __init__(self, database: Database, outage: StoreOutage) -> None:
        super().__init__(database)
        self._outage = outage

    async def receive(self, *args: Any, **options: Any) -> Any:
        return await self._outage.call("receive", partial(super().receive, *args, **options))

    async def record(self, *args: Any, **options: Any) -> Any:
        return await self._outage.call("record", partial(super().record, *args, **options))

    async def begin_payment(self, *args: Any, **options: Any) -> Any:
        return await self._outage.call("begin_payment", partial(super().begin_payment, *args, **options))

    async def finish_payment(self, *args: Any, **options: Any) -> Any:
        return await self._outage.call("finish_payment", partial(super().finish_payment, *args, **options))

    async def record_shipment(self, *args: Any, **options: Any) -> Any:
        return await self._outage.call("record_shipment", partial(super().record_shipment, *args, **options))

    async def attempt_failed(self, *args: Any, **options: Any) -> Any:
        return await self._outage.call("attempt_failed", partial(super().attempt_failed, *args, **options))
