"""The operator's state in memory: a cache of the watched Orders, and batched reads of the order store.

It must never decide or write anything: `plan` decides, and `reconciler` executes.
"""

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
    """A service that an Order can wait for."""

    TEMPORAL = "Temporal"
    STORE = "Postgres"


@dataclass(frozen=True)
class ObservedState:
    """What the operator has observed of one order outside Kubernetes since it started."""

    record: RecordedOrder | None = None
    record_read: bool = False
    """Whether the order store was read: without it, no `record` proves nothing."""
    workflow: Started | None = None
    """The order's own workflow, as a start or a search returned it."""
    workflow_searched: bool = False
    """Whether Temporal was searched and has no workflow of the order."""
    started_generation: int = 0
    """Generation of the spec that the workflow was started with; 0 if this operator did not start it."""
    sent_generation: int = 0
    """Last generation that was sent to the workflow as a signal, and so is durable in Temporal."""
    workflow_missing: bool = False
    """Whether a signal found no running workflow."""
    workflow_unchecked: bool = False
    """Whether the workflow's state is to be read from Temporal, because the order store has no row of it."""
    workflow_closed: Closed | None = None
    """How the workflow ended, where it ended before it recorded the order."""
    conflict: str | None = None
    """Why the order id belongs to another order; None if it doesn't."""
    unavailable: Dependency | None = None
    """The service without which this Order can't proceed; None if all respond."""

    @property
    def ended(self) -> bool:
        """Whether the order has ended, by the order store, or by Temporal where the store has no row of it."""
        return self.workflow_closed is not None if self.record is None else self.record.status.ended


class Key(NamedTuple):
    """Namespace and name of an Order."""

    namespace: str
    name: str


class CacheEntry:
    """A watched Order, with what was observed of its order.

    Between reconciliations the object is kept as JSON text: most of tens of thousands of Orders are idle.

    Args:
        body: the Order as the API server returned it, without what `_strip` removes.
    """

    _object: dict[str, Any] | str
    _version: int
    order_id: str
    """Order id of its spec."""
    step: str
    """Step of its status; `none` before the first status."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.observed = ObservedState()
        self.written_at = float("-inf")
        """Time of the last status write, by the event loop's clock."""
        self.stale_since: float | None = None
        """Time since which its status is out of date, by the event loop's clock; None if it is up to date."""
        self.has_waited = False
        """Whether it failed for an unavailable service before, or waited for one for `UNAVAILABLE_THRESHOLD`."""
        self.check_workflow_at: float | None = None
        """Time to read its workflow's state from Temporal, by the event loop's clock; None if there is no need."""
        self.uid = str(body["metadata"]["uid"])
        """Uid of the object, which distinguishes it from earlier and later objects of the name."""
        self._set_object(body)

    @property
    def body(self) -> dict[str, Any]:
        """The latest observed object; read-only."""
        loaded = json.loads(self._object) if isinstance(self._object, str) else self._object
        self._object = loaded
        return loaded

    def serialize(self) -> None:
        """Keep the object as text until `body` is read again."""
        if not isinstance(self._object, str):
            self._object = json.dumps(self._object, separators=(",", ":"))

    def update(self, body: dict[str, Any]) -> None:
        """Replace the object, unless `body` is an older version of it."""
        if _version(body) >= self._version:
            self._set_object(body)

    def _set_object(self, body: dict[str, Any]) -> None:
        self._object = _strip(body)
        self._version = _version(body)
        self.order_id = self._object["spec"].get("orderId") or str(body["metadata"]["name"])
        self.step = self._object["status"].get("step", "none")

    def observe(self, **facts: Any) -> None:
        """Update fields of `observed`."""
        self.observed = replace(self.observed, **facts)


class OrderCache:
    """The watched Orders, by namespace and name."""

    def __init__(self) -> None:
        self._entries: dict[Key, CacheEntry] = {}

    def __getitem__(self, key: Key) -> CacheEntry | None:
        return self._entries.get(key)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def count_by_step(self) -> Counter[str]:
        """Count the Orders by the step of their status; `none` before the first status."""
        return Counter(entry.step for entry in self._entries.values())

    def upsert(self, body: dict[str, Any]) -> Key:
        """Add an Order or replace an older version of it; return its key."""
        key = key_of(body)
        entry = self._entries.get(key)
        if entry is None or entry.uid != body["metadata"]["uid"]:
            self._entries[key] = CacheEntry(_strip(body))
        else:
            entry.update(body)
        return key

    def remove(self, key: Key, uid: str) -> None:
        """Remove an Order that is no longer watched, unless another object of the name has replaced it."""
        entry = self._entries.get(key)
        if entry is not None and entry.uid == uid:
            del self._entries[key]

    def contains_owner(self, owner: str) -> bool:
        """Whether an owner of an order, as `namespace/name`, is a watched Order."""
        return key_of_owner(owner) in self._entries

    def apply_record(self, record: RecordedOrder) -> Key | None:
        """Store a row of the order store with its Order.

        Returns:
            The Order's key; None if the Order isn't watched or the row isn't newer than the stored one.
        """
        key = key_of_owner(record.owner)
        entry = self._entries.get(key)
        if entry is None or entry.order_id != record.order_id:
            return None
        last = entry.observed.record
        if last is not None and last.version >= record.version:
            return None
        entry.observe(record=record, record_read=True)
        return key


def key_of(body: dict[str, Any]) -> Key:
    """The key of an Order."""
    return Key(body["metadata"]["namespace"], body["metadata"]["name"])


def key_of_owner(owner: str) -> Key:
    """The key of an owner of an order, as `namespace/name`."""
    namespace, _, name = owner.partition("/")
    return Key(namespace, name)


def _version(body: dict[str, Any]) -> int:
    # Resource versions are increasing decimal numbers (KEP-5504); a version of another form counts as newer.
    version = body["metadata"].get("resourceVersion", "")
    return int(version) if version.isdecimal() else 0


def _strip(body: dict[str, Any]) -> dict[str, Any]:
    """The object without fields that the operator doesn't read: they are more than half of its size."""
    metadata = {name: value for name, value in body["metadata"].items() if name not in ("managedFields", "annotations")}
    return {"metadata": metadata, "spec": body.get("spec", {}), "status": body.get("status", {})}


_Result = asyncio.Future[RecordedOrder | None]


class RecordLoader:
    """Reads orders from the order store, with one query for concurrent reads.

    It reads only after the change feed has started, so no later change can be missed.

    Args:
        reader: reads orders.
        feed: the change feed.
        timeout: of the wait for the feed's start, in seconds.
        batch: maximal number of orders in a query.
    """

    def __init__(self, reader: OrderReader, feed: ChangeFeed, *, timeout: float = 2.0, batch: int = 500) -> None:
        self._reader = reader
        self._feed = feed
        self._timeout = timeout
        self._batch = batch
        self._pending: dict[str, _Result] = {}
        self._reading: asyncio.Task[None] | None = None

    async def read(self, order_id: str) -> RecordedOrder | None:
        """Read an order.

        Args:
            order_id: id of the order.

        Returns:
            The order; None if the store has none of this id.

        Raises:
            StoreUnavailable: Postgres does not respond.
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
        # Callers share the future: the cancellation of one must not cancel it for the others.
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
        except Exception as error:  # noqa: BLE001 - raised in every waiting caller
            for result in results.values():
                result.set_exception(error)
        else:
            for order_id, result in results.items():
                result.set_result(found.get(order_id))
