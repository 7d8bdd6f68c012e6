"""The operator's controller: it feeds the work queue from the watch of Orders and from the change feed.

It must never write to an Order: the reconciler does, for one Order at a time. kopf lists, watches and reconnects; no
other feature of it is used, and it must write nothing to an Order: no handler keeps state in the object.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import kopf
import structlog

from orderfleet.domain.errors import OrderfleetError, StoreUnavailable
from orderfleet.domain.names import CRD_GROUP, CRD_PLURAL, CRD_VERSION, ENDED_LABEL
from orderfleet.domain.ports import ChangeFeed, OrderReader
from orderfleet.operator import kubernetes as kubernetes_access
from orderfleet.operator.cache import Key, OrderCache, RecordLoader, key_of
from orderfleet.operator.events import EventRecorder
from orderfleet.operator.finalizers import NamespaceDeletion
from orderfleet.operator.kubernetes import Kubernetes
from orderfleet.operator.reconciler import Reconciler
from orderfleet.operator.unshown_payments import UnshownPayments
from orderfleet.operator.workqueue import Queue
from orderfleet.process import Stop, listen_for_signals
from orderfleet.services.workflow_client import OrderClient
from orderfleet.settings import Settings

_log = structlog.get_logger()

HEARTBEAT_INTERVAL: Final = 10.0
"""Seconds between two checks of the API server."""

_RETRY_INTERVAL: Final = 1.0
"""Seconds before the API server is checked again and the watch restarts."""
_MAX_FEED_LAG: Final = 15.0
"""Seconds of change-feed lag from which the operator is not ready."""
_EVENTS_DRAIN_TIMEOUT: Final = 1.0


async def follow(feed: ChangeFeed, cache: OrderCache, unshown: UnshownPayments, enqueue: Callable[[Key], None]) -> None:
    """Enqueue each Order whose order changes in the store, until canceled.

    The feed reads only orders of watched Orders: where operators share the Orders, or orders come over HTTP, most
    orders are not watched here.

    Args:
        feed: the change feed.
        cache: the watched Orders; updated.
        unshown: the payments that ended Orders do not show; updated.
        enqueue: has an Order reconciled.
    """
    async for batch in feed.follow(cache.contains_owner):
        for record in batch:
            key = cache.apply_record(record)
            if key is not None:
                enqueue(key)
            if record.payment_unshown:
                unshown.add(record.owner, record.order_id)


async def _load(unshown: UnshownPayments) -> None:
    """Add the payments that changed while no operator ran, once Postgres responds."""
    while True:
        try:
            return await unshown.load()
        except StoreUnavailable:
            await asyncio.sleep(_RETRY_INTERVAL)


class _Backoffs:
    """Seconds between the tries of a request, without end: kopf must not stop while the API server is unavailable."""

    def __iter__(self) -> Iterator[float]:
        yield from (0.1, 0.2, 0.5)
        while True:
            yield 1.0


class _NoDiffBase(kopf.DiffBaseStorage):
    """Stores no last-seen state of objects: no handler uses kopf's comparison with it."""

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:  # noqa: ARG002 - kopf's signature
        return None

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        pass


def kopf_settings(selector: str = "") -> kopf.OperatorSettings:
    """Settings of kopf, with a watch of the Orders that match the selector and have not ended."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.posting.enabled = False
    # Resource and namespaces are fixed, so kopf needs to discover neither.
    settings.scanning.disabled = True
    labels = f"!{ENDED_LABEL},{selector}" if selector else f"!{ENDED_LABEL}"
    settings.watching.label_selectors[CRD_GROUP, CRD_VERSION, CRD_PLURAL] = labels
    settings.watching.chunk_size = kubernetes_access.PAGE_SIZE
    settings.networking.error_backoffs = _Backoffs()
    settings.networking.request_timeout = 60
    settings.networking.connect_timeout = 5
    settings.queueing.idle_timeout = 0.5
    settings.persistence.diffbase_storage = _NoDiffBase()
    # The operator has its own drain timeout; kopf would kill the process.
    settings.process.ultimate_exiting_timeout = None
    return settings


class Operator:
    """The operator: watches Orders and the change feed, and reconciles Orders concurrently.

    Args:
        settings: namespaces and label selector of its Orders, concurrency, defaults of orders.
        client: starts, searches and signals workflows.
        reader: reads orders from the order store.
        feed: changes of orders in the order store.
        kubernetes: the API server.
        measure: context in which each reconciliation runs.
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
        """The watched Orders."""
        self.queue: Queue[Key] = Queue(self._reconcile, _log_failure, settings.operator_concurrency)
        """Keys of the Orders to reconcile."""
        records = RecordLoader(reader, feed)
        self._unshown = UnshownPayments(
            feed=feed, records=records, kubernetes=kubernetes, settings=settings, enqueue=self.queue.add
        )
        self._reconciler = Reconciler(
            cache=self.cache,
            client=client,
            records=records,
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
        """Cache an Order and enqueue it."""
        self.queue.add(self.cache.upsert(body))

    def order_removed(self, body: dict[str, Any]) -> None:
        """Drop an Order that is deleted, has ended, or no longer matches the selector."""
        self.cache.remove(key_of(body), body["metadata"]["uid"])

    async def run(self, stop: Stop) -> None:
        """Run until `stop`, then finish the running reconciliations within the drain timeout.

        If the operator's own namespace is being deleted, its Orders are deleted first, within a timeout of their own.
        """
        async with asyncio.TaskGroup() as group:
            work = group.create_task(self.queue.run(), name="queue")
            events = group.create_task(self._events.run(), name="events")
            endless = [
                group.create_task(follow(self._feed, self.cache, self._unshown, self.queue.add), name="feed"),
                group.create_task(_load(self._unshown), name="unshown payments"),
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
        """Watch Orders while the API server serves them; restart a watch that ends."""
        while True:
            while (problem := await self._api_problem()) is not None:
                _log.warning("waiting for the API server", problem=problem)
                self._problem = problem
                await asyncio.sleep(_RETRY_INTERVAL)
            namespaces, selector = self._settings.watched_namespaces(), self._settings.operator_selector
            _log.info("watching Orders", namespaces=namespaces or "all", labels=selector or "all")
            self._problem = None
            why = await watch(self, self._settings, stop)
            _log.error("the watch of Orders ended, watching again", why=why)
            self._problem = "the watch of Orders ended"
            await asyncio.sleep(_RETRY_INTERVAL)

    async def _heartbeat(self) -> None:
        """Check regularly that the API server responds and serves Orders."""
        while True:
            await asyncio.sleep(HEARTBEAT_INTERVAL)
            self._api_server_problem = await self._api_problem()

    async def _api_problem(self) -> str | None:
        try:
            served = await self._kubernetes.serves_orders()
        except OrderfleetError as error:
            return f"the API server does not respond: {error}"
        return None if served else "the API server does not serve Orders: apply the CRD"

    async def _reconcile(self, key: Key) -> None:
        with self._measure():
            await self._reconciler.reconcile(key)
            await self._unshown.show(key)


async def _wait_or_cancel(work: asyncio.Task[None], seconds: float) -> None:
    """Wait for a task, and cancel it after `seconds`."""
    await asyncio.wait([work], timeout=seconds)
    work.cancel()


def _log_failure(key: Key, error: Exception, count: int) -> None:
    """Log the first, second, fourth, eighth … consecutive failure of an Order."""
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


def registry(sink: Operator) -> kopf.OperatorRegistry:
    """Handlers of kopf, which send each change of an Order to the operator."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    async def login(settings: kopf.OperatorSettings, **_: Any) -> kopf.ConnectionInfo:
        return kubernetes_access.login(settings)

    @kopf.on.event(CRD_GROUP, CRD_VERSION, CRD_PLURAL, registry=handlers)
    async def handle_event(event: kopf.RawEvent, **_: Any) -> None:
        body: dict[str, Any] = dict(event["object"])
        if event["type"] == "DELETED":
            sink.order_removed(body)
        else:
            sink.order_changed(body)

    return handlers


async def watch(sink: Operator, settings: Settings, stop: Stop) -> str:
    """Send all Orders that match and have not ended, and their changes, to the operator until canceled.

    The API server must serve Orders already. If kopf ends by itself, the caller watches again, which lists all Orders.

    Args:
        sink: receives the changes; an Order that no longer matches the selector is removed.
        settings: namespaces and label selector of the Orders, time without data after which the watch reconnects.
        stop: requested by SIGTERM and SIGINT.

    Returns:
        Why kopf ended.
    """
    # kopf would log each event of each Order.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    of_kopf = kopf_settings(settings.operator_selector)
    of_kopf.watching.inactivity_timeout = settings.operator_watch_inactivity_timeout.total_seconds()
    namespaces = settings.watched_namespaces()
    tasks = await kopf.spawn_tasks(
        registry=registry(sink), settings=of_kopf, namespaces=namespaces, clusterwide=not namespaces
    )
    listen_for_signals(stop)
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return "; ".join(f"{task.get_name()}: {_describe_end(task)}" for task in done)
    finally:
        await _cancel(tasks)


def _describe_end(task: asyncio.Task[Any]) -> str:
    if task.cancelled():
        return "canceled"
    return repr(task.exception() or "ended")


async def _cancel(tasks: Any) -> None:
    """Cancel the tasks that kopf started; kopf itself would cancel every later task of the process."""
    for task in tasks:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks, return_exceptions=True)
