"""Reads of the record for Orders that have no news from the feed yet, many in one round trip.

`reconcile` asks for one order at a time; what is asked while a read is on its way goes together into
the next one. It reads only after the change feed has its beginning: what changes later, the feed tells.
"""

from __future__ import annotations

import asyncio

from orderfleet.contracts.errors import StoreUnavailable
from orderfleet.contracts.record import RecordedOrder
from orderfleet.ports import ChangeFeed, OrderReader

_Answer = asyncio.Future[RecordedOrder | None]


class Records:
    """Batched reads.

    Args:
        reader: the read side of the record.
        feed: the change feed that goes on from there.
        patience: seconds to wait for the feed's beginning.
        batch: orders in one read at most.
    """

    def __init__(self, reader: OrderReader, feed: ChangeFeed, *, patience: float = 2.0, batch: int = 500) -> None:
        self._reader = reader
        self._feed = feed
        self._patience = patience
        self._batch = batch
        self._asked: dict[str, _Answer] = {}
        self._reading: asyncio.Task[None] | None = None

    async def read(self, order_id: str) -> RecordedOrder | None:
        """The order as recorded, or None.

        Raises:
            StoreUnavailable: Postgres is away.
        """
        try:
            async with asyncio.timeout(self._patience):
                await self._feed.started()
        except TimeoutError as error:
            raise StoreUnavailable("the change feed has not reached Postgres yet") from error
        answer = self._asked.get(order_id)
        if answer is None:
            answer = self._asked[order_id] = asyncio.get_running_loop().create_future()
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_all())
        # One of those who wait may be canceled without the others.
        return await asyncio.shield(answer)

    async def _read_all(self) -> None:
        try:
            while self._asked:
                order_ids = list(self._asked)[: self._batch]
                answers = {order_id: self._asked.pop(order_id) for order_id in order_ids}
                await self._read_some(answers)
        finally:
            self._reading = None

    async def _read_some(self, answers: dict[str, _Answer]) -> None:
        try:
            found = await self._reader.orders(list(answers))
        except Exception as error:  # noqa: BLE001 - each who asked is told
            for answer in answers.values():
                answer.set_exception(error)
        else:
            for order_id, answer in answers.items():
                answer.set_result(found.get(order_id))
