"""What a shell is offered where an order's id is to be typed."""

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
from record_samples import order, receive

PROGRAM = str(Path(sys.executable).with_name("orderfleet"))


def asking(typed: str) -> dict[str, str]:
    """What a shell's completion sets."""
    return {"_ORDERFLEET_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split(" ")) - 1)}


@pytest.fixture
async def orders(postgres_url):
    async with Database(postgres_url, pool_size=1, timeout=timedelta(seconds=30)) as database:
        for name in ("shop-1", "shop-2", "other-1"):
            await receive(OrderWrites(database), order(name))


@pytest.mark.parametrize("verb", ["status", "signal"])
async def test_order_ids_are_offered_newest_first(orders, orderfleet, monkeypatch, verb):
    # How long the record may take is not what is tested.
    monkeypatch.setattr(session, "PATIENCE", timedelta(seconds=60))
    for name, value in asking(f"orderfleet order {verb} shop").items():
        monkeypatch.setenv(name, value)
    told = await orderfleet()
    assert (told.code, told.out.split(), told.err) == (0, ["shop-2", "shop-1"], "")


def test_where_nobody_answers_nothing_is_said(environment):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        for wrong in (
            {"ORDERFLEET_DATABASE_URL": f"postgresql://orderfleet@{address}/x"},
            {"ORDERFLEET_DATABASE_URL": "postgresql://orderfleet@127.0.0.1:1/x"},
            {"ORDERFLEET_DATABASE_URL": "nonsense"},
            {"ORDERFLEET_API_PORT": "none"},
        ):
            told = subprocess.run(
                [PROGRAM],
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
                env={**os.environ, **environment, **wrong, **asking("orderfleet order status shop")},
            )
            assert (told.returncode, told.stdout.strip(), told.stderr) == (0, "", ""), wrong
