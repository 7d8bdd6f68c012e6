"""Workers outside a local stack: none starts before the settings choose a payment provider and a carrier."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from support.role_processes import RoleProcesses


@pytest.mark.parametrize(
    ("kind", "chosen", "missing"),
    [
        ("orders", {}, "ORDERFLEET_PAYMENT_PROVIDER"),
        ("shipping", {}, "ORDERFLEET_CARRIER"),
        ("all", {"ORDERFLEET_PAYMENT_PROVIDER": "simulated"}, "ORDERFLEET_CARRIER"),
    ],
)
def test_worker_without_adapter_setting_exits(kind: str, chosen: dict[str, str], missing: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "orderfleet", "worker", kind],
        env={**os.environ, **chosen},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 2
    assert f"orderfleet: {missing} isn't set: choose `http`" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
async def test_simulated_adapters_outside_a_local_stack_run_and_are_logged(processes: RoleProcesses) -> None:
    chosen = {"ORDERFLEET_PAYMENT_PROVIDER": "simulated", "ORDERFLEET_CARRIER": "simulated"}
    worker = await processes.worker("all", ORDERFLEET_ENVIRONMENT="production", **chosen)
    await worker.answers("/readyz", 200)
    log = worker.log.read_text()
    assert "ORDERFLEET_PAYMENT_PROVIDER is simulated: no money moves" in log
    assert "ORDERFLEET_CARRIER is simulated: no parcel moves" in log
