"""What the operator knows of one Order beside the Order itself. Plain data; `reconcile` learns, `plan` reads."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple

from orderfleet.domain.errors import StoreUnavailable
from orderfleet.domain.events import RecordedOrder
from orderfleet.domain.ports import ChangeFeed, OrderReader
from orderfleet.services.errors import Closed, Started


class Dependency(StrEnum):
    """A part that the operator needs."""

    TEMPORAL = "Temporal"
    STORE = "Postgres"


@dataclass(frozen=True)
class ObservedState:
    """Knowledge of one Order, gathered since the operator started."""

    record: RecordedOrder | None = None
    record_read: bool = False
    """Whether no record means that there is none."""
    workflow: Started | None = None
    """The order's own workflow, as a start or a search answered."""
    workflow_searched: bool = False
    """Whether no workflow means that Temporal knows none."""
    started_generation: int = 0
    """The generation that the start carried whole."""
    sent_generation: int = 0
    """The last generation that Temporal took as a declaration; durable from then on."""
    workflow_missing: bool = False
    """Whether a declaration found no running workflow."""
    workflow_unchecked: bool = False
    """Whether the database has had no such order for so long that Temporal is to be asked what became of it."""
    workflow_closed: Closed | None = None
    """How the workflow ended without having recorded the order; then nothing will."""
    conflict: str | None = None
    """Why the order id is another order's."""
    unavailable: Dependency | None = None
    """The part whose silence keeps this Order waiting."""


class Key(NamedTuple):
    """Names an Order."""

    namespace: str
    name: str


class CacheEntry:
    """One Order, as the API server told it first.

    The object is kept as text while nobody works on it: tens of thousands that wait are mostly that.
    """

    _object: dict[str, Any] | str
    _version: int
    order_id: str
    """The order id that it declares."""
    step: str
    """The step that it shows; `none` before its first status."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.observed = ObservedState()
        self.written_at = float("-inf")
        """When its status was last written, by the event loop's clock."""
        self.stale_since: float | None = None
        """Since when its status waits to be written."""
        self.has_waited = False
        """Whether it waited for a part that is away longer than a moment, or more than once."""
        self.check_workflow_at: float | None = None
        """When its workflow is to be asked for, by the event loop's clock: the database may never have the order."""
        self.uid = str(body["metadata"]["uid"])
        """Which object of this name it is."""
        self._store(body)

    @property
    def body(self) -> dict[str, Any]:
        """The object as last seen; to be read only."""
        loaded = json.loads(self._object) if isinstance(self._object, str) else self._object
        self._object = loaded
        return loaded

    def compress(self) -> None:
        """Nobody works on it now."""
        if not isinstance(self._object, str):
            self._object = json.dumps(self._object, separators=(",", ":"))

    def update(self, body: dict[str, Any]) -> None:
        """The object as the API server told it; older news is dropped."""
        if _version(body) >= self._version:
            self._store(body)

    def _store(self, body: dict[str, Any]) -> None:
        self._object = _strip(body)
        self._version = _version(body)
        self.order_id = self._object["spec"].get("orderId") or str(body["metadata"]["name"])
        self.step = self._object["status"].get("step", "none")

    def observe(self, **facts: Any) -> None:
        """Know more."""
        self.observed = replace(self.observed, **facts)


class OrderCache:
    """Every Order that is watched."""

    def __init__(self) -> None:
        self._entries: dict[Key, CacheEntry] = {}

    def __getitem__(self, key: Key) -> CacheEntry | None:
        return self._entries.get(key)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def count_by_step(self) -> Counter[str]:
        """How many Orders show which step; `none` before their first status."""
        return Counter(entry.step for entry in self._entries.values())

    def upsert(self, body: dict[str, Any]) -> Key:
        """An Order as the watch tells it."""
        key = key_of(body)
        entry = self._entries.get(key)
        if entry is None or entry.uid != body["metadata"]["uid"]:
            self._entries[key] = CacheEntry(_strip(body))
        else:
            entry.update(body)
        return key

    def remove(self, key: Key, uid: str) -> None:
        """The Order is gone, or has ended, or is another operator's, and is watched no more."""
        entry = self._entries.get(key)
        if entry is not None and entry.uid == uid:
            del self._entries[key]

    def contains_owner(self, owner: str) -> bool:
        """Whether the owner of a recorded order, as the record names it, is an Order that is watched."""
        return _key_of_owner(owner) in self._entries

    def apply_record(self, record: RecordedOrder) -> Key | None:
        """What the record tells of an order; its Order, if it is watched and the news is new."""
        key = _key_of_owner(record.owner)
        entry = self._entries.get(key)
        if entry is None or entry.order_id != record.order_id:
            return None
        last = entry.observed.record
        if last is not None and last.version >= record.version:
            return None
        entry.observe(record=record, record_read=True)
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


def _strip(body: dict[str, Any]) -> dict[str, Any]:
    """Without what only others need: it is more than half of an object."""
    metadata = {name: value for name, value in body["metadata"].items() if name not in ("managedFields", "annotations")}
    return {"metadata": metadata, "spec": body.get("spec", {}), "status": body.get("status", {})}


_Result = asyncio.Future[RecordedOrder | None]


class RecordLoader:
    """Batched reads.

    Args:
        reader: the read side of the record.
        feed: the change feed that goes on from there.
        patience: seconds to wait for the feed's beginning.
        batch: orders in one read at most.
    """

    def __init__(self, reader: OrderReader, feed: ChangeFeed, *, timeout: float = 2.0, batch: int = 500) -> None:
        self._reader = reader
        self._feed = feed
        self._timeout = timeout
        self._batch = batch
        self._pending: dict[str, _Result] = {}
        self._reading: asyncio.Task[None] | None = None

    async def read(self, order_id: str) -> RecordedOrder | None:
        """The order as recorded, or None.

        Raises:
            StoreUnavailable: Postgres is away.
        """
        try:
            async with asyncio.timeout(self._timeout):
                await self._feed.started()
        except TimeoutError as error:
            raise StoreUnavailable("the change feed has not reached Postgres yet") from error
        result = self._pending.get(order_id)
        if result is None:
            result = self._pending[order_id] = asyncio.get_running_loop().create_future()
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_all())
        # One of those who wait may be canceled without the others.
        return await asyncio.shield(result)

    async def _read_all(self) -> None:
        try:
            while self._pending:
                order_ids = list(self._pending)[: self._batch]
                results = {order_id: self._pending.pop(order_id) for order_id in order_ids}
                await self._read_some(results)
        finally:
            self._reading = None

    async def _read_some(self, results: dict[str, _Result]) -> None:
        try:
            found = await self._reader.orders(list(results))
        except Exception as error:  # noqa: BLE001 - each who asked is told
            for result in results.values():
                result.set_exception(error)
        else:
            for order_id, result in results.items():
                result.set_result(found.get(order_id))
