"""`orderfleet order` with real Temporal, Postgres and workers behind it."""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "workflows"))

from fleet import Fleet, fleet

from orderfleet.cli import main as entry
from orderfleet_local.stack import paths


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
    """What a shell would have set."""
    given = {
        paths.STATE_VARIABLE: str(tmp_path / "no-stack"),
        "ORDERFLEET_TEMPORAL_ADDRESS": temporal_address,
        "ORDERFLEET_DATABASE_URL": postgres_url,
        "ORDERFLEET_ORDERS_TASK_QUEUE": task_queues.orders,
        "ORDERFLEET_SHIPPING_TASK_QUEUE": task_queues.shipping,
        "ORDERFLEET_ENVIRONMENT": "local",
        "ORDERFLEET_SAMPLE_ORDERS": "true",
        "COLUMNS": "200",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return given


@pytest.fixture
def orderfleet(monkeypatch, capsys, environment) -> Callable[..., Awaitable[Result]]:
    """Run the command line as its program does, beside the workers of the test."""
    # The process of the tests must not end as the program's does.
    monkeypatch.setattr(entry, "exit_process", sys.exit)

    def run(arguments: tuple[str, ...]) -> Result:
        monkeypatch.setattr(sys, "argv", ["orderfleet", *arguments])
        with pytest.raises(SystemExit) as ended:
            entry.main()
        told = capsys.readouterr()
        return Result(int(ended.value.code or 0), told.out, told.err)

    async def aside(*arguments: str) -> Result:
        # It has an event loop of its own.
        return await asyncio.to_thread(run, arguments)

    return aside


@pytest.fixture
def workers(temporal_client, postgres_url, task_queues) -> Callable[..., Any]:
    """Both workers, for as long as the context is open."""
    return lambda **given: fleet(temporal_client, postgres_url, task_queues.orders, task_queues.shipping, **given)


@pytest.fixture
async def running(workers) -> AsyncIterator[Fleet]:
    async with workers() as made:
        yield made
