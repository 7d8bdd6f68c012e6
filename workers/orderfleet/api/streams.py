"""The limit of open streams per caller: a stream holds its connection without a time limit."""

from __future__ import annotations

from weakref import WeakSet

from orderfleet.domain.errors import OrderfleetError


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
