"""`orderfleet payments reconcile` and `differences`, run against a worker process."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from orderfleet.providers.payments.simulated import SimulatedPayments
from orderfleet.store.pool import Database
from orderfleet.store.writes import OrderWrites
from support.role_processes import RoleProcesses
from support.sample_rows import payment, receive, sample_order


async def _payments(environment: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    return await _orderfleet(environment, "payments", *arguments)


async def _orderfleet(environment: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "orderfleet", *arguments),
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


async def test_repair_is_an_event_of_its_order(
    role_environment: dict[str, str],
    processes: RoleProcesses,
    ledger: Path,
    postgres_url: str,
    tmp_path: Path,
) -> None:
    settings = {"ORDERFLEET_RECONCILIATION_GRACE": "0s", "ORDERFLEET_RECONCILIATION_INTERVAL": "0s"}
    environment = {**role_environment, **settings, "ORDERFLEET_STACK_DIR": str(tmp_path / "no-stack")}
    worker = await processes.worker("orders", **settings)
    await worker.answers("/readyz", 200)
    async with Database(postgres_url, pool_size=1, timeout=timedelta(seconds=5)) as database:
        record = OrderWrites(database)
        await receive(record, sample_order("repaired"))
        await record.begin_payment(payment("repaired"))
    await SimulatedPayments(ledger=ledger).charge(payment("repaired"))
    code, out, _ = await _payments(environment, "reconcile")
    assert (code, out) == (0, "compared 1 payments: 1 differences, 1 repaired\n")
    code, out, _ = await _orderfleet(environment, "order", "events", "repaired")
    assert code == 0
    (row,) = [line for line in out.splitlines() if "captured" in line]
    assert "by=reconciliation  amount=31.30" in row


async def test_command_says_what_to_do_if_the_provider_does_not_list_its_payments(
    role_environment: dict[str, str], processes: RoleProcesses, tmp_path: Path
) -> None:
    async with without_list() as url:
        settings = {
            "ORDERFLEET_PAYMENT_PROVIDER": "http",
            "ORDERFLEET_PAYMENT_URL": url,
            "ORDERFLEET_RECONCILIATION_INTERVAL": "0s",
        }
        environment = {**role_environment, **settings, "ORDERFLEET_STACK_DIR": str(tmp_path / "no-stack")}
        worker = await processes.worker("orders", **settings)
        await worker.answers("/readyz", 200)
        code, out, error = await _payments(environment, "reconcile")
    assert (code, out) == (1, "")
    assert "does not list its payments" in error
    assert "add the list" in error
    assert "404" in error


@asynccontextmanager
async def without_list() -> AsyncIterator[str]:
    """A payment service that answers each call with 404."""
    runner = web.AppRunner(web.Application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_command_with_wrong_times_names_them(role_environment: dict[str, str]) -> None:
    code, _, error = await _payments(role_environment, "reconcile", "--from", "1h", "--to", "2h")
    assert code == 2
    assert "is not before --to" in error
