"""How many streams a caller may have open at once: each holds a connection for as long as it likes."""

from __future__ import annotations

from weakref import WeakSet

from orderfleet.domain.errors import OrderfleetError


class TooManyStreams(OrderfleetError):
    """The caller has as many streams open as it may."""


class StreamSlot:
    """One open stream; it counts until it is released or nothing refers to it any more."""

    def __init__(self, caller: str) -> None:
        self.caller = caller


class StreamSlots:
    """The open streams of this process.

    Args:
        limit: of one caller.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # Weak: a stream whose client went away before its first event is collected, and nothing else of it runs.
        self._open: WeakSet[StreamSlot] = WeakSet()

    def take(self, caller: str) -> StreamSlot:
        """A slot for one more stream of this caller.

        Raises:
            TooManyStreams: it has none left.
        """
        if sum(slot.caller == caller for slot in self._open) >= self._limit:
            raise TooManyStreams(f"{self._limit} streams are open for this caller; close one of them first")
        slot = StreamSlot(caller)
        self._open.add(slot)
        return slot

    def release(self, slot: StreamSlot) -> None:
        """Make room for another stream."""
        self._open.discard(slot)
