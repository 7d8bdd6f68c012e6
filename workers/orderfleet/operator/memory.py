"""What the operator remembers of each Order it watches: the object as last seen, and what is known of it.

The watch and the change feed fill it, `reconcile` reads and updates it. One entry an Order, nothing
for those that ended; all of it can be gathered again, so it is kept nowhere else.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from orderfleet.contracts.record import RecordedOrder
from orderfleet.operator.known import Known


class Key(NamedTuple):
    """Names an Order."""

    namespace: str
    name: str


class Entry:
    """One Order, as the API server told it first.

    The object is kept as text while nobody works on it: tens of thousands that wait are mostly that.
    """

    _kept: dict[str, Any] | str
    _version: int
    order_id: str
    """The order id that it declares."""
    step: str
    """The step that it shows; `none` before its first status."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.known = Known()
        self.written_at = float("-inf")
        """When its status was last written, by the event loop's clock."""
        self.stale_since: float | None = None
        """Since when its status waits to be written."""
        self.waited = False
        """Whether it waited for a part that is away longer than a moment, or more than once."""
        self.check_at: float | None = None
        """When its workflow is to be asked for, by the event loop's clock: the database may never have the order."""
        self.uid = str(body["metadata"]["uid"])
        """Which object of this name it is."""
        self._keep(body)

    @property
    def body(self) -> dict[str, Any]:
        """The object as last seen; to be read only."""
        kept = json.loads(self._kept) if isinstance(self._kept, str) else self._kept
        self._kept = kept
        return kept

    def rest(self) -> None:
        """Nobody works on it now."""
        if not isinstance(self._kept, str):
            self._kept = json.dumps(self._kept, separators=(",", ":"))

    def see(self, body: dict[str, Any]) -> None:
        """The object as the API server told it; older news is dropped."""
        if _version(body) >= self._version:
            self._keep(body)

    def _keep(self, body: dict[str, Any]) -> None:
        self._kept = _slim(body)
        self._version = _version(body)
        self.order_id = self._kept["spec"].get("orderId") or str(body["metadata"]["name"])
        self.step = self._kept["status"].get("step", "none")

    def learn(self, **facts: Any) -> None:
        """Know more."""
        self.known = replace(self.known, **facts)


class Memory:
    """Every Order that is watched."""

    def __init__(self) -> None:
        self._entries: dict[Key, Entry] = {}

    def __getitem__(self, key: Key) -> Entry | None:
        return self._entries.get(key)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def steps(self) -> Counter[str]:
        """How many Orders show which step; `none` before their first status."""
        return Counter(entry.step for entry in self._entries.values())

    def see(self, body: dict[str, Any]) -> Key:
        """An Order as the watch tells it."""
        key = key_of(body)
        entry = self._entries.get(key)
        if entry is None or entry.uid != body["metadata"]["uid"]:
            self._entries[key] = Entry(_slim(body))
        else:
            entry.see(body)
        return key

    def forget(self, key: Key, uid: str) -> None:
        """The Order is gone, or has ended, or is another operator's, and is watched no more."""
        entry = self._entries.get(key)
        if entry is not None and entry.uid == uid:
            del self._entries[key]

    def owns(self, owner: str) -> bool:
        """Whether the owner of a recorded order, as the record names it, is an Order that is watched."""
        return _key_of_owner(owner) in self._entries

    def remember(self, record: RecordedOrder) -> Key | None:
        """What the record tells of an order; its Order, if it is watched and the news is new."""
        key = _key_of_owner(record.owner)
        entry = self._entries.get(key)
        if entry is None or entry.order_id != record.order_id:
            return None
        known = entry.known.record
        if known is not None and known.version >= record.version:
            return None
        entry.learn(record=record, record_read=True)
        return key


def key_of(body: dict[str, Any]) -> Key:
    """The Order's key."""
    return Key(body["metadata"]["namespace"], body["metadata"]["name"])


def _key_of_owner(owner: str) -> Key:
    namespace, _, name = owner.partition("/")
    return Key(namespace, name)


def _version(body: dict[str, Any]) -> int:
    # Versions of one resource are decimal numbers that rise (KEP-5504); anything else counts as new.
    version = body["metadata"].get("resourceVersion", "")
    return int(version) if version.isdecimal() else 0


def _slim(body: dict[str, Any]) -> dict[str, Any]:
    """Without what only others need: it is more than half of an object."""
    metadata = {name: value for name, value in body["metadata"].items() if name not in ("managedFields", "annotations")}
    return {"metadata": metadata, "spec": body.get("spec", {}), "status": body.get("status", {})}
