"""The read side's way to the Orders: the change feed tells, the memory remembers, the queue looks.

It must never write anything: what is to be shown is decided when the Order is looked at.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import structlog

from orderfleet.domain.errors import OrderfleetError
from orderfleet.domain.ports import ChangeFeed, OrderReader
from orderfleet.operator.cache import Key, OrderCache, RecordLoader, key_of
from orderfleet.operator.events import EventRecorder
from orderfleet.operator.finalizers import NamespaceDeletion
from orderfleet.operator.kubernetes import Kubernetes
from orderfleet.operator.reconciler import Reconciler
from orderfleet.operator.watch import watch
from orderfleet.operator.workqueue import Queue
from orderfleet.process import Stop
from orderfleet.services.workflow_client import OrderClient
from orderfleet.settings import Settings


async def follow(feed: ChangeFeed, cache: OrderCache, enqueue: Callable[[Key], None]) -> None:
    """Follow the feed until canceled; orders without a watched Order are passed over.

    That is most of them where operators share the Orders, or orders come over HTTP: the feed doesn't even read them.
    """
    async for batch in feed.follow(cache.contains_owner):
        for record in batch:
            key = cache.apply_record(record)
            if key is not None:
                enqueue(key)


_log = structlog.get_logger()


HEARTBEAT_INTERVAL: Final = 10.0

"""Seconds between two looks at whether the API server is there."""

_RETRY_INTERVAL: Final = 1.0

_MAX_FEED_LAG: Final = 15.0

_EVENTS_DRAIN_TIMEOUT: Final = 1.0


class Operator:
    """The operator of one process.

    Args:
        settings: namespaces, labels of its Orders, concurrency, defaults of orders.
        client: the door into Temporal.
        reader: the read side of the record.
        feed: the record's changes.
        kubernetes: the API server.
        watch_look: stands around each look at an Order.
    """

    def __init__(
        self,
        settings: Settings,
        client: OrderClient,
        reader: OrderReader,
        feed: ChangeFeed,
        kubernetes: Kubernetes,
        measure: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._settings = settings
        self._feed = feed
        self._measure = measure
        self._kubernetes = kubernetes
        self._events = EventRecorder(kubernetes, socket.gethostname())
        self.cache = OrderCache()
        """The Orders that are watched."""
        self.queue: Queue[Key] = Queue(self._reconcile, _log_failure, settings.operator_concurrency)
        """The Orders that are to be looked at."""
        self._reconciler = Reconciler(
            cache=self.cache,
            client=client,
            records=RecordLoader(reader, feed),
            kubernetes=kubernetes,
            events=self._events,
            settings=settings,
            enqueue=self.queue.add,
        )
        self._problem: str | None = "not started yet"
        self._api_server_problem: str | None = None

    def not_ready(self) -> str | None:
        """Why the operator is not ready, or None when it is."""
        behind = self._feed.behind
        if self._problem is None and (behind is None or behind.total_seconds() > _MAX_FEED_LAG):
            return "the change feed does not reach Postgres"
        return self._problem or self._api_server_problem

    def order_changed(self, body: dict[str, Any]) -> None:
        """The watch tells of an Order."""
        self.queue.add(self.cache.upsert(body))

    def order_removed(self, body: dict[str, Any]) -> None:
        """The watch tells of an Order that is deleted, has ended, or is another operator's now."""
        self.cache.remove(key_of(body), body["metadata"]["uid"])

    async def run(self, stop: Stop) -> None:
        """Run until asked to stop; then finish what is being handled, within the drain bound.

        Where its own namespace is being deleted, it lets its Orders go first, within a bound of its own.
        """
        async with asyncio.TaskGroup() as group:
            work = group.create_task(self.queue.run(), name="queue")
            events = group.create_task(self._events.run(), name="events")
            endless = [
                group.create_task(follow(self._feed, self.cache, self.queue.add), name="feed"),
                group.create_task(self._watch(stop), name="watch"),
                group.create_task(self._heartbeat(), name="heartbeat"),
            ]
            await stop.wait()
            self._problem = "stopping"
            deletion = NamespaceDeletion(self._kubernetes, self._settings)
            namespace_is_deleted = await deletion.in_progress()
            if namespace_is_deleted:
                await deletion.delete_orders()
            for task in endless:
                task.cancel()
            self.queue.close()
            await _wait_or_cancel(work, self._settings.drain_timeout.total_seconds())
            if namespace_is_deleted:
                await deletion.remove_finalizers()
            await self._events.close()
            await _wait_or_cancel(events, _EVENTS_DRAIN_TIMEOUT)

    async def _watch(self, stop: Stop) -> None:
        """Watch Orders whenever the API server knows them."""
        namespaces = [name.strip() for name in self._settings.operator_namespaces.split(",") if name.strip()]
        while True:
            while (problem := await self._api_problem()) is not None:
                _log.warning("waiting for the API server", problem=problem)
                self._problem = problem
                await asyncio.sleep(_RETRY_INTERVAL)
            selector = self._settings.operator_selector
            _log.info("watching Orders", namespaces=namespaces or "all", labels=selector or "all")
            self._problem = None
            why = await watch(self, namespaces, selector, stop, self._settings.operator_watch_silence)
            _log.error("the watch of Orders ended, watching again", why=why)
            self._problem = "the watch of Orders ended"
            await asyncio.sleep(_RETRY_INTERVAL)

    async def _heartbeat(self) -> None:
        """Notice when the API server does not answer, or forgot Orders, while nothing happens."""
        while True:
            await asyncio.sleep(HEARTBEAT_INTERVAL)
            self._api_server_problem = await self._api_problem()

    async def _api_problem(self) -> str | None:
        try:
            served = await self._kubernetes.serves_orders()
        except OrderfleetError as error:
            return f"the API server can't be asked: {error}"
        return None if served else "the API server does not know Orders: apply the CRD"

    async def _reconcile(self, key: Key) -> None:
        with self._measure():
            await self._reconciler.reconcile(key)


async def _wait_or_cancel(work: asyncio.Task[None], seconds: float) -> None:
    """Give a task so long to end, then cancel it."""
    await asyncio.wait([work], timeout=seconds)
    work.cancel()


def _log_failure(key: Key, error: Exception, count: int) -> None:
    """Tell of failures at 1, 2, 4, 8 … in a row."""
    if count & (count - 1):
        return
    expected = isinstance(error, OrderfleetError)
    _log.log(
        logging.WARNING if expected else logging.ERROR,
        "reconcile failed, trying again",
        order=f"{key.namespace}/{key.name}",
        failures=count,
        error=str(error),
        exc_info=None if expected else error,
    )
