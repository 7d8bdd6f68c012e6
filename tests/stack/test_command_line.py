"""`orderfleet stack` with the whole product."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from orderfleet_local.stack import processes
from orderfleet_local.stack.launch import answers
from support.polling import eventually_sync


@pytest.fixture
def orderfleet(folder):
    def run(*arguments: str, status: int = 0) -> str:
        result = subprocess.run(
            [sys.executable, "-m", "orderfleet", "stack", *arguments],
            check=False,
            capture_output=True,
            text=True,
            timeout=100,
            env={**os.environ, "ORDERFLEET_STACK_DIR": str(folder)},
        )
        assert result.returncode == status, result.stdout + result.stderr
        return result.stdout + result.stderr

    return run


@pytest.mark.slow
def test_stack_commands_from_up_to_down(orderfleet, folder: Path):
    assert "/docs" in orderfleet("up")
    assert "runs already" in orderfleet("up", status=6)

    document = json.loads(orderfleet("status", "-o", "json"))
    parts = {part["name"]: part for part in document["parts"]}
    assert {"operator", "orders-worker", "shipping-worker", "api"} < set(parts)
    assert {part["state"] for part in parts.values()} == {"running"}
    for page in document["links"]["metrics"].values():
        assert answers(page), page

    os.kill(parts["orders-worker"]["pid"], signal.SIGKILL)
    eventually_sync(lambda: "orders-worker" not in processes.find(folder))
    assert "stopped" in orderfleet("status", status=5)
    orderfleet("up")

    assert "shipping-worker: ready" in orderfleet("restart", "shipping-worker")
    assert orderfleet("logs", "shipping-worker", "--lines", "5")
    assert "there is no log of nonsense; there are api," in orderfleet("logs", "nonsense", status=3)
    assert yaml.safe_load(orderfleet("status", "-o", "yaml"))["links"] == document["links"]

    ended = orderfleet("down")
    assert "killed" not in ended
    assert processes.find(folder) == {}
    assert "nothing was running" in orderfleet("down")


@pytest.mark.slow
def test_stack_commands_without_a_stack_say_what_to_do(orderfleet):
    assert "`orderfleet stack up` starts it" in orderfleet("status", status=5)
    assert "`orderfleet stack up` starts it" in orderfleet("logs", "api", status=5)
    assert "`orderfleet stack up` starts it" in orderfleet("restart", "api", status=5)
    assert "there is no nonsense; there are api," in orderfleet("restart", "nonsense", status=3)
    assert "nothing was running" in orderfleet("down")
