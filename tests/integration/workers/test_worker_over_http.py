"""Worker processes whose payment provider and carrier are HTTP services."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from orderfleet.domain.status import OrderStatus, Step
from orderfleet.services.workflow_client import OrderClient
from provider_server.process import ProviderServer, provider_server
from support.factories import automatic_order
from support.ledgers import Ledgers
from support.role_processes import RoleProcesses


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text("secret-1")
    return file


@pytest.fixture
def server(tmp_path: Path, token_file: Path) -> Iterator[ProviderServer]:
    with provider_server(tmp_path, "--token-file", str(token_file)) as made:
        yield made


@pytest.mark.slow
async def test_order_over_http_is_charged_and_shipped_once_after_retry_after(
    processes: RoleProcesses, temporal_client: Client, task_queues: Any, server: ProviderServer, token_file: Path
) -> None:
    worker = await processes.worker(
        "all",
        ORDERFLEET_PAYMENT_PROVIDER="http",
        ORDERFLEET_PAYMENT_URL=server.url,
        ORDERFLEET_PAYMENT_TOKEN_FILE=str(token_file),
        ORDERFLEET_CARRIER="http",
        ORDERFLEET_CARRIER_URL=f"{server.url}/",
        ORDERFLEET_CARRIER_TOKEN_FILE=str(token_file),
    )
    await worker.answers("/readyz", 200)
    client = OrderClient(temporal_client, task_queue=task_queues.orders)
    server.answers("/charges", 429, {"detail": "slow down"}, Retry_After="1")
    for number, token in enumerate(("secret-1", "secret-2")):
        token_file.write_text(token)  # noqa: ASYNC240 - a few bytes; the server accepts only the new one
        await client.start(automatic_order(f"h-{number}", task_queues))
        handle = temporal_client.get_workflow_handle(f"order-h-{number}", result_type=OrderStatus)
        assert (await handle.result()).step is Step.SHIPPED

    books = Ledgers(server.ledger)
    assert books.money() == Counter({("charge", "pay-h-0"): 1, ("charge", "pay-h-1"): 1})
    assert books.parcels() == Counter({"h-0": 1, "h-1": 1})
    first, second = (call["at"] for call in server.calls(payment_id="pay-h-0") if call["path"] == "/charges")
    assert second - first >= 1, "the policy alone waits 0.1 s"

    worker.process.send_signal(signal.SIGTERM)
    assert await worker.ends() == 0
    log = worker.log.read_text()
    assert "geheim" not in log
    assert "Unclosed" not in log
