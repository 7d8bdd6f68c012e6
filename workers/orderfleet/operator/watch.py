"""Watches Orders with kopf, which lists, watches and reconnects; no other feature of kopf is used.

kopf must write nothing to an Order: no handler keeps state in the object.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Protocol

import kopf

from orderfleet.domain.names import CRD_GROUP, CRD_PLURAL, CRD_VERSION, ENDED_LABEL
from orderfleet.operator import kubernetes
from orderfleet.process import Stop, listen_for_signals


class EventSink(Protocol):
    """Receives the changes of Orders."""

    def order_changed(self, body: dict[str, Any]) -> None:
        """Receive an Order that is new, changed or listed again."""

    def order_removed(self, body: dict[str, Any]) -> None:
        """Receive an Order that is deleted, or whose labels no longer match the watch."""


def registry(sink: EventSink) -> kopf.OperatorRegistry:
    """Handlers of kopf, which send each change of an Order to the sink."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    async def login(settings: kopf.OperatorSettings, **_: Any) -> kopf.ConnectionInfo:
        return kubernetes.login(settings)

    @kopf.on.event(CRD_GROUP, CRD_VERSION, CRD_PLURAL, registry=handlers)
    async def handle_event(event: kopf.RawEvent, **_: Any) -> None:
        body: dict[str, Any] = dict(event["object"])
        if event["type"] == "DELETED":
            sink.order_removed(body)
        else:
            sink.order_changed(body)

    return handlers


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
    settings.watching.chunk_size = kubernetes.PAGE_SIZE
    settings.networking.error_backoffs = _Backoffs()
    settings.networking.request_timeout = 60
    settings.networking.connect_timeout = 5
    settings.queueing.idle_timeout = 0.5
    settings.persistence.diffbase_storage = _NoDiffBase()
    # The operator has its own drain timeout; kopf would kill the process.
    settings.process.ultimate_exiting_timeout = None
    return settings


async def watch(
    sink: EventSink, namespaces: list[str], selector: str, stop: Stop, inactivity_timeout: timedelta
) -> str:
    """Send all Orders that match and have not ended, and their changes, to the sink until canceled.

    The API server must serve Orders already. If kopf ends by itself, the caller watches again, which lists all Orders.

    Args:
        sink: receives the changes; an Order that no longer matches the selector is removed.
        namespaces: to watch; empty is all namespaces.
        selector: label selector of the Orders; empty is all Orders.
        stop: requested by SIGTERM and SIGINT.
        inactivity_timeout: time without data after which the watch reconnects.

    Returns:
        Why kopf ended.
    """
    # kopf would log each event of each Order.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    settings = kopf_settings(selector)
    settings.watching.inactivity_timeout = inactivity_timeout.total_seconds()
    tasks = await kopf.spawn_tasks(
        registry=registry(sink), settings=settings, namespaces=namespaces, clusterwide=not namespaces
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
