"""The fleets that the benchmark compares: the empty fleet and Orderfleet, each with an order and a shipping worker.

Both run as real processes against the same Temporal server. A contender runs single orders and names its processes
and metrics; it measures nothing.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil
from temporalio.client import Client, WorkflowHandle

from orderfleet.domain import names
from orderfleet.domain.order import Item, OrderInput
from orderfleet.domain.status import OrderStatus, Step
from orderfleet.services.errors import TemporalUnavailable
from orderfleet.services.workflow_client import OrderClient
from orderfleet.settings import Settings
from orderfleet_local.stack.launch import Part, Ports, Running, launch
from orderfleet_local.stack.processes import Command
from orderfleet_local.stack.roles import HEALTH_PORT, ROLES
from support.factories import AUTO, order_input

ITEMS = (Item(sku="widget", qty=2, price="9.99"), Item(sku="gadget", qty=1, price="5.00"))


class Contender(Protocol):
    """A fleet under test."""

    name: str
    workers: list[psutil.Process]
    metrics: list[str]
    """URLs of its workers' Prometheus metrics."""

    async def order(self, order_id: str) -> None:
        """Start one order and wait for its end.

        Raises:
            Exception: the order did not end as shipped.
        """

    def workflows(self, order_id: str) -> list[str]:
        """Ids of the workflows of one order."""


@dataclass
class EmptyFleet:
    """The baseline of all ratios."""

    client: Client
    workers: list[psutil.Process]
    name: str = "empty fleet"
    metrics: Any = ()

    async def order(self, order_id: str) -> None:
        from bench.empty_fleet import ORDERS  # noqa: PLC0415 - a script in this folder

        await self.client.execute_workflow("EmptyOrder", order_id, id=f"empty-{order_id}", task_queue=ORDERS)

    def workflows(self, order_id: str) -> list[str]:
        return [f"empty-{order_id}", f"empty-shipping-{order_id}"]


@dataclass
class Orderfleet:
    """The full product."""

    client: Client
    settings: Settings
    workers: list[psutil.Process]
    metrics: list[str]
    name: str = "Orderfleet"

    def __post_init__(self) -> None:
        self._orders = OrderClient.of(self.client, self.settings)

    def input(self, order_id: str) -> OrderInput:
        """An order as the operator starts it, approved by its review mode."""
        return order_input(
            order_id,
            items=ITEMS,
            review=AUTO,
            owner=f"shop/{order_id}",
            owner_uid=str(uuid.uuid5(uuid.NAMESPACE_OID, order_id)),
            content_hash="0" * 64,
            generation=1,
            policy=self.settings.order_policy(),
        )

    async def order(self, order_id: str) -> None:
        await self.start(self.input(order_id))
        handle: WorkflowHandle[Any, OrderStatus] = self.client.get_workflow_handle(
            names.order_workflow_id(order_id), result_type=OrderStatus
        )
        status = await handle.result()
        assert status.step is Step.SHIPPED, f"{order_id} ended {status.step}"

    async def start(self, order: OrderInput) -> None:
        """Start an order; retry while Temporal is unavailable."""
        while True:
            try:
                await self._orders.start(order)
            except TemporalUnavailable:
                continue  # A thousand starts at once exceed the timeout of a call. A start is idempotent.
            return

    def workflows(self, order_id: str) -> list[str]:
        return [names.order_workflow_id(order_id), names.shipment_id(order_id, 1)]


def start_empty_fleet(folder: Path, address: str, client: Client) -> EmptyFleet:
    """Start the empty fleet's two processes in the stack of `folder`."""
    script = Path(__file__).with_name("empty_fleet.py")
    workers = [
        launch(_script(f"empty-{kind}", folder, (str(script), kind, address)), folder).process
        for kind in ("orders", "shipping")
    ]
    return EmptyFleet(client, workers)


def start_sink(folder: Path) -> str:
    """Start the receiver of traces; its endpoint."""
    script = str(Path(__file__).with_name("span_sink.py"))
    part = _script("span-sink", folder, (script,), port="listen")
    return f"127.0.0.1:{launch(part, folder).ports['listen']}"


def start_orderfleet(
    folder: Path,
    client: Client,
    environment: dict[str, str],
    *,
    name: str = "Orderfleet",
    order_workers: int = 1,
    for_orders: Mapping[str, str] | None = None,
) -> Orderfleet:
    """Start Orderfleet's workers as the local stack does.

    Args:
        folder: of the stack.
        client: starts the orders.
        environment: settings of all workers.
        name: of the fleet.
        order_workers: number of order workers; there is one shipping worker.
        for_orders: settings of the order workers alone.
    """
    workers: list[psutil.Process] = []
    metrics: list[str] = []
    kinds = ["orders-worker"] * order_workers + ["shipping-worker"]
    for number, kind in enumerate(kinds, start=1):
        own = {**environment, **(for_orders or {})} if kind == "orders-worker" else environment
        running = start_role(folder, kind, own, f"{kind}-{number}-{name.replace(' ', '-')}")
        workers.append(running.process)
        metrics.append(f"http://127.0.0.1:{running.ports[HEALTH_PORT]}/metrics")
    return Orderfleet(client, settings_of(environment), workers, metrics, name)


def start_role(folder: Path, kind: str, environment: dict[str, str], name: str) -> Running:
    """Start one process of the product in the stack of `folder`."""
    role = next(role for role in ROLES if role.name == kind)
    return launch(_named(role.part(folder, environment, dict.fromkeys(role.ports, 0)), name), folder)


def settings_of(environment: dict[str, str]) -> Settings:
    """The settings of a process with these variables."""
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        return Settings()
    finally:
        os.environ.clear()
        os.environ.update(before)


def _named(part: Part, name: str) -> Part:
    return Part(name=name, ports=part.ports, command=part.command, ready=part.ready, timeout=120.0)


def _script(name: str, folder: Path, arguments: tuple[str, ...], port: str | None = None) -> Part:
    log = folder / "logs" / f"{name}.log"

    def command(given: Ports) -> Command:
        return Command((sys.executable, *arguments, *(str(number) for number in given.values())), folder)

    def ready(_: Ports) -> bool:
        return log.exists() and any(line in log.read_text() for line in ("polling", "listening"))

    return Part(name=name, ports={} if port is None else {port: 0}, command=command, ready=ready, timeout=120.0)
