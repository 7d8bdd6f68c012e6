"""The product's processes run with the chart's rendered TLS variables, keys and real certificates."""

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

from charts.helm import TEST, environment, pod
from orderfleet_local.stack import certificates
from orderfleet_local.stack.certificates import Certificates
from support.tls_proxy import tls_proxy

MIGRATION = "shop-orderfleet-migration"
VALUES: dict[str, Any] = {
    "database": {"tls": {"secret": "postgres-tls", "clientCertificate": True}},
    "temporal": {"tls": {"enabled": True, "secret": "temporal-tls", "clientCertificate": True}},
    "encryption": {"keysSecret": "keys", "keyId": "k1"},
}


class PodFiles:
    """A folder in place of a pod's `/etc/orderfleet`, with the files of its Secrets."""

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

    async def run(self, spec: dict[str, Any], text: str, *arguments: str, **addresses: str) -> tuple[int, str]:
        """Run the product as in a rendered pod; its exit status and output.

        Args:
            spec: of the pod.
            text: its standard input.
            arguments: of the product.
            addresses: `url` is the content of the Secret of Postgres' address; others are variables.
        """
        (self._folder / "database" / "url").write_text(addresses.pop("url"))
        given = {name: value.replace("/etc/orderfleet", str(self._folder)) for name, value in environment(spec).items()}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "orderfleet", *arguments),
            env={**os.environ, **given, **addresses},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(120):
            output, _ = await process.communicate(text.encode())
        return process.returncode or 0, output.decode()


@pytest.fixture
def ours(tmp_path: Path) -> Certificates:
    return certificates.ensure(tmp_path / "ours")


@pytest.fixture
async def addresses(postgres_url: str, temporal_address: str, ours: Certificates) -> AsyncIterator[dict[str, str]]:
    """Addresses of Postgres and Temporal behind TLS with client certificates."""
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
    pod_files = PodFiles(tmp_path / "etc", ours, ours)
    assert await pod_files.run(pod(objects, MIGRATION), "", "migrate", "--check", **addresses) == (0, "up to date\n")
    queues = {"ORDERFLEET_ORDERS_TASK_QUEUE": task_queues.orders}
    order_id = task_queues.orders
    spec = pod(objects, TEST)
    order = next(each["value"] for each in spec["containers"][0]["env"] if each["name"] == "ORDER")
    code, output = await pod_files.run(spec, order, "order", "start", order_id, "-f", "-", **addresses, **queues)
    assert code == 0, output
    history = await temporal_client.get_workflow_handle(f"order-{order_id}").fetch_history()
    (given,) = history.events[0].workflow_execution_started_event_attributes.input.payloads
    assert given.metadata["encoding"] == b"binary/encrypted"
    assert b"Harbour Lane" not in given.data
    assert "Harbour Lane" in json.loads(order)["spec"]["address"]["street"]


@pytest.mark.slow
async def test_server_certificate_of_another_authority_is_rejected(helm, addresses, ours, tmp_path):
    theirs = certificates.ensure(tmp_path / "theirs")
    pod_files = PodFiles(tmp_path / "etc", ours, theirs)
    command = ("migrate", "--check", "--wait", "0s")
    code, output = await pod_files.run(pod(helm.template("orderfleet", VALUES), MIGRATION), "", *command, **addresses)
    assert code != 0
    assert "certificate verify failed" in output
