"""All roles as processes with the same keys: they read each other's payloads, and Temporal has none in plain text."""

from __future__ import annotations

import asyncio
import base64
import os
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from temporalio.client import Client

from support.polling import eventually
from support.role_processes import RoleProcesses

MARK = "Zaphod"
BODY = {
    "customer": {"name": f"{MARK} One", "email": f"{MARK}@two.example"},
    "address": {"street": f"{MARK} Lane 3", "city": f"{MARK}ville", "state": "4", "zip": "Z5", "country": "GB"},
    "items": [{"sku": "widget", "qty": 2, "price": "9.99"}],
}


@pytest.fixture
def role_environment(role_environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "k1").write_bytes(base64.b64encode(os.urandom(32)))
    return {**role_environment, "ORDERFLEET_ENCRYPTION_KEYS_DIR": str(keys), "ORDERFLEET_ENCRYPTION_KEY_ID": "k1"}


@pytest.mark.slow
async def test_processes_with_the_same_keys_interoperate_and_temporal_has_no_plain_text(
    processes: RoleProcesses, role_environment: dict[str, str], temporal_client: Client, task_queues: Any
) -> None:
    order_id = f"encrypted-{task_queues.orders[-8:]}"
    worker, api = await processes.worker("all"), await processes.api()
    await worker.answers("/readyz", 200)
    await api.answers("/readyz", 200)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", timeout=60) as caller:
        created = await caller.post("/orders", json={"order_id": order_id, **BODY})
        assert created.status_code == 201, created.text

        async def live() -> Any:
            return (await caller.get(f"/orders/{order_id}/status")).json()

        waiting = await eventually(live, lambda status: status.get("step") == "manual_review", 60)
        assert waiting["address"] == BODY["address"]
        await caller.post(f"/orders/{order_id}/signals/cancel", json={"reason": f"{MARK} changed his mind"})
        ended = await eventually(live, lambda status: status.get("step") == "canceled", 60)
        assert MARK in ended["cancel_reason"]
    shown = await _command(role_environment, "order", "history", order_id, "-o", "json")
    assert "WorkflowExecutionCompleted" in shown

    handle = temporal_client.get_workflow_handle(f"order-{order_id}")
    parts = [event.SerializeToString() async for event in handle.fetch_history_events()]
    parts.append((await handle.describe()).raw_description.SerializeToString())
    assert not [part for part in parts if MARK.encode() in part]
    assert any(b"encryption-key-id" in part for part in parts)


async def _command(role_environment: dict[str, str], *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "orderfleet", *arguments),
        env={**os.environ, **role_environment},
        stdout=asyncio.subprocess.PIPE,
    )
    stdout, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    return stdout.decode()
