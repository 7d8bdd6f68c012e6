"""`orderfleet demo happy` as a person runs it: a real process on a stack of its own."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
from stacks import BIN, CHECKOUT, stack_environment

_WARM_SECONDS = 20


def _run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "orderfleet"), *arguments]
    return subprocess.run(
        command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=100, check=False
    )


@pytest.mark.timeout(150)
def test_demo_brings_the_stack_up_ships_an_order_and_can_be_run_again():
    with stack_environment() as environment:
        first = _run(environment, "demo", "happy")
        assert first.returncode == 0, first.stdout + first.stderr
        second = _run(environment, "demo")
        assert second.returncode == 0, second.stdout + second.stderr

        assert "The stack stays up; `make down` stops it." in first.stdout
        assert "The stack was up before and stays so" in second.stdout
        assert _names(first.stdout).isdisjoint(_names(second.stdout))
        for told in (first.stdout, second.stdout):
            for expected in (
                "$ kubectl apply -f deploy/samples/order.yaml",
                '--type merge -p \'{"spec":{"approved":true}}\'',
                "manual_review  waits for approval",
                "Audit trail of demo-happy-",
                "package_prepared",
                "Temporal Web UI",
                "export KUBECONFIG=",
                "/docs",
            ):
                assert expected in told
        took = re.search(r"The Order says shipped, ([\d.]+) s after the start", second.stdout)
        assert took
        assert float(took[1]) < _WARM_SECONDS

        status = json.loads(_run(environment, "stack", "status", "-o", "json").stdout)
        assert {part["state"] for part in status["parts"]} == {"running"}
        assert _run(environment, "stack", "down").returncode == 0


def _names(text: str) -> set[str]:
    return set(re.findall(r"demo-happy-[0-9a-f]{6}", text))
