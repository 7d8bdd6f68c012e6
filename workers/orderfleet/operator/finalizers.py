"""Lets go of every Order before an uninstall: without an operator its finalizer would hang for ever.

`orderfleet remove-finalizers` runs it, in the chart's pre-delete hook. It must never touch a workflow: an order
that runs goes on, and an operator that is installed again takes its Order up again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, Final

import structlog

from orderfleet.domain.errors import OrderfleetError
from orderfleet.domain.label_selectors import LabelSelector
from orderfleet.domain.names import ENDED_LABEL, FINALIZER
from orderfleet.operator.cache import Key, key_of
from orderfleet.operator.kubernetes import Kubernetes, KubernetesUnavailable, ObjectChanged, ObjectGone, Write
from orderfleet.settings import Settings

_GAP: Final = 0.5


async def stop_operators(kubernetes: Kubernetes, deployments: list[tuple[str, str]], selector: str) -> None:
    """Scale the operators to nothing and wait until their pods are gone: they would take their finalizer back.

    A Deployment is its namespace and its name; the pods are sought in the namespaces of those that are there.

    Raises:
        OrderfleetError: the API server can't be asked, or refuses.
    """
    stopped = set()
    for namespace, name in deployments:
        with contextlib.suppress(ObjectGone):
            await kubernetes.stop_deployment(namespace, name)
            stopped.add(namespace)
    for namespace in stopped:
        while True:
            if not await kubernetes.pods(namespace, selector):
                break
            await asyncio.sleep(_GAP)


async def release_orders(
    kubernetes: Kubernetes, namespaces: list[str], wanted: Callable[[dict[str, Any]], bool] = lambda _order: True
) -> int:
    """Take the finalizer off the Orders in the namespaces, in all if there are none; return how many had it.

    Args:
        kubernetes: the API server.
        namespaces: of the Orders; none of them is all.
        wanted: whether an Order is to lose it; by default each is.

    Raises:
        OrderfleetError: the API server can't be asked, or refuses.
    """
    released = 0
    for namespace in namespaces or [""]:
        # Whoever changes an Order meanwhile makes the patch fail; the next round finds it again.
        while held := [order for order in await _held(kubernetes, namespace) if wanted(order)]:
            released += sum(await asyncio.gather(*(_release(kubernetes, order) for order in held)))
    return released


async def _held(kubernetes: Kubernetes, namespace: str) -> list[dict[str, Any]]:
    held: list[dict[str, Any]] = []
    mark = ""
    try:
        while True:
            orders, mark = await kubernetes.page_of_orders(namespace, mark)
            held += [order for order in orders if FINALIZER in order["metadata"].get("finalizers", ())]
            if not mark:
                return held
    except ObjectGone:
        # The server doesn't know Orders, or its listing grew too old while it was read.
        return held


async def _release(kubernetes: Kubernetes, order: dict[str, Any]) -> bool:
    metadata = order["metadata"]
    others = [name for name in metadata["finalizers"] if name != FINALIZER]
    patch = {"metadata": {"finalizers": others or None}}
    try:
        await kubernetes.patch(key_of(order), Write.RELEASE, patch, metadata["resourceVersion"])
    except (ObjectChanged, ObjectGone):
        return False
    return True


_log = structlog.get_logger()

"""Seconds between two listings of the Orders that are left."""

_SHARE: Final = 0.8

"""Part of the time that the Orders of this namespace may take; the rest is for those of others."""

_NAMED: Final = 20

"""Orders that a log line names."""

_ASKING: Final = 5.0

"""Seconds that the API server may take to say whether the namespace is deleted."""

_REMEDY: Final = (
    "with a kubeconfig, and the addresses of Temporal and Postgres, run `orderfleet operator` until they are gone: it"
    " cancels what they started; `orderfleet remove-finalizers` removes the finalizer and cancels nothing"
)


class NamespaceDeletion:
    """The deletion of the operator's own namespace.

    Args:
        kubernetes: the API server.
        settings: the operator's own namespace, the Orders that it takes, and how long they may take to go.
    """

    def __init__(self, kubernetes: Kubernetes, settings: Settings) -> None:
        self._kubernetes = kubernetes
        self._settings = settings
        self._own = settings.operator_own_namespace
        self._watched = [name.strip() for name in settings.operator_namespaces.split(",") if name.strip()]
        self._selector = LabelSelector.read(settings.operator_selector)
        self._timeout = settings.operator_namespace_deletion_timeout
        self._end = 0.0
        """When all has to be done, by the event loop's clock."""

    async def begun(self) -> bool:
        """Whether the namespace is being deleted; no, while that can't be found out."""
        if not self._own:
            return False
        try:
            async with asyncio.timeout(_ASKING):
                while True:
                    try:
                        return await self._kubernetes.is_terminating(self._own)
                    except KubernetesUnavailable:
                        await asyncio.sleep(_GAP)
        except (OrderfleetError, TimeoutError) as error:
            _log.warning(
                "whether the operator's own namespace is being deleted can't be found out",
                namespace=self._own,
                error=str(error) or "no answer",
            )
            return False

    async def finish(self) -> None:
        """Delete this namespace's Orders, and wait until each has been reconciled: canceled, and without finalizer.

        The operator must still run. It waits for Orders of other namespaces that are already deleted too. Where
        Temporal runs in this namespace it may be gone already, and its workflows with it: then the operator waits no
        longer than it drains.
        """
        _log.info("the operator's own namespace is being deleted, letting its Orders go", namespace=self._own)
        bound = self._timeout.total_seconds() * _SHARE
        if self._loses_temporal():
            bound = min(bound, self._settings.drain_timeout.total_seconds())
        self._end = asyncio.get_running_loop().time() + (self._timeout + self._settings.drain_timeout).total_seconds()
        problem = ""
        with suppress(TimeoutError):
            async with asyncio.timeout(bound):
                left = True
                while left:
                    try:
                        left = await self._some_are_left()
                    except ObjectGone:
                        # The server doesn't know Orders any more.
                        return
                    except OrderfleetError as error:
                        if str(error) != problem:
                            _log.warning("Orders that are left can't be let go, trying again", error=str(error))
                        problem = str(error)
                    await asyncio.sleep(_GAP if left else 0)

    async def release(self) -> None:
        """Remove the finalizer from the Orders of other namespaces, which no operator watches from now on.

        Their workflows run on, as after an uninstall. The operator must have stopped, or it would add it again.
        """
        try:
            async with asyncio.timeout_at(self._end):
                released = await release_orders(self._kubernetes, self._watched, self._to_be_released)
                left = [f"{key.namespace}/{key.name}" async for key, order in self._orders() if _has_finalizer(order)]
        except ObjectGone:
            return
        except (OrderfleetError, TimeoutError) as error:
            _log.error("Orders keep their finalizer", error=str(error) or "no answer in time", remedy=_REMEDY)
            return
        _log.info("the finalizer was removed from Orders that have no operator now", orders=released)
        if left:
            _log.error("Orders keep their finalizer", orders=left[:_NAMED], count=len(left), remedy=_REMEDY)

    async def _some_are_left(self) -> bool:
        left, deletions = False, []
        async for key, order in self._orders():
            if "deletionTimestamp" in order["metadata"]:
                left = left or _has_finalizer(order)
            elif key.namespace == self._own:
                deletions.append(key)
        # The namespace controller would delete them too, but only once this pod is gone.
        batch = self._settings.operator_concurrency
        for start in range(0, len(deletions), batch):
            await asyncio.gather(*(self._delete(key) for key in deletions[start : start + batch]))
        return left or bool(deletions)

    async def _delete(self, key: Key) -> None:
        with suppress(ObjectGone):
            await self._kubernetes.delete(key)

    async def _orders(self) -> AsyncIterator[tuple[Key, dict[str, Any]]]:
        """The Orders of this operator that haven't ended."""
        for namespace in self._watched or [""]:
            mark = ""
            while True:
                page, mark = await self._kubernetes.page_of_orders(namespace, mark)
                for order in page:
                    labels = order["metadata"].get("labels", {})
                    if ENDED_LABEL not in labels and self._selector.matches(labels):
                        yield key_of(order), order
                if not mark:
                    break

    def _to_be_released(self, order: dict[str, Any]) -> bool:
        metadata = order["metadata"]
        # One that is deleted, or is about to be, waits for a cancel that is durable.
        awaits_cancel = metadata["namespace"] == self._own or "deletionTimestamp" in metadata
        return self._selector.matches(metadata.get("labels", {})) and (not awaits_cancel or self._loses_temporal())

    def _loses_temporal(self) -> bool:
        """Whether Temporal is a Service of this namespace, by its address."""
        host = (self._settings.temporal_address or "").rpartition(":")[0]
        name, *domain = host.split(".")
        return name not in {"", "localhost"} and domain[:2] in ([], [self._own], [self._own, "svc"])


def _has_finalizer(order: dict[str, Any]) -> bool:
    return FINALIZER in order["metadata"].get("finalizers", ())
