"""The operator with a real API server, Temporal and Postgres, and both workers."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import pytest

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
from support.polling import eventually
from support.tcp_proxy import TcpProxy, tcp_proxy
from support.workflow_env import WorkflowTestEnv, workflow_test_env


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


class OperatorTestEnv:
    """The Orders of a namespace, used with kubectl, and operators in this process."""

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

    def environment(self) -> dict[str, str]:
        """Environment variables of an operator process in this namespace."""
        return {
            "KUBECONFIG": str(self.cluster.kubeconfig),
            "DATABASE_URL": self.settings.database_url.get_secret_value(),
            "ORDERFLEET_TEMPORAL_ADDRESS": self.settings.temporal_address,
            "ORDERFLEET_ORDERS_TASK_QUEUE": self.settings.orders_task_queue,
            "ORDERFLEET_SHIPPING_TASK_QUEUE": self.settings.shipping_task_queue,
            "ORDERFLEET_OPERATOR_NAMESPACES": self.settings.operator_namespaces,
            "ORDERFLEET_HEALTH_HOST": "127.0.0.1",
        }

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
        self, name: str, holds: Callable[[dict[str, Any]], object], seconds: float = 60, interval: float = 0.05
    ) -> dict[str, Any]:
        """Read an Order until the condition holds."""
        order = await eventually(lambda: self.get(name), lambda found: found and holds(found), seconds, interval)
        assert order is not None
        return order

    async def until_gone(self, name: str, seconds: float = 60) -> None:
        await eventually(lambda: self.get(name), lambda found: found is None, seconds, 0.05)

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


@pytest.fixture
async def workers(temporal_client, postgres_url, task_queues) -> AsyncIterator[WorkflowTestEnv]:
    """Both workers, with a payment provider and a carrier that the test controls."""
    async with workflow_test_env(temporal_client, postgres_url, task_queues.orders, task_queues.shipping) as made:
        yield made


@pytest.fixture
async def operator_env(
    kubernetes, temporal_address, postgres_url, task_queues, monkeypatch
) -> AsyncIterator[OperatorTestEnv]:
    """A namespace for Orders, and operators that run in it."""
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
    made = OperatorTestEnv(kubernetes, temporal_address, postgres_url, task_queues)
    async with made:
        yield made


@pytest.fixture
async def api_server_proxy(
    operator_env: OperatorTestEnv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[TcpProxy]:
    """A proxy between operators and the API server; kubectl has its own connection."""
    config = json.loads(operator_env.cluster.kubeconfig.read_text())
    cluster = config["clusters"][0]["cluster"]
    async with tcp_proxy("127.0.0.1", urlsplit(cluster["server"]).port or 443) as proxy:
        cluster["server"] = f"https://127.0.0.1:{proxy.port}"
        kubeconfig = tmp_path / "kubeconfig-through-the-proxy"
        kubeconfig.write_text(json.dumps(config))
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        yield proxy
