"""The package in deploy/samples/adapter is built, installed, checked, and used by worker processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from orderfleet.domain.status import OrderStatus, PaymentStatus, Step
from orderfleet.providers.conformance.suite import CASES
from orderfleet.services.workflow_client import OrderClient
from orderfleet_local.stack import paths
from support.documents import PROVIDERS, files
from support.factories import automatic_order
from support.role_processes import RoleProcesses

SKIPPED = {"prepared-charge", "limits", "capture-after-lapse", "void-of-pending", "pending"}
"""Cases of what the sample's bank does not have."""

SAMPLE = paths.checkout() / "deploy" / "samples" / "adapter"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the sample package is installed from its wheel."""
    source, target = tmp_path_factory.mktemp("acme") / "source", tmp_path_factory.mktemp("installed")
    shutil.copytree(SAMPLE, source, ignore=shutil.ignore_patterns("__pycache__"))
    run("-m", "hatchling", "build", "-t", "wheel", "-d", str(source / "dist"), cwd=source)
    (wheel,) = (source / "dist").glob("*.whl")
    pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run(*pip, "--no-index", "--no-deps", "--target", str(target), str(wheel), cwd=source)
    return target


def run(*arguments: str, cwd: Path, **environment: str) -> str:
    """Run a program of this Python; return what it printed."""
    result = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_installed_package_passes_the_conformance_suite(installed: Path, tmp_path: Path) -> None:
    arguments = ("--adapter", "acme", "--declined-method", "declined", "-o", "json")
    output = run("-m", "orderfleet", "conformance", "payments", *arguments, cwd=tmp_path, PYTHONPATH=str(installed))
    skipped = {each["case"] for each in json.loads(output) if each["verdict"] != "passed"}
    assert skipped == SKIPPED


def test_tests_of_the_package_run_the_conformance_suite(installed: Path, tmp_path: Path) -> None:
    shutil.copytree(SAMPLE / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    output = run("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=tmp_path, PYTHONPATH=str(installed))
    assert f"{len(CASES) - len(SKIPPED)} passed, {len(SKIPPED)} skipped" in output


def test_tests_of_a_package_with_an_error_fail_with_what_was_expected_and_seen(installed: Path, tmp_path: Path) -> None:
    shutil.copytree(SAMPLE / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    module = tmp_path / "tests" / "test_payments.py"
    module.write_text(f"""{module.read_text()}

async def never_charged(self, payment):
    return "never_charged"

AcmePayments.void = never_charged
""")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "void-after-charge"],
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "200", "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert result.returncode == 1
    assert "a void refunds a charge: expected the void answers refunded; saw never_charged" in result.stdout


def test_documented_files_are_those_of_the_sample() -> None:
    documented = {name: text for name, text in files(PROVIDERS).items() if name.endswith((".py", ".toml"))}
    assert documented
    assert {name: next(SAMPLE.rglob(name)).read_text() for name in documented} == documented


@pytest.mark.slow
async def test_adapters_of_a_package_charge_and_ship(
    processes: RoleProcesses, temporal_client: Client, task_queues: Any, installed: Path
) -> None:
    worker = await processes.worker(
        "all", PYTHONPATH=str(installed), ORDERFLEET_PAYMENT_PROVIDER="acme", ORDERFLEET_CARRIER="acme"
    )
    await worker.answers("/readyz", 200)
    await OrderClient(temporal_client, task_queue=task_queues.orders).start(automatic_order("own-1", task_queues))
    handle = temporal_client.get_workflow_handle("order-own-1", result_type=OrderStatus)
    status = await handle.result()
    assert (status.step, status.payment.status) == (Step.SHIPPED, PaymentStatus.CHARGED)
    assert (status.shipments[0].carrier, status.shipments[0].tracking_number) == ("acme", "ACME-ship-own-1")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "variable", "message"),
    [
        (
            "orders",
            "ORDERFLEET_PAYMENT_PROVIDER",
            "no payment provider is called 'strip'; known: acme, http",
        ),
        ("shipping", "ORDERFLEET_CARRIER", "no carrier is called 'strip'; known: acme, http, simulated"),
    ],
)
def test_unknown_adapter_name_ends_the_worker_with_the_known_names(
    installed: Path, kind: str, variable: str, message: str
) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "orderfleet", "worker", kind],
        env={**os.environ, "PYTHONPATH": str(installed), variable: "strip"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
