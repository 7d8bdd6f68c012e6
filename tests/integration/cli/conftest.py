"""`orderfleet order` with real Temporal, Postgres and workers behind it."""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from orderfleet.cli import main as entry
from orderfleet_local.stack import paths
from support.workflow_env import WorkflowTestEnv, workflow_test_env


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def order_id() -> str:
    """The Temporal server is shared by the session, and an order id is used once."""
    return f"cli-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def environment(monkeypatch, tmp_path, temporal_address, postgres_url, task_queues) -> dict[str, str]:
    """Set and return the variables of a shell."""
    variables = {
        paths.STATE_VARIABLE: str(tmp_path / "no-stack"),
        "ORDERFLEET_TEMPORAL_ADDRESS": temporal_address,
        "ORDERFLEET_DATABASE_URL": postgres_url,
        "ORDERFLEET_ORDERS_TASK_QUEUE": task_queues.orders,
        "ORDERFLEET_SHIPPING_TASK_QUEUE": task_queues.shipping,
        "ORDERFLEET_ENVIRONMENT": "local",
        "ORDERFLEET_SAMPLE_ORDERS": "true",
        "COLUMNS": "200",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


@pytest.fixture
def orderfleet(monkeypatch, capsys, environment) -> Callable[..., Awaitable[Result]]:
    """Run the command line in a thread, beside the workers of the test."""
    # `exit_process` would end the process of the tests.
    monkeypatch.setattr(entry, "exit_process", sys.exit)

    def run(arguments: tuple[str, ...]) -> Result:
        monkeypatch.setattr(sys, "argv", ["orderfleet", *arguments])
        with pytest.raises(SystemExit) as ended:
            entry.main()
        captured = capsys.readouterr()
        return Result(int(ended.value.code or 0), captured.out, captured.err)

    async def run_in_thread(*arguments: str) -> Result:
        # It has an event loop of its own.
        return await asyncio.to_thread(run, arguments)

    return run_in_thread


@pytest.fixture
def workers(temporal_client, postgres_url, task_queues) -> Callable[..., Any]:
    """Return a context that runs both workers."""
    return lambda **options: workflow_test_env(
        temporal_client, postgres_url, task_queues.orders, task_queues.shipping, **options
    )


@pytest.fixture
async def workflow_env(workers) -> AsyncIterator[WorkflowTestEnv]:
    async with workers() as workflow_env:
        yield workflow_env
