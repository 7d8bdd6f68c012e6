"""Creates, patches and watches Orders on the benchmark's API server, and records when each status shows each step.

Its work per Order must not grow with their number, because it runs on the machine that is measured.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from bench.contenders import ITEMS
from orderfleet.domain.names import CRD_GROUP, CRD_PLURAL, CRD_VERSION, ENDED_LABEL
from orderfleet.operator.main import login
from support.factories import ADDRESS_JSON

_PREPARED = "bench-prepared"
"""Label of Orders created with a status. The benchmark does not wait for them, so the watch excludes them."""
_MERGE = {"Content-Type": "application/merge-patch+json"}
_RELEASED = "released"
_TIMEOUT = 600
"""Seconds for one Order among thousands."""

_PATCHES = re.compile(
    r'^apiserver_request_total\{[^}]*resource="orders"[^}]*verb="PATCH"[^}]*\} (?P<count>\S+)$', re.MULTILINE
)


class OrderResources:
    """Orders of one namespace."""

    def __init__(self, session: aiohttp.ClientSession, server: str, namespace: str) -> None:
        self._session = session
        self._server = server
        self._orders = f"{server}/apis/{CRD_GROUP}/{CRD_VERSION}/namespaces/{namespace}/{CRD_PLURAL}"
        self.seen: dict[str, dict[str, float]] = defaultdict(dict)
        """By Order and step: when the status first showed it, in seconds since 1970."""
        self._observed: dict[tuple[str, str], asyncio.Event] = defaultdict(asyncio.Event)
        """By Order and step, or `_RELEASED`: set once observed."""

    async def post(self, name: str, review: str = "auto") -> float:
        """Create an Order; the time at which the API server had accepted it."""
        await self._post({"name": name}, _spec(review))
        return time.time()

    async def create(self, name: str, status: Mapping[str, Any], review: str, **metadata: Any) -> str:
        """Create an Order with a status; its uid."""
        metadata["labels"] = {**metadata.get("labels", {}), _PREPARED: "true"}
        made = await self._post({"name": name, **metadata}, _spec(review))
        await self._patch(f"{name}/status", {"status": status})
        return str(made["metadata"]["uid"])

    async def read(self, name: str) -> dict[str, Any]:
        """The Order as it is now."""
        async with self._session.get(f"{self._orders}/{name}") as response:
            assert response.status == 200, await response.text()
            read: dict[str, Any] = await response.json()
            return read

    async def approve(self, name: str) -> None:
        """Approve the Order by one patch."""
        await self._patch(name, {"spec": {"approved": True}})

    async def patches(self) -> float:
        """Number of patches of Orders that the API server has answered, from all clients."""
        async with self._session.get(f"{self._server}/metrics") as response:
            return sum(float(found["count"]) for found in _PATCHES.finditer(await response.text()))

    async def until(self, name: str, step: str) -> float:
        """Wait until the status shows the step; when it did first."""
        await self._wait(name, step)
        return self.seen[name][step]

    async def until_released(self, name: str) -> None:
        """Wait until the operator has removed the finalizer of the ended Order."""
        await self._wait(name, _RELEASED)

    async def follow(self) -> None:
        """Watch until canceled."""
        query = {"watch": "1", "allowWatchBookmarks": "false", "labelSelector": f"!{_PREPARED}"}
        while True:  # An API server may end a watch at any time. The next watch begins with all Orders.
            async with self._session.get(self._orders, params=query) as stream:
                if stream.status != 200:  # The API server still prepares the watch of a new definition.
                    await asyncio.sleep(0.1)
                    continue
                async for line in stream.content:
                    change = json.loads(line)
                    if change["type"] != "ERROR":
                        self._observe(change["object"])

    def _observe(self, order: dict[str, Any]) -> None:
        metadata, now = order["metadata"], time.time()
        name, step = metadata["name"], order.get("status", {}).get("step")
        if step:
            self.seen[name].setdefault(step, now)
            self._observed[name, step].set()
        if ENDED_LABEL in metadata.get("labels", {}) and not metadata.get("finalizers"):
            self._observed[name, _RELEASED].set()

    async def _wait(self, name: str, what: str) -> None:
        async with asyncio.timeout(_TIMEOUT):
            await self._observed[name, what].wait()

    async def _post(self, metadata: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
        body = {"apiVersion": f"{CRD_GROUP}/{CRD_VERSION}", "kind": "Order", "metadata": metadata, "spec": spec}
        async with self._session.post(self._orders, json=body) as response:
            assert response.status == 201, await response.text()
            made: dict[str, Any] = await response.json()
            return made

    async def _patch(self, path: str, change: dict[str, Any]) -> None:
        async with self._session.patch(f"{self._orders}/{path}", json=change, headers=_MERGE) as response:
            assert response.status == 200, await response.text()


def _spec(review: str) -> dict[str, Any]:
    return {
        "items": [{"sku": item.sku, "qty": item.qty, "price": str(item.price)} for item in ITEMS],
        "address": ADDRESS_JSON,
        "review": {"mode": review},
    }


@asynccontextmanager
async def order_resources(namespace: str) -> AsyncIterator[OrderResources]:
    """Watch the Orders of a namespace, with the credentials that KUBECONFIG names."""
    info = login()
    connector = aiohttp.TCPConnector(ssl=info.as_ssl_context(), limit=60)
    timeout = aiohttp.ClientTimeout(total=None, sock_read=120)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=2**20) as session:
        resources = OrderResources(session, info.server.rstrip("/"), namespace)
        following = asyncio.create_task(resources.follow())
        try:
            yield resources
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
