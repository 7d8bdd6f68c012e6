"""The Orders of a test, used with kubectl, and operators in this process."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from orderfleet.operator.cache import Key
from orderfleet.operator.controller import Operator
from orderfleet.operator.kubernetes import Kubernetes, Write
from orderfleet.operator.main import login
from orderfleet.process import Stop
from orderfleet.services.workflow_client import OrderClient
from orderfleet.settings import Settings
from orderfleet.store.feed import PostgresChangeFeed
from orderfleet.store.pool import connect
from orderfleet.store.reads import OrderReads
from orderfleet.temporal.connection import connect as connect_temporal
from support.backing import Kubernetes as Cluster

ADDRESS = {"street": "1 Main St", "city": "Springfield", "state": "IL", "zip": "62701", "country": "US"}
ELSEWHERE = {"street": "2 Side St", "city": "Shelbyville", "state": "IL", "zip": "62565", "country": "US"}


def manifest(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "orderfleet.dev/v1alpha1",
        "kind": "Order",
        "metadata": {"name": name},
        "spec": {"items": [{"sku": "widget", "qty": 2, "price": "9.99"}], "address": ADDRESS, **spec},
    }


def condition(order: dict[str, Any], kind: str) -> tuple[str, str] | None:
    """Status and reason of a condition."""
    for each in order.get("status", {}).get("conditions", ()):
        if each["type"] == kind:
            return each["status"], each["reason"]
    return None


def step(order: dict[str, Any]) -> str | None:
    return order.get("status", {}).get("step")


def ended(order: dict[str, Any]) -> bool:
    """Whether the Order has ended and the operator is done with it."""
    metadata = order["metadata"]
    return "orderfleet.dev/ended" in metadata.get("labels", {}) and not metadata.get("finalizers")


async def eventually(holds: Callable[[], Any], seconds: float = 60) -> None:
    """Wait until a condition holds in this process."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - the condition has no event
            await asyncio.sleep(0.005)


class Shop:
    """The Orders of a namespace."""

    def __init__(self, cluster: Cluster, temporal_address: str, database_url: str, queues: Any) -> None:
        self.cluster = cluster
        self.settings = Settings(
            database_url=database_url,
            temporal_address=temporal_address,
            orders_task_queue=queues.orders,
            shipping_task_queue=queues.shipping,
            operator_namespaces=cluster.namespace,
            drain_timeout=timedelta(seconds=2),
        )
        self.writes: Counter[tuple[Key, Write]] = Counter()
        self._open = AsyncExitStack()
        self._running: list[asyncio.Task[None]] = []

    def name(self, what: str = "order") -> str:
        """A name, and so an order id, that no other test uses."""
        return f"{what}-{uuid.uuid4().hex[:10]}"

    async def kubectl(self, *arguments: str, **options: Any) -> str:
        return await asyncio.to_thread(self.cluster.kubectl, *arguments, **options)

    async def rejected(self, *arguments: str, **options: Any) -> str:
        return await asyncio.to_thread(self.cluster.kubectl_fails, *arguments, **options)

    async def apply(self, *manifests: dict[str, Any]) -> None:
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
        await self.kubectl("apply", "-f", "-", input=text)

    async def patch(self, name: str, **spec: Any) -> None:
        await self.kubectl("patch", "ofo", name, "--type=merge", "-p", json.dumps({"spec": spec}))

    async def delete(self, name: str) -> None:
        await self.kubectl("delete", "ofo", name, "--wait=false")

    async def get(self, name: str) -> dict[str, Any] | None:
        text = await self.kubectl("get", "ofo", name, "--ignore-not-found", "-o", "json")
        return json.loads(text) if text else None

    async def events(self, name: str) -> list[dict[str, Any]]:
        """Events of an Order, oldest first."""
        text = await self.kubectl("get", "events", "-o", "json")
        own = [event for event in json.loads(text)["items"] if event["involvedObject"]["name"] == name]
        return sorted(own, key=lambda event: event["metadata"]["name"])

    async def reasons(self, name: str) -> list[str]:
        return [event["reason"] for event in await self.events(name)]

    async def until(
        self, name: str, holds: Callable[[dict[str, Any]], bool], seconds: float = 60, gap: float = 0.05
    ) -> dict[str, Any]:
        """Read an Order until the condition holds."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while True:
            order = await self.get(name)
            if order is not None and holds(order):
                return order
            assert loop.time() < end, f"still {json.dumps(order and order.get('status'), indent=1)}"
            await asyncio.sleep(gap)

    async def until_gone(self, name: str, seconds: float = 60) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while (order := await self.get(name)) is not None:
            assert loop.time() < end, f"still there {json.dumps(order, indent=1)}"
            await asyncio.sleep(0.05)

    def patches(self, name: str) -> dict[str, int]:
        """Number of patches of each kind that operators of this test made to an Order."""
        return {write: count for (key, write), count in self.writes.items() if key.name == name}

    @asynccontextmanager
    async def operator(self, **changes: Any) -> AsyncIterator[Operator]:
        """Run an operator, and stop it as SIGTERM does."""
        settings = self.settings.model_copy(update=changes)
        stop = Stop()
        async with (
            connect(settings, "operator") as database,
            Kubernetes(login, connections=20, on_write=self._wrote) as kubernetes,
        ):
            temporal = await connect_temporal(settings, lazy=True)
            made = Operator(
                settings,
                OrderClient(temporal, task_queue=settings.orders_task_queue),
                OrderReads(database),
                PostgresChangeFeed(database),
                kubernetes,
            )
            running = asyncio.create_task(made.run(stop))
            try:
                yield made
            finally:
                stop.request("the test is over")
                await asyncio.wait_for(running, 60)

    def _wrote(self, key: Key, write: Write) -> None:
        self.writes[key, write] += 1

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()
