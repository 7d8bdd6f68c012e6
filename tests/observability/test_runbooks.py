"""Blocks of the runbooks work: commands with real parts, SQL on the real schema, PromQL in Prometheus."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from temporalio.client import Client

from orderfleet.domain.policy import OrderPolicy, StepPolicy
from orderfleet.services.workflow_client import OrderClient
from orderfleet_local.provision.resolver import provide
from orderfleet_local.stack import paths
from support.backing import Kubernetes
from support.documents import RUN, Block, blocks, commands
from support.factories import automatic_order
from support.polling import eventually
from support.role_processes import RoleProcesses

RUNBOOKS = sorted((paths.checkout() / "deploy" / "docs" / "runbooks").glob("*.md"))
KINDS = {RUN, "sh", "sql", "promql"}
NOT_RUN = {
    "helm rollback orderfleet": "tests/cluster/test_life_on_a_cluster.py runs it",
    "kubectl rollout undo deploy/orderfleet-api": "it needs a cluster with pods",
    "kubectl rollout restart deploy/orderfleet-operator": "it needs a cluster with pods",
    "orderfleet payments reconcile --from 24h": "tests/integration/workers/test_reconciliation.py runs it",
    "kubectl logs deploy/orderfleet-operator --since=10m": "it needs a cluster with pods",
    "kubectl logs deploy/orderfleet-orders-worker --since=10m": "it needs a cluster with pods",
    "orderfleet payments refund ORDER_ID --amount AMOUNT --reason 'again'": "it needs a refused refund",
}
"""Commands that this test does not run, with the reason."""


def found(kind: str) -> Iterator[tuple[Path, Block]]:
    for runbook in RUNBOOKS:
        # Blocks are indented below list items.
        text = re.sub(r"^  ", "", runbook.read_text(), flags=re.MULTILINE)
        yield from ((runbook, block) for block in blocks(text) if block.info == kind)


def test_every_command_is_run_or_listed_as_not_run():
    assert {command for _, block in found("sh") for command in commands(block)} == set(NOT_RUN)
    infos = {info for runbook in RUNBOOKS for info in re.findall(r"^ *```(\S.*)$", runbook.read_text(), re.MULTILINE)}
    assert infos == KINDS


async def test_sql_runs_read_only(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url, server_settings={"default_transaction_read_only": "on"})
    statements = [block.text for _, block in found("sql")]
    for text in statements:
        await connection.fetch(text.rstrip(";"))
    await connection.close()
    assert len(statements) > 5


async def test_promql_is_valid(scraping: Any) -> None:
    prometheus = scraping({})
    await eventually(lambda: asyncio.to_thread(prometheus.ready), bool, 60)
    for _, block in found("promql"):
        await asyncio.to_thread(prometheus.query, block.text)


@pytest.mark.timeout(240)
async def test_commands_work(
    role_environment: dict[str, str],
    temporal_client: Client,
    task_queues: Any,
    kubernetes: Kubernetes,
    tmp_path: Path,
) -> None:
    environment = {
        **role_environment,
        "ORDERFLEET_SIMULATED_LEDGER": str(tmp_path / "ledger.db"),
        "ORDERFLEET_STACK_DIR": str(tmp_path / "no-stack"),
    }
    client = OrderClient(temporal_client, task_queue=task_queues.orders)
    once = StepPolicy(attempt_timeout="5s", initial_interval="100ms", attempts=1)
    policy = OrderPolicy(shipping_task_queue=task_queues.shipping, dispatch_carrier=once, shipping_attempts=1)
    order_id = f"called-{task_queues.orders[-8:]}"
    async with AsyncExitStack() as stack:
        worker = await RoleProcesses(stack, environment, tmp_path).worker(
            "all", ORDERFLEET_FAULTS="dispatch_carrier:error=1"
        )
        await worker.answers("/readyz", 200)
        await client.start(automatic_order(order_id, task_queues, policy=policy))
        await eventually(lambda: client.status(order_id), lambda status: status.completed_at is not None, 60)
    tools = provide(["temporal", "kubectl"])
    programs = [Path(sys.executable).parent, *(tool.parent for tool in tools.values())]
    shell = {
        **os.environ,
        **environment,
        "PATH": os.pathsep.join([*map(str, programs), os.environ["PATH"]]),
        "KUBECONFIG": str(kubernetes.kubeconfig),
        "TEMPORAL_ADDRESS": role_environment["ORDERFLEET_TEMPORAL_ADDRESS"],
        "ORDER": order_id,
        "PAYMENT": f"pay-{order_id}",
        "QUEUE": task_queues.orders,
    }
    # Several runbooks have the same command.
    distinct = sorted({command for _, block in found(RUN) for command in commands(block)})
    for command in distinct:
        done = await asyncio.to_thread(_run, command, shell)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        if "$ORDER" in command or "list --step failed" in command:
            assert order_id in done.stdout, command


def _run(command: str, shell: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command], env=shell, capture_output=True, text=True, check=False, timeout=60
    )
