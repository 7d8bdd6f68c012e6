"""What a shell is offered where an order's id is to be typed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from orderfleet.store import Database, OrderRecord
from record_samples import order, receive

PROGRAM = str(Path(sys.executable).with_name("orderfleet"))


def offered(typed: str, environment: dict[str, str], shell: str = "bash") -> subprocess.CompletedProcess[str]:
    asked = {"_ORDERFLEET_COMPLETE": f"complete_{shell}", "COMP_WORDS": typed, "_TYPER_COMPLETE_ARGS": typed}
    asked["COMP_CWORD"] = str(len(typed.split(" ")) - 1)
    # One call of a loaded machine must not be what is tested.
    return subprocess.run(
        [PROGRAM], capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **environment, **asked}
    )


@pytest.fixture
async def orders(postgres_url):
    async with Database(postgres_url, pool_size=1, timeout=timedelta(seconds=30)) as database:
        for name in ("shop-1", "shop-2", "other-1"):
            await receive(OrderRecord(database), order(name))


@pytest.mark.parametrize("verb", ["status", "signal"])
async def test_order_ids_are_offered_newest_first(orders, environment, verb):
    # Postgres may once take longer than the second it is given.
    for _ in range(10):
        told = offered(f"orderfleet order {verb} shop", environment)
        assert (told.returncode, told.stderr) == (0, "")
        if told.stdout:
            break
    assert told.stdout.split() == ["shop-2", "shop-1"]


async def test_where_nobody_answers_nothing_is_said(environment):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        for url in (f"postgresql://orderfleet@{address}/x", "postgresql://orderfleet@127.0.0.1:1/x", "nonsense"):
            began = time.monotonic()
            told = offered("orderfleet order status shop", {**environment, "ORDERFLEET_DATABASE_URL": url})
            assert (told.returncode, told.stdout.strip(), told.stderr) == (0, "", "")
            assert time.monotonic() - began < 20
    wrong = offered("orderfleet order status shop", {**environment, "ORDERFLEET_API_PORT": "none"})
    assert (wrong.returncode, wrong.stdout.strip(), wrong.stderr) == (0, "", "")
