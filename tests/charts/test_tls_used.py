"""What the chart renders for TLS and keys, given to the product's own processes with real certificates."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from test_secrets import TEST, environment, pod

from orderfleet_local.stack import certificates
from orderfleet_local.stack.certificates import Certificates
from support.tls_proxy import tls_proxy

MIGRATION = "shop-orderfleet-migration"
VALUES: dict[str, Any] = {
    "database": {"tls": {"secret": "postgres-tls", "clientCertificate": True}},
    "temporal": {"tls": {"enabled": True, "secret": "temporal-tls", "clientCertificate": True}},
    "encryption": {"keysSecret": "keys", "keyId": "k1"},
}


class Place:
    """A folder that stands for a pod's `/etc/orderfleet`, with the Secrets that somebody made."""

    def __init__(self, folder: Path, own: Certificates, trusted: Certificates) -> None:
        self._folder = folder
        for name in ("postgres", "temporal"):
            secret = folder / name
            secret.mkdir(parents=True)
            shutil.copy(trusted.file("ca.crt"), secret / "ca.crt")
            shutil.copy(own.file("admin.crt"), secret / "tls.crt")
            shutil.copy(own.file("admin.key"), secret / "tls.key")
        (folder / "database").mkdir()
        (folder / "encryption").mkdir()
        (folder / "encryption" / "k1").write_bytes(base64.b64encode(secrets.token_bytes(32)))

    async def run(self, there: dict[str, Any], text: str, *arguments: str, **addresses: str) -> tuple[int, str]:
        """Run the product as a rendered pod would; return its exit status and all it said.

        Args:
            there: the pod.
            text: what the process reads.
            arguments: of the product.
            addresses: `url` is what the Secret of Postgres' address holds, the others are variables.
        """
        (self._folder / "database" / "url").write_text(addresses.pop("url"))
        given = {
            name: value.replace("/etc/orderfleet", str(self._folder)) for name, value in environment(there).items()
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "orderfleet", *arguments),
            env={**os.environ, **given, **addresses},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(120):
            said, _ = await process.communicate(text.encode())
        return process.returncode or 0, said.decode()


@pytest.fixture
def ours(tmp_path: Path) -> Certificates:
    return certificates.ensure(tmp_path / "ours")


@pytest.fixture
async def addresses(postgres_url: str, temporal_address: str, ours: Certificates) -> AsyncIterator[dict[str, str]]:
    """Postgres and Temporal behind TLS that asks for a client's certificate."""
    parts = urlsplit(postgres_url)
    async with AsyncExitStack() as stack:
        plain = f"{parts.hostname}:{parts.port}"
        database = await stack.enter_async_context(tls_proxy(plain, ours, client_certificates=ours, postgres=True))
        temporal = await stack.enter_async_context(tls_proxy(temporal_address, ours, client_certificates=ours))
        yield {
            "url": parts._replace(netloc=f"{parts.username}@{database}").geturl(),
            "ORDERFLEET_TEMPORAL_ADDRESS": temporal,
        }


async def test_pods_log_in_over_tls_and_encrypt(helm, addresses, ours, tmp_path, temporal_client, task_queues):
    objects = helm.template("orderfleet", VALUES)
    place = Place(tmp_path / "etc", ours, ours)
    assert await place.run(pod(objects, MIGRATION), "", "migrate", "--check", **addresses) == (0, "up to date\n")
    queues = {"ORDERFLEET_ORDERS_TASK_QUEUE": task_queues.orders}
    order_id = task_queues.orders
    there = pod(objects, TEST)
    order = next(each["value"] for each in there["containers"][0]["env"] if each["name"] == "ORDER")
    code, said = await place.run(there, order, "order", "start", order_id, "-f", "-", **addresses, **queues)
    assert code == 0, said
    history = await temporal_client.get_workflow_handle(f"order-{order_id}").fetch_history()
    (given,) = history.events[0].workflow_execution_started_event_attributes.input.payloads
    assert given.metadata["encoding"] == b"binary/encrypted"
    assert b"Harbour Lane" not in given.data
    assert "Harbour Lane" in json.loads(order)["spec"]["address"]["street"]


async def test_a_server_of_another_authority_is_not_told_anything(helm, addresses, ours, tmp_path):
    theirs = certificates.ensure(tmp_path / "theirs")
    place = Place(tmp_path / "etc", ours, theirs)
    command = ("migrate", "--check", "--wait", "0s")
    code, said = await place.run(pod(helm.template("orderfleet", VALUES), MIGRATION), "", *command, **addresses)
    assert code != 0
    assert "certificate verify failed" in said
