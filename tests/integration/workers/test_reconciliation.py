"""`orderfleet payments reconcile` and `differences`, run against a worker process."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from orderfleet.providers.payments.simulated import SimulatedPayments
from support.role_processes import RoleProcesses
from support.sample_rows import payment


async def _payments(environment: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "orderfleet", "payments", *arguments),
        env={**os.environ, **environment, "COLUMNS": "400"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await asyncio.wait_for(process.communicate(), 90)
    return process.returncode or 0, out.decode(), error.decode()


async def test_command_lists_what_is_left_for_a_person_and_its_status_is_1_until_it_is_gone(
    role_environment: dict[str, str], processes: RoleProcesses, ledger: Path, tmp_path: Path
) -> None:
    settings = {"ORDERFLEET_RECONCILIATION_GRACE": "0s", "ORDERFLEET_RECONCILIATION_INTERVAL": "0s"}
    environment = {**role_environment, **settings, "ORDERFLEET_STACK_DIR": str(tmp_path / "no-stack")}
    worker = await processes.worker("orders", **settings)
    await worker.answers("/readyz", 200)
    code, out, error = await _payments(environment, "reconcile", "--from", "24h")
    assert (code, out, error) == (0, "compared 0 payments: 0 differences\n", "")
    code, out, _ = await _payments(environment, "differences")
    assert (code, out) == (0, "there are no differences\n")

    provider = SimulatedPayments(ledger=ledger)
    await provider.charge(payment("unknown"))
    code, out, _ = await _payments(environment, "reconcile", "--dry-run")
    assert code == 1
    assert "compared 1 payments: 1 differences, 0 repaired" in out
    (row,) = [line for line in out.splitlines() if "pay-unknown" in line]
    assert "payment_not_in_ledger" in row
    assert "31.30 USD" in row
    code, out, _ = await _payments(environment, "differences", "-o", "json")
    ((found),) = json.loads(out)["differences"]
    assert (found["kind"], found["safe"], found["provider_amount"]) == ("payment_not_in_ledger", False, 3130)
    assert found["remedy"].startswith("Find the order")

    await provider.void(payment("unknown"))
    code, out, _ = await _payments(environment, "reconcile", "-o", "json")
    document: dict[str, Any] = json.loads(out)
    assert (code, document["differences"]) == (0, [])
    code, out, _ = await _payments(environment, "differences", "--all")
    assert "resolved" in out


async def test_command_with_wrong_times_names_them(role_environment: dict[str, str]) -> None:
    code, _, error = await _payments(role_environment, "reconcile", "--from", "1h", "--to", "2h")
    assert code == 2
    assert "is not before --to" in error
