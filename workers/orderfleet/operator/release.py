"""Lets go of every Order before an uninstall: without an operator its finalizer would hang for ever.

`orderfleet release` runs it, in the chart's pre-delete hook. It must never touch a workflow: an order
that runs goes on, and an operator that is installed again takes its Order up again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

from orderfleet.contracts.names import FINALIZER
from orderfleet.operator.kubernetes import Kubernetes, ObjectChanged, ObjectGone, Write
from orderfleet.operator.memory import key_of

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
