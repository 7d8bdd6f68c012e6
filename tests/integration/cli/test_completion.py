"""Shell completion of order ids."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from orderfleet.cli.order import session
from orderfleet.store.pool import Database
from orderfleet.store.writes import OrderWrites
from support.sample_rows import receive, sample_order

PROGRAM = str(Path(sys.executable).with_name("orderfleet"))


def completion_environment(typed: str) -> dict[str, str]:
    """Return the variables that a shell's completion sets."""
    return {"_ORDERFLEET_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split(" ")) - 1)}


@pytest.fixture
async def orders(postgres_url):
    async with Database(postgres_url, pool_size=1, timeout=timedelta(seconds=30)) as database:
        for name in ("shop-1", "shop-2", "other-1"):
            await receive(OrderWrites(database), sample_order(name))


@pytest.mark.parametrize("verb", ["status", "signal"])
async def test_completion_offers_order_ids_newest_first(orders, orderfleet, monkeypatch, verb):
    # A loaded machine may take longer than the timeout, which this test is not about.
    monkeypatch.setattr(session, "COMPLETION_TIMEOUT", timedelta(seconds=60))
    for name, value in completion_environment(f"orderfleet order {verb} shop").items():
        monkeypatch.setenv(name, value)
    result = await orderfleet()
    assert (result.code, result.out.split(), result.err) == (0, ["shop-2", "shop-1"], "")


@pytest.mark.slow
def test_completion_without_an_order_store_prints_nothing(environment):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        for wrong in (
            {"ORDERFLEET_DATABASE_URL": f"postgresql://orderfleet@{address}/x"},
            {"ORDERFLEET_DATABASE_URL": "postgresql://orderfleet@127.0.0.1:1/x"},
            {"ORDERFLEET_DATABASE_URL": "nonsense"},
            {"ORDERFLEET_API_PORT": "none"},
        ):
            result = subprocess.run(
                [PROGRAM],
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
                env={**os.environ, **environment, **wrong, **completion_environment("orderfleet order status shop")},
            )
            assert (result.returncode, result.stdout.strip(), result.stderr) == (0, "", ""), wrong
