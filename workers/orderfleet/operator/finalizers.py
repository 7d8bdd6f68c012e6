"""Removes the operator's finalizer from Orders: before an uninstall, and when the operator's namespace is deleted.

`orderfleet remove-finalizers` runs it, in the chart's pre-delete hook. It must never touch a workflow: running
orders continue, and an operator that is installed later adopts them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, Final

import structlog

from orderfleet.domain.errors import OrderfleetError
from orderfleet.domain.label_selectors import LabelSelector
from orderfleet.domain.names import ENDED_LABEL, FINALIZER
from orderfleet.operator.cache import Key, key_of
from orderfleet.operator.kubernetes import Kubernetes, KubernetesUnavailable, ObjectConflict, ObjectNotFound, Write
from orderfleet.settings import Settings

_log = structlog.get_logger()

_POLL_INTERVAL: Final = 0.5
"""Seconds between two listings of the remaining Orders or pods."""
_OWN_ORDERS_SHARE: Final = 0.8
"""Share of the timeout for the Orders of the operator's own namespace; the rest is for other namespaces."""
_MAX_LOGGED_ORDERS: Final = 20
"""Number of Orders that a log line names."""
_READ_TIMEOUT: Final = 5.0
"""Seconds to wait for the state of the namespace."""
_REMEDY: Final = (
    "with a kubeconfig, and the addresses of Temporal and Postgres, run `orderfleet operator` until they are gone: it"
    " cancels what they started; `orderfleet remove-finalizers` removes the finalizer and cancels nothing"
)


async def stop_operators(kubernetes: Kubernetes, deployments: list[tuple[str, str]], selector: str) -> None:
    """Scale the operators to zero and wait until their pods are gone: they would add the finalizer again.

    Args:
        kubernetes: the API server.
        deployments: namespace and name of each operator's Deployment; missing ones are skipped.
        selector: label selector of the operators' pods.

    Raises:
        OrderfleetError: the API server does not respond, or rejects a request.
    """
    stopped = set()
    for namespace, name in deployments:
        with suppress(ObjectNotFound):
            await kubernetes.scale_to_zero(namespace, name)
            stopped.add(namespace)
    for namespace in stopped:
        while True:
            if not await kubernetes.list_pods(namespace, selector):
                break
            await asyncio.sleep(_POLL_INTERVAL)


async def remove_order_finalizers(
    kubernetes: Kubernetes, namespaces: list[str], selects: Callable[[dict[str, Any]], bool] = lambda _order: True
) -> int:
    """Remove the finalizer from Orders.

    Args:
        kubernetes: the API server.
        namespaces: of the Orders; empty is all namespaces.
        selects: whether the finalizer is removed from an Order; by default from each.

    Returns:
        The number of Orders that had the finalizer.

    Raises:
        OrderfleetError: the API server does not respond, or rejects a request.
    """
    count = 0
    for namespace in namespaces or [""]:
        # The patch of an Order that was changed since the listing fails, and the next listing has the Order again.
        while orders := [order for order in await _orders_with_finalizer(kubernetes, namespace) if selects(order)]:
            count += sum(await asyncio.gather(*(_remove_finalizer(kubernetes, order) for order in orders)))
    return count


async def _orders_with_finalizer(kubernetes: Kubernetes, namespace: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    # The server doesn't serve Orders, or the continue token expired.
    with suppress(ObjectNotFound):
        async for order in kubernetes.orders(namespace):
            if _has_finalizer(order):
                found.append(order)  # noqa: PERF401 - what is found before an error counts
    return found


async def _remove_finalizer(kubernetes: Kubernetes, order: dict[str, Any]) -> bool:
    metadata = order["metadata"]
    others = [name for name in metadata["finalizers"] if name != FINALIZER]
    patch = {"metadata": {"finalizers": others or None}}
    try:
        await kubernetes.patch(key_of(order), Write.REMOVE_FINALIZER, patch, metadata["resourceVersion"])
    except (ObjectConflict, ObjectNotFound):
        return False
    return True


class NamespaceDeletion:
    """The deletion of the operator's own namespace, which also ends the operator.

    Args:
        kubernetes: the API server.
        settings: the operator's own namespace, its namespaces and selector, and the deletion timeout.
    """

    def __init__(self, kubernetes: Kubernetes, settings: Settings) -> None:
        self._kubernetes = kubernetes
        self._settings = settings
        self._own_namespace = settings.operator_own_namespace
        self._watched = settings.watched_namespaces()
        self._selector = LabelSelector.read(settings.operator_selector)
        self._deadline = 0.0
        """Deadline of the whole deletion, by the event loop's clock."""

    async def in_progress(self) -> bool:
        """Whether the namespace is being deleted; false if the API server does not respond."""
        if not self._own_namespace:
            return False
        try:
            async with asyncio.timeout(_READ_TIMEOUT):
                while True:
                    try:
                        return await self._kubernetes.is_terminating(self._own_namespace)
                    except KubernetesUnavailable:
                        await asyncio.sleep(_POLL_INTERVAL)
        except (OrderfleetError, TimeoutError) as error:
            _log.warning(
                "could not read whether the operator's own namespace is being deleted",
                namespace=self._own_namespace,
                error=str(error) or "no response",
            )
            return False

    async def delete_orders(self) -> None:
        """Delete this namespace's Orders, and wait until each is reconciled: canceled, and without finalizer.

        The operator must still run. It also waits for deleted Orders of other namespaces. Where Temporal runs in this
        namespace, it may already be deleted, so the operator waits for the drain timeout at most.
        """
        _log.info("the operator's own namespace is being deleted, deleting its Orders", namespace=self._own_namespace)
        timeout = self._settings.operator_namespace_deletion_timeout.total_seconds() * _OWN_ORDERS_SHARE
        if self._deletes_temporal():
            timeout = min(timeout, self._settings.drain_timeout.total_seconds())
        whole = self._settings.operator_namespace_deletion_timeout + self._settings.drain_timeout
        self._deadline = asyncio.get_running_loop().time() + whole.total_seconds()
        problem = ""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                remaining = True
                while remaining:
                    try:
                        remaining = await self._orders_remain()
                    except ObjectNotFound:
                        # The server no longer serves Orders.
                        return
                    except OrderfleetError as error:
                        if str(error) != problem:
                            _log.warning("could not delete the remaining Orders, trying again", error=str(error))
                        problem = str(error)
                    await asyncio.sleep(_POLL_INTERVAL if remaining else 0)

    async def remove_finalizers(self) -> None:
        """Remove the finalizer from the Orders of other namespaces, which have no operator from now on.

        Their workflows continue, as after an uninstall. The operator must have stopped, or it would add the finalizer
        again.
        """
        try:
            async with asyncio.timeout_at(self._deadline):
                count = await remove_order_finalizers(self._kubernetes, self._watched, self._may_remove_finalizer)
                remaining = [
                    f"{key.namespace}/{key.name}" async for key, order in self._orders() if _has_finalizer(order)
                ]
        except ObjectNotFound:
            return
        except (OrderfleetError, TimeoutError) as error:
            _log.error("Orders keep their finalizer", error=str(error) or "no response in time", remedy=_REMEDY)
            return
        _log.info("removed the finalizer from Orders without an operator", orders=count)
        if remaining:
            _log.error(
                "Orders keep their finalizer",
                orders=remaining[:_MAX_LOGGED_ORDERS],
                count=len(remaining),
                remedy=_REMEDY,
            )

    async def _orders_remain(self) -> bool:
        remaining, deletions = False, []
        async for key, order in self._orders():
            if "deletionTimestamp" in order["metadata"]:
                remaining = remaining or _has_finalizer(order)
            elif key.namespace == self._own_namespace:
                deletions.append(key)
        # The namespace controller deletes them too, but only after this pod.
        batch = self._settings.operator_concurrency
        for start in range(0, len(deletions), batch):
            await asyncio.gather(*(self._delete(key) for key in deletions[start : start + batch]))
        return remaining or bool(deletions)

    async def _delete(self, key: Key) -> None:
        with suppress(ObjectNotFound):
            await self._kubernetes.delete(key)

    async def _orders(self) -> AsyncIterator[tuple[Key, dict[str, Any]]]:
        """Key and object of each Order of this operator that has not ended."""
        for namespace in self._watched or [""]:
            async for order in self._kubernetes.orders(namespace):
                labels = order["metadata"].get("labels", {})
                if ENDED_LABEL not in labels and self._selector.matches(labels):
                    yield key_of(order), order

    def _may_remove_finalizer(self, order: dict[str, Any]) -> bool:
        metadata = order["metadata"]
        # The finalizer of a deleted Order stays until its cancel is durable in Temporal.
        awaits_cancel = metadata["namespace"] == self._own_namespace or "deletionTimestamp" in metadata
        return self._selector.matches(metadata.get("labels", {})) and (not awaits_cancel or self._deletes_temporal())

    def _deletes_temporal(self) -> bool:
        """Whether Temporal's address is a Service of this namespace."""
        host = (self._settings.temporal_address or "").rpartition(":")[0]
        name, *domain = host.split(".")
        return name not in {"", "localhost"} and domain[:2] in ([], [self._own_namespace], [self._own_namespace, "svc"])


def _has_finalizer(order: dict[str, Any]) -> bool:
    return FINALIZER in order["metadata"].get("finalizers", ())
