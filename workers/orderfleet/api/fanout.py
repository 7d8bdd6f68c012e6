"""Distribution of one change feed to all watchers of this process, and the limit of streams per caller.

It must never open a database connection for a watcher, nor let a slow watcher delay the others: a mailbox keeps
only the latest state.
"""

from __future__ import annotations

import asyncio
from typing import Final
from weakref import WeakSet, WeakValueDictionary

import structlog

from orderfleet.domain.errors import OrderfleetError, StoreUnavailable
from orderfleet.domain.events import RecordedOrder
from orderfleet.domain.ports import ChangeFeed
from orderfleet.services.deadline import remaining

_log = structlog.get_logger()

START_TIMEOUT_SECONDS: Final = 1.5
"""Of the start of the feed, which needs Postgres."""


class Mailbox:
    """The latest unread state of an order, for one watcher."""

    def __init__(self) -> None:
        self._latest: RecordedOrder | None = None
        self._closed = False
        self._changed = asyncio.Event()
        self.siblings: WeakSet[Mailbox] = WeakSet([self])
        """The mailboxes of the same order; the set lives as long as one of them."""

    def put(self, order: RecordedOrder) -> None:
        """Replace the unread state, if any."""
        self._latest = order
        self._changed.set()

    def close(self) -> None:
        """Make every later `take` raise EOFError."""
        self._closed = True
        self._changed.set()

    async def take(self, seconds: float) -> RecordedOrder | None:
        """Wait for the next state.

        Args:
            seconds: timeout.

        Returns:
            The state, or None after the timeout.

        Raises:
            EOFError: the mailbox is closed.
        """
        if not self._changed.is_set():
            try:
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
            except TimeoutError:
                return None
        if self._closed:
            raise EOFError
        self._changed.clear()
        latest, self._latest = self._latest, None
        return latest


class Fanout:
    """Follows the change feed from the first subscription and puts each state into the mailboxes of its order.

    Args:
        feed: of this process; this object is its only reader.
    """

    def __init__(self, feed: ChangeFeed) -> None:
        self._feed = feed
        # Mailboxes and their sets are weakly referenced, so that a watcher that disconnected before its stream
        # started leaves no entry.
        self._mailboxes: WeakValueDictionary[str, WeakSet[Mailbox]] = WeakValueDictionary()
        self._follow_task: asyncio.Task[None] | None = None
        self._closed = False

    async def subscribe(self, order_id: str) -> Mailbox:
        """A mailbox for every state of the order that is committed after this call.

        Raises:
            StoreUnavailable: the feed can't start, because Postgres is unavailable.
        """
        mailbox = Mailbox()
        if self._closed:
            mailbox.close()
            return mailbox
        if self._follow_task is None:
            self._follow_task = asyncio.create_task(self._follow())
        try:
            async with asyncio.timeout(remaining(START_TIMEOUT_SECONDS)):
                await self._feed.started()
        except TimeoutError:
            raise StoreUnavailable("the change feed has not started yet") from None
        mailbox.siblings = self._mailboxes.setdefault(order_id, mailbox.siblings)
        mailbox.siblings.add(mailbox)
        return mailbox

    def unsubscribe(self, order_id: str, mailbox: Mailbox) -> None:
        """Remove the mailbox."""
        mailbox.siblings.discard(mailbox)
        if not mailbox.siblings:
            self._mailboxes.pop(order_id, None)

    async def close(self) -> None:
        """Close every mailbox and stop the feed."""
        self._closed = True
        self._close_all()
        if self._follow_task is not None:
            self._follow_task.cancel()
            await asyncio.gather(self._follow_task, return_exceptions=True)

    async def _follow(self) -> None:
        try:
            async for batch in self._feed.follow():
                for order in batch:
                    for mailbox in list(self._mailboxes.get(order.order_id, ())):
                        mailbox.put(order)
        except Exception:  # noqa: BLE001 - after any error, watchers must not wait for ever
            # Watchers reconnect, and the feed continues from its last position.
            _log.exception("the change feed failed")
            self._follow_task = None
            self._close_all()

    def _close_all(self) -> None:
        for mailboxes in list(self._mailboxes.values()):
            for mailbox in list(mailboxes):
                mailbox.close()


class TooManyStreams(OrderfleetError):
    """The caller has reached its limit of open streams."""


class StreamSlot:
    """One open stream; it counts until it is released or garbage-collected."""

    def __init__(self, caller: str) -> None:
        self.caller = caller


class StreamSlots:
    """The open streams of this process.

    Args:
        limit: of open streams per caller.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # Weak: a stream whose client disconnected before the first event is never closed, only garbage-collected.
        self._open: WeakSet[StreamSlot] = WeakSet()

    def acquire(self, caller: str) -> StreamSlot:
        """A slot for one more stream of this caller.

        Raises:
            TooManyStreams: the caller has reached its limit.
        """
        if sum(slot.caller == caller for slot in self._open) >= self._limit:
            raise TooManyStreams(f"{self._limit} streams are open for this caller; close one of them first")
        slot = StreamSlot(caller)
        self._open.add(slot)
        return slot

    def release(self, slot: StreamSlot) -> None:
        """Free the slot."""
        self._open.discard(slot)
