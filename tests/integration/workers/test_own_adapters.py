"""The package in deploy/docs/providers.md is built, installed in its own folder, and used by a worker process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from orderfleet.domain.status import OrderStatus, PaymentStatus, Step
from orderfleet.services.workflow_client import OrderClient
from support.documents import PROVIDERS, files
from support.factories import automatic_order
from support.role_processes import RoleProcesses


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the documented package is built and installed."""
    source, target = tmp_path_factory.mktemp("acme-fleet"), tmp_path_factory.mktemp("installed")
    for name, text in files(PROVIDERS).items():
        (source / name).write_text(text)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    apart = ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(target), str(source)]
    result = subprocess.run([*pip, *apart], capture_output=True, text=True, check=False, timeout=100)
    assert result.returncode == 0, result.stderr
    return target


@pytest.mark.slow
async def test_adapters_of_a_package_charge_and_ship(
    processes: RoleProcesses, temporal_client: Client, task_queues: Any, installed: Path
) -> None:
    worker = await processes.worker(
        "all", PYTHONPATH=str(installed), ORDERFLEET_PAYMENT_PROVIDER="acme", ORDERFLEET_CARRIER="acme"
    )
    await worker.answers("/readyz", 200)
    await OrderClient(temporal_client, task_queue=task_queues.orders).start(automatic_order("own-1", task_queues))
    handle = temporal_client.get_workflow_handle("order-own-1", result_type=OrderStatus)
    status = await handle.result()
    assert (status.step, status.payment.status) == (Step.SHIPPED, PaymentStatus.CHARGED)
    assert (status.shipments[0].carrier, status.shipments[0].tracking_number) == ("acme", "ACME-ship-own-1")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "variable", "message"),
    [
        (
            "orders",
            "ORDERFLEET_PAYMENT_PROVIDER",
            "no payment provider is called 'strip'; known: acme, http",
        ),
        ("shipping", "ORDERFLEET_CARRIER", "no carrier is called 'strip'; known: acme, http, simulated"),
    ],
)
def test_unknown_adapter_name_ends_the_worker_with_the_known_names(
    installed: Path, kind: str, variable: str, message: str
) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "orderfleet", "worker", kind],
        env={**os.environ, "PYTHONPATH": str(installed), variable: "strip"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
