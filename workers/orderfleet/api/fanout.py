"""One change feed for all watchers of this process: each gets the orders it watches, latest state first.

`watch` subscribes, `serve` closes it when the process drains. It must never open a connection for a
watcher, nor let a slow one hold up the others: a mailbox keeps the latest state only.
"""

from __future__ import annotations

import asyncio
from typing import Final
from weakref import WeakSet, WeakValueDictionary

import structlog

from orderfleet.domain.errors import StoreUnavailable
from orderfleet.domain.events import RecordedOrder
from orderfleet.domain.ports import ChangeFeed
from orderfleet.services.deadline import remaining

_log = structlog.get_logger()

BEGINNING_SECONDS: Final = 1.5
"""Longest wait for the feed's beginning, which needs Postgres."""


class Mailbox:
    """What a watcher has not read yet: the latest state of its order, or that there will be no more."""

    def __init__(self) -> None:
        self._latest: RecordedOrder | None = None
        self._closed = False
        self._news = asyncio.Event()
        self.beside: WeakSet[Mailbox] = WeakSet([self])
        """The mailboxes of the same order, kept for as long as one of them is."""

    def put(self, order: RecordedOrder) -> None:
        """Leave a state, in place of one that was not read."""
        self._latest = order
        self._news.set()

    def close(self) -> None:
        """Say that no more comes."""
        self._closed = True
        self._news.set()

    async def take(self, seconds: float) -> RecordedOrder | None:
        """The next state; None when nothing came in time.

        Raises:
            EOFError: no more comes.
        """
        if not self._news.is_set():
            try:
                async with asyncio.timeout(seconds):
                    await self._news.wait()
            except TimeoutError:
                return None
        if self._closed:
            raise EOFError
        self._news.clear()
        latest, self._latest = self._latest, None
        return latest


class Fanout:
    """Follows the feed from the first watcher on.

    Args:
        feed: of this process; nobody else follows it.
    """

    def __init__(self, feed: ChangeFeed) -> None:
        self._feed = feed
        # Weak twice, so that a watcher which went away before it was served leaves nothing behind, nor does its order.
        self._mailboxes: WeakValueDictionary[str, WeakSet[Mailbox]] = WeakValueDictionary()
        self._following: asyncio.Task[None] | None = None
        self._closed = False

    async def subscribe(self, order_id: str) -> Mailbox:
        """A mailbox that gets every state of the order that is committed from now on.

        Raises:
            StoreUnavailable: the feed has no beginning yet, because Postgres is away.
        """
        mailbox = Mailbox()
        if self._closed:
            mailbox.close()
            return mailbox
        if self._following is None:
            self._following = asyncio.create_task(self._follow())
        try:
            async with asyncio.timeout(remaining(BEGINNING_SECONDS)):
                await self._feed.started()
        except TimeoutError:
            raise StoreUnavailable("the change feed has not begun yet") from None
        mailbox.beside = self._mailboxes.setdefault(order_id, mailbox.beside)
        mailbox.beside.add(mailbox)
        return mailbox

    def unsubscribe(self, order_id: str, mailbox: Mailbox) -> None:
        """Forget the mailbox."""
        mailbox.beside.discard(mailbox)
        if not mailbox.beside:
            self._mailboxes.pop(order_id, None)

    async def close(self) -> None:
        """End every watcher's stream and the feed."""
        self._closed = True
        self._end_all()
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)

    async def _follow(self) -> None:
        try:
            async for batch in self._feed.follow():
                for order in batch:
                    for mailbox in list(self._mailboxes.get(order.order_id, ())):
                        mailbox.put(order)
        except Exception:  # noqa: BLE001 - whatever it is, watchers must not wait for ever
            # Watchers come again, to a feed that goes on from where it stopped.
            _log.exception("the change feed failed")
            self._following = None
            self._end_all()

    def _end_all(self) -> None:
        for there in list(self._mailboxes.values()):
            for mailbox in list(there):
                mailbox.close()
