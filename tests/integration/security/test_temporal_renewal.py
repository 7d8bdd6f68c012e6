"""Certificates for Temporal are renewed while workers and clients run, without a restart."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from temporalio.client import Client

from orderfleet.domain import names
from orderfleet.domain.order import Item, OrderInput
from orderfleet.domain.status import Step
from orderfleet.orders import worker as orders_worker
from orderfleet.process import Stop
from orderfleet.services.workflow_client import OrderClient
from orderfleet.settings import Settings
from orderfleet.settings.processes import Environment
from orderfleet.shipping import worker as shipping_worker
from orderfleet.temporal.connection import connect, reload_credentials
from orderfleet_local.stack import certificates, ports
from orderfleet_local.stack.certificates import Certificates
from support.factories import ADDRESS, AUTO
from support.polling import eventually
from support.tls_proxy import tls_proxy

RELOADED = "certificates for Temporal reloaded"
KEPT = "credentials for Temporal can't be reloaded, the earlier ones stay in use"
ROLES = 3
"""Two workers and a client."""


@pytest.fixture
def presented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Certificates:
    """The certificates that the processes present and trust; at first a copy of `own_ca`."""
    folder = certificates.ensure(tmp_path / "own_ca").folder
    shutil.copytree(folder, tmp_path / "presented")
    for name, file in (("SERVER_CA_CERT", "ca.crt"), ("CLIENT_CERT", "admin.crt"), ("CLIENT_KEY", "admin.key")):
        monkeypatch.setenv(f"TEMPORAL_TLS_{name}_PATH", str(tmp_path / "presented" / file))
    monkeypatch.setattr("orderfleet.temporal.connection.CHECK_INTERVAL", 0.05)
    return Certificates(tmp_path / "presented")


@asynccontextmanager
async def roles(address: str, postgres_url: str, queues: Any, folder: Path) -> AsyncIterator[tuple[Client, Settings]]:
    """Run the workers as their processes do, and yield a client as the API has it."""
    settings = Settings(
        environment=Environment.LOCAL,
        temporal_address=address,
        database_url=postgres_url,
        orders_task_queue=queues.orders,
        shipping_task_queue=queues.shipping,
        simulated_ledger=folder / "ledger.db",
        health_host="127.0.0.1",
    )
    stop = Stop()
    async with AsyncExitStack() as stack:
        client: Client = await connect(settings, lazy=True)
        await stack.enter_async_context(reload_credentials(client, settings))
        running = [
            asyncio.ensure_future(run(settings.model_copy(update={"health_port": ports.choose(0)}), stop))
            for run in (orders_worker.run, shipping_worker.run)
        ]
        try:
            yield client, settings
        finally:
            stop.request("the test is over")
            await asyncio.wait_for(asyncio.gather(*running), 60)


async def ships(client: Client, settings: Settings, order_id: str) -> None:
    item = Item(sku="pen", qty=1, price="1.00")
    address = ADDRESS
    terms = {"items": (item,), "address": address, "review": AUTO}
    order = OrderInput(order_id=order_id, policy=settings.order_policy(), **terms)
    await OrderClient.of(client, settings).start(order)
    ended = await client.get_workflow_handle(names.order_workflow_id(order_id)).result()
    assert ended["step"] == Step.SHIPPED


def replace_file(file: Path, content: bytes) -> None:
    """Replace a file atomically, as the kubelet updates a Secret's file."""
    new = file.with_suffix(".new")
    new.write_bytes(content)
    new.replace(file)


async def test_authority_is_replaced_while_workers_and_clients_run(
    temporal_address: str, postgres_url: str, task_queues: Any, presented: Certificates, tmp_path: Path
) -> None:
    own_ca, other_ca = Certificates(tmp_path / "own_ca"), certificates.ensure(tmp_path / "other_ca")
    both = Certificates(tmp_path / "both")
    both.folder.mkdir()
    authorities = b"".join(each.file("ca.crt").read_bytes() for each in (own_ca, other_ca))
    both.file("ca.crt").write_bytes(authorities)
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(AsyncExitStack())
        address = await proxy.enter_async_context(tls_proxy(temporal_address, own_ca, client_certificates=both))
        using = await stack.enter_async_context(roles(address, postgres_url, task_queues, tmp_path))
        await ships(*using, f"{task_queues.orders}-before")

        with structlog.testing.capture_logs() as lines:

            async def count(event: str) -> int:
                return [line["event"] for line in lines].count(event)

            # A certificate without its key is not used.
            replace_file(presented.file("admin.crt"), other_ca.file("admin.crt").read_bytes())
            await eventually(lambda: count(KEPT), lambda found: found == ROLES, 60)
            await ships(*using, f"{task_queues.orders}-during")
            replace_file(presented.file("ca.crt"), authorities)
            replace_file(presented.file("admin.key"), other_ca.file("admin.key").read_bytes())
            await eventually(lambda: count(RELOADED), lambda found: found == ROLES, 60)

        # From here on neither side accepts the old authority.
        await proxy.aclose()
        port = int(address.rpartition(":")[2])
        await stack.enter_async_context(tls_proxy(temporal_address, other_ca, client_certificates=other_ca, port=port))
        await ships(*using, f"{task_queues.orders}-after")
