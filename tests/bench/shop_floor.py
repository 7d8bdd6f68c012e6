"""Orders on the benchmark's API server: posted and patched as a client does, and watched as they change.

It notes when each step of each Order was seen in its status. `declared` and `multitude` use it. What it does for
one Order must not grow with their number: it shares the machine with what is measured.
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

from orderfleet.domain.names import CRD_GROUP, CRD_PLURAL, CRD_VERSION, ENDED_LABEL
from orderfleet.operator.main import login

_PLACED = "bench-placed"
"""Label of Orders that were put there as the operator leaves them: nobody waits for them, so they aren't followed."""
_MERGE = {"Content-Type": "application/merge-patch+json"}
_RELEASED = "released"
_PATIENCE = 600
"""Seconds that one Order may take among thousands."""

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
        self._awaited: dict[tuple[str, str], asyncio.Event] = defaultdict(asyncio.Event)
        """By Order and step, or `_RELEASED`: set once it was seen."""

    async def post(self, name: str, review: str = "auto") -> float:
        """Declare an Order; return when the API server had accepted it."""
        await self._post({"name": name}, _spec(review))
        return time.time()

    async def place(self, name: str, status: Mapping[str, Any], review: str, **metadata: Any) -> str:
        """Put an Order there as the operator leaves one with this status; return its uid."""
        metadata["labels"] = {**metadata.get("labels", {}), _PLACED: "true"}
        made = await self._post({"name": name, **metadata}, _spec(review))
        await self._patch(f"{name}/status", {"status": status})
        return str(made["metadata"]["uid"])

    async def read(self, name: str) -> dict[str, Any]:
        """The Order as it is now."""
        async with self._session.get(f"{self._orders}/{name}") as answer:
            assert answer.status == 200, await answer.text()
            read: dict[str, Any] = await answer.json()
            return read

    async def approve(self, name: str) -> None:
        """Declare the Order approved: one patch of ours."""
        await self._patch(name, {"spec": {"approved": True}})

    async def patches(self) -> float:
        """Patches of Orders that the API server has answered, whoever sent them."""
        async with self._session.get(f"{self._server}/metrics") as answer:
            return sum(float(found["count"]) for found in _PATCHES.finditer(await answer.text()))

    async def until(self, name: str, step: str) -> float:
        """Wait until the step is in the status; return when it was seen."""
        await self._happens(name, step)
        return self.seen[name][step]

    async def until_released(self, name: str) -> None:
        """Wait until the operator has nothing left to do with the Order."""
        await self._happens(name, _RELEASED)

    async def follow(self) -> None:
        """Watch until canceled; `floor` runs it."""
        query = {"watch": "1", "allowWatchBookmarks": "false", "labelSelector": f"!{_PLACED}"}
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
        name, step = metadata["name"], order.get("status", {}).get("step")
        if step:
            self.seen[name].setdefault(step, now)
            self._awaited[name, step].set()
        if ENDED_LABEL in metadata.get("labels", {}) and not metadata.get("finalizers"):
            self._awaited[name, _RELEASED].set()

    async def _happens(self, name: str, what: str) -> None:
        async with asyncio.timeout(_PATIENCE):
            await self._awaited[name, what].wait()

    async def _post(self, metadata: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
        body = {"apiVersion": f"{CRD_GROUP}/{CRD_VERSION}", "kind": "Order", "metadata": metadata, "spec": spec}
        async with self._session.post(self._orders, json=body) as answer:
            assert answer.status == 201, await answer.text()
            made: dict[str, Any] = await answer.json()
            return made

    async def _patch(self, place: str, change: dict[str, Any]) -> None:
        async with self._session.patch(f"{self._orders}/{place}", json=change, headers=_MERGE) as answer:
            assert answer.status == 200, await answer.text()


def _spec(review: str) -> dict[str, Any]:
    return {
        "items": [{"sku": item.sku, "qty": item.qty, "price": str(item.price)} for item in ITEMS],
        "address": ADDRESS.model_dump(),
        "review": {"mode": review},
    }


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
