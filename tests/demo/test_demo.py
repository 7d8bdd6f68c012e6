"""`orderfleet demo` with real processes, on a stack that these tests share."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orderfleet_local.stack import paths, processes
from support.stack_folders import BIN, CHECKOUT, stack_environment

_WARM_SECONDS = 20
_SCENARIOS = ("happy", "cancel", "address", "review-timeout", "refund", "partial-refund", "flaky", "worker-crash")

pytestmark = [pytest.mark.timeout(240), pytest.mark.xdist_group("demo")]


@pytest.fixture(scope="module")
def shell() -> Iterator[dict[str, str]]:
    """Return the environment of a shell with a stack of its own."""
    with stack_environment() as environment:
        yield environment


def _run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "orderfleet"), *arguments]
    return subprocess.run(
        command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=200, check=False
    )


def _settings(environment: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return the settings of each process, except ports, which another stack may take between two starts."""
    running = processes.find(Path(environment[paths.STATE_VARIABLE]))
    roles = ("orders-worker", "shipping-worker", "operator", "api")
    started = {role: processes.leaders(running[role])[0].environ() for role in roles}
    return {
        role: {name: value for name, value in found.items() if re.fullmatch("ORDERFLEET_.*(?<!_PORT)", name)}
        for role, found in started.items()
    }


def test_demo_starts_the_stack_ships_an_order_and_can_be_repeated(shell):
    assert _run(shell, "stack", "down").returncode == 0
    first = _run(shell, "demo", "happy")
    assert first.returncode == 0, first.stdout + first.stderr
    second = _run(shell, "demo")
    assert second.returncode == 0, second.stdout + second.stderr

    assert "The stack keeps running; `make down` stops it." in first.stdout
    assert "The stack was running before and keeps running" in second.stdout
    assert _names(first.stdout).isdisjoint(_names(second.stdout))
    for output in (first.stdout, second.stdout):
        for expected in (
            "$ kubectl apply -f deploy/samples/order.yaml",
            '--type merge -p \'{"spec":{"approved":true}}\'',
            "manual_review  waits for approval",
            "charged 41.25 USD once and refunded nothing",
            "Audit trail of demo-happy-",
            "package_prepared",
            "Temporal Web UI",
            "export KUBECONFIG=",
            "/docs",
        ):
            assert expected in output
    took = re.search(r"The Order is shipped, ([\d.]+) s after the start", second.stdout)
    assert took
    assert float(took[1]) < _WARM_SECONDS

    status = json.loads(_run(shell, "stack", "status", "-o", "json").stdout)
    assert {part["state"] for part in status["parts"]} == {"running"}


@pytest.mark.slow
def test_demo_all_passes_and_restores_the_stack(shell):
    _run(shell, "stack", "up")
    before = _settings(shell)
    result = _run(shell, "demo", "all")
    output = result.stdout + result.stderr
    assert result.returncode == 0, output
    assert "Every scenario ended as expected" in result.stdout, output
    for scenario in _SCENARIOS:
        assert re.search(rf"^✓ +{scenario} +demo-{scenario}-", result.stdout, re.MULTILINE), output
    for expected in (
        "canceled       ordered twice",
        "nothing was charged",
        "1 parcel to 2 Side Street",
        "canceled       review timed out",
        "charged 80.00 USD once and refunded it once; payment status in Kubernetes: REFUNDED",
        "for the outcome of the charge whose response was lost",
        "failed attempts in the audit trail: charge",
    ):
        assert expected in result.stdout, output
    assert _settings(shell) == before
    assert _run(shell, "stack", "status").returncode == 0

    (order,) = re.findall(r"demo-refund-[0-9a-f]{6}$", result.stdout.replace(" ", "\n"), re.MULTILINE)[:1]
    sides = json.loads(_run(shell, "order", "describe", order, "-o", "json").stdout)
    assert sides["unknown"] == {}
    steps = (sides["database"]["status"]["step"], sides["status"]["step"], sides["kubernetes"]["status"]["step"])
    assert steps == ("failed", "failed", "failed")


@pytest.mark.slow
def test_demo_that_is_interrupted_restores_the_settings(shell):
    _run(shell, "stack", "up")
    before = _settings(shell)
    command = [str(BIN / "orderfleet"), "demo", "flaky"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    # A buffered pipe would deliver the lines only at the end.
    environment = {**shell, "PYTHONUNBUFFERED": "1"}
    # Tests that run in the background may ignore SIGINT, and programs inherit that.
    listening = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    with subprocess.Popen(command, cwd=CHECKOUT, env=environment, text=True, **pipes, **listening) as run:
        assert run.stdout is not None
        lines = [next(line for line in run.stdout if "waits for approval" in line)]
        assert _settings(shell) != before
        run.send_signal(signal.SIGINT)
        lines += list(run.stdout)
        assert run.wait() == 130, lines
    assert "with their original settings" in "".join(lines)
    assert _settings(shell) == before


def _names(text: str) -> set[str]:
    return set(re.findall(r"demo-happy-[0-9a-f]{6}", text))
