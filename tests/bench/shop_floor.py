"""Orders on the benchmark's API server: posted and patched as a client does, and watched as they change.

It notes when each step of each Order was seen in its status. `declared` uses it.
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
from contenders import ADDRESS, ITEMS

from orderfleet.contracts.names import CRD_GROUP, CRD_PLURAL, CRD_VERSION, ENDED_LABEL
from orderfleet.operator.main import login

_PATCHES = re.compile(
    r'^apiserver_request_total\{[^}]*resource="orders"[^}]*verb="PATCH"[^}]*\} (?P<count>\S+)$', re.MULTILINE
)


class ShopFloor:
    """Orders of one namespace."""

    def __init__(self, session: aiohttp.ClientSession, server: str, namespace: str) -> None:
        self._session = session
        self._server = server
        self._orders = f"{server}/apis/{CRD_GROUP}/{CRD_VERSION}/namespaces/{namespace}/{CRD_PLURAL}"
        self.seen: dict[str, dict[str, float]] = defaultdict(dict)
        """By Order and step: the first time of its being in the status, in seconds since 1970."""
        self._released: set[str] = set()
        self._changed = asyncio.Event()

    async def post_finished(self, name: str) -> None:
        """Put an Order there as the operator leaves one that ended well."""
        await self.post(name, labels={ENDED_LABEL: "true"})
        status = {"step": "shipped", "ended": True, "observedGeneration": 1}
        headers = {"Content-Type": "application/merge-patch+json"}
        async with self._session.patch(
            f"{self._orders}/{name}/status", json={"status": status}, headers=headers
        ) as answer:
            assert answer.status == 200, await answer.text()

    async def post(self, name: str, review: str = "auto", labels: Mapping[str, str] | None = None) -> float:
        """Declare an Order; return when the API server had accepted it."""
        spec = {
            "items": [{"sku": item.sku, "qty": item.qty, "price": str(item.price)} for item in ITEMS],
            "address": ADDRESS.model_dump(),
            "review": {"mode": review},
        }
        metadata = {"name": name, "labels": dict(labels or {})}
        body = {"apiVersion": f"{CRD_GROUP}/{CRD_VERSION}", "kind": "Order", "metadata": metadata, "spec": spec}
        async with self._session.post(self._orders, json=body) as answer:
            accepted = time.time()
            assert answer.status == 201, await answer.text()
        return accepted

    async def approve(self, name: str) -> None:
        """Declare the Order approved: one patch of ours."""
        headers = {"Content-Type": "application/merge-patch+json"}
        url = f"{self._orders}/{name}"
        async with self._session.patch(url, json={"spec": {"approved": True}}, headers=headers) as answer:
            assert answer.status == 200, await answer.text()

    async def patches(self) -> float:
        """Patches of Orders that the API server has answered, whoever sent them."""
        async with self._session.get(f"{self._server}/metrics") as answer:
            return sum(float(found["count"]) for found in _PATCHES.finditer(await answer.text()))

    async def until(self, name: str, step: str) -> float:
        """Wait until the step is in the status; return when it was seen."""
        while step not in self.seen[name]:
            await self._next()
        return self.seen[name][step]

    async def until_released(self, name: str) -> None:
        """Wait until the operator has nothing left to do with the Order."""
        while name not in self._released:
            await self._next()

    async def follow(self) -> None:
        """Watch until canceled; `floor` runs it."""
        query = {"watch": "1", "allowWatchBookmarks": "false"}
        while True:  # an API server may end a watch at any time; the next one begins with all there is
            async with self._session.get(self._orders, params=query) as stream:
                if stream.status != 200:  # the API server still prepares what it watches of a new definition
                    await asyncio.sleep(0.1)
                    continue
                async for line in stream.content:
                    change = json.loads(line)
                    if change["type"] != "ERROR":
                        self._note(change["object"])

    def _note(self, order: dict[str, Any]) -> None:
        metadata, now = order["metadata"], time.time()
        step = order.get("status", {}).get("step")
        if step:
            self.seen[metadata["name"]].setdefault(step, now)
        if ENDED_LABEL in metadata.get("labels", {}) and not metadata.get("finalizers"):
            self._released.add(metadata["name"])
        self._changed.set()

    async def _next(self) -> None:
        self._changed.clear()
        async with asyncio.timeout(60):
            await self._changed.wait()


@asynccontextmanager
async def floor(namespace: str) -> AsyncIterator[ShopFloor]:
    """Watch a namespace, with the credentials that KUBECONFIG names."""
    info = login()
    connector = aiohttp.TCPConnector(ssl=info.as_ssl_context(), limit=60)
    timeout = aiohttp.ClientTimeout(total=None, sock_read=120)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=2**20) as session:
        made = ShopFloor(session, info.server.rstrip("/"), namespace)
        following = asyncio.create_task(made.follow())
        try:
            yield made
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
