"""What the operator asks of kopf: credentials, and every change of an Order. A table of contents.

No handler keeps state in the object, so kopf writes nothing: the level-based queue does the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final, Protocol

import kopf

from orderfleet.domain.names import CRD_GROUP, CRD_PLURAL, CRD_VERSION, ENDED_LABEL
from orderfleet.operator import kubernetes
from orderfleet.process import Stop, listen_for_signals


class EventSink(Protocol):
    """Who is told of the Orders."""

    def order_changed(self, body: dict[str, Any]) -> None:
        """An Order is there, new or changed or listed again."""

    def order_removed(self, body: dict[str, Any]) -> None:
        """An Order is deleted, or got the label of those that ended, or labels that make it another operator's."""


def registry(sink: EventSink) -> kopf.OperatorRegistry:
    """Return the handlers, to be run by `watch`."""
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


PAGE_SIZE: Final = 500

"""Orders in one page of a listing."""


class _Backoffs:
    """Gaps between tries of a request: an API server that is away is waited for, not given up."""

    def __iter__(self) -> Iterator[float]:
        yield from (0.1, 0.2, 0.5)
        while True:
            yield 1.0


class _NoDiffBase(kopf.DiffBaseStorage):
    """kopf compares each object with how it last saw it; nobody here asks."""

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:  # noqa: ARG002 - kopf's signature
        return None

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        pass


def kopf_settings(selector: str = "") -> kopf.OperatorSettings:
    """How kopf is to behave; it asks for the Orders that the selector means, and have not ended."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.posting.enabled = False
    # The one resource is known; namespaces are named exactly. So neither needs to be watched.
    settings.scanning.disabled = True
    labels = f"!{ENDED_LABEL},{selector}" if selector else f"!{ENDED_LABEL}"
    settings.watching.label_selectors[CRD_GROUP, CRD_VERSION, CRD_PLURAL] = labels
    settings.watching.chunk_size = PAGE_SIZE
    settings.networking.error_backoffs = _Backoffs()
    settings.networking.request_timeout = 60
    settings.networking.connect_timeout = 5
    settings.queueing.idle_timeout = 0.5
    settings.persistence.diffbase_storage = _NoDiffBase()
    # Ending is ours to bound; kopf would kill the process.
    settings.process.ultimate_exiting_timeout = None
    return settings


async def watch(
    sink: EventSink, namespaces: list[str], selector: str, stop: Stop, inactivity_timeout: timedelta
) -> str:
    """Tell the inbox of all Orders that are meant and have not ended, and of every change of them, until canceled.

    An Order whose labels change so that it isn't meant any more is told as gone.

    A connection that says nothing for as long as `silence` is given up, and the watch goes on over another.

    The API server must know Orders already. Should kopf end by itself, it is told why: the caller
    watches again, and everything is listed anew.
    """
    # It would tell of every event of every Order.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    settings = kopf_settings(selector)
    settings.watching.inactivity_timeout = inactivity_timeout.total_seconds()
    tasks = await kopf.spawn_tasks(
        registry=registry(sink),
        settings=settings,
        namespaces=namespaces,
        clusterwide=not namespaces,
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
    """End what kopf started, and nothing else: its own way ends every task younger than itself."""
    for task in tasks:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks, return_exceptions=True)
