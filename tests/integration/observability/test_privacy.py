"""Personal data stays in the order store, and secrets stay in their files.

Orders with marked personal data are started, changed and rejected through every interface; then no output of any
process contains the marks.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from orderfleet.domain.order import Address
from orderfleet_local.stack import ports
from provider_server.process import ProviderServer, provider_server
from support.factories import order_manifest
from support.operator_env import OperatorTestEnv, condition, ended
from support.otlp_receiver import Receiver
from support.polling import eventually
from support.role_processes import RoleProcesses

MARK = "Zaphod"
PASSWORD = "Betelgeuse"
API_TOKEN, UNKNOWN_TOKEN = "Magrathea-token-of-an-operator", "Magrathea-token-of-a-stranger"
PROVIDER_TOKEN = "Slartibartfast-token-of-the-provider"
SECRETS = (MARK, PASSWORD, "Magrathea", "Slartibartfast")
CUSTOMER = {"name": f"{MARK} One", "email": f"{MARK}@two.example"}
ADDRESS = {
    **{name: f"{MARK} {name}" for name in Address.model_fields if name != "zip"},
    "street": f"{MARK} Lane 3",
    "zip": "Z5",
}
ELSEWHERE = {**ADDRESS, "street": f"{MARK} Road 7"}
BLANK = {**ADDRESS, "street": "  "}
ITEMS = [{"sku": "widget", "qty": 2, "price": "9.99"}]
ENDS = ("shipped", "canceled", "failed")


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[ProviderServer]:
    """A payment provider that accepts one bearer token."""
    (tmp_path / "provider-token").write_text(PROVIDER_TOKEN)
    with provider_server(tmp_path, "--token-file", str(tmp_path / "provider-token")) as server:
        yield server


@pytest.fixture
def full_telemetry(
    role_environment: dict[str, str], receiver: Receiver, provider: ProviderServer, tmp_path: Path
) -> None:
    """Every process logs and exports as much as it can, and has a secret of each kind."""
    tokens = tmp_path / "tokens.yaml"
    tokens.write_text(yaml.safe_dump([{"name": "shop", "role": "operate", "token": API_TOKEN}]))
    role_environment.update(
        # Trust authentication accepts any password.
        ORDERFLEET_DATABASE_URL=_with_password(role_environment["ORDERFLEET_DATABASE_URL"]),
        ORDERFLEET_OTLP_ENDPOINT=receiver.endpoint,
        ORDERFLEET_LOG_LEVEL="DEBUG",
        ORDERFLEET_REVIEW_MODE="auto",
        ORDERFLEET_API_AUTH="tokens",
        ORDERFLEET_API_TOKENS_FILE=str(tokens),
        ORDERFLEET_PAYMENT_PROVIDER="http",
        ORDERFLEET_PAYMENT_URL=provider.url,
        ORDERFLEET_PAYMENT_TOKEN_FILE=str(tmp_path / "provider-token"),
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_output_of_all_processes_contains_no_personal_data_and_no_secret(
    processes: RoleProcesses,
    receiver: Receiver,
    provider: ProviderServer,
    full_telemetry: None,
    role_environment: dict[str, str],
    operator_env: OperatorTestEnv,
) -> None:
    sdk = ports.choose(0)
    worker = await processes.worker(
        "all",
        ORDERFLEET_FAULTS="dispatch_carrier:error=0.6;charge:error=0.5;seed=3",
        ORDERFLEET_TEMPORAL_METRICS_PORT=str(sdk),
    )
    api = await processes.api()
    operator = await processes.operator(ORDERFLEET_OPERATOR_NAMESPACES=operator_env.cluster.namespace)
    for process in (worker, api, operator):
        await process.answers("/readyz", 200)
    # A provider's error message may name a customer.
    provider.answers("/charges", 500, {"detail": f"card of {MARK} not read"})
    errors = await _through_the_command_line(role_environment)
    await _through_kubernetes(operator_env)
    await _through_the_api(f"http://127.0.0.1:{api.port}")
    await eventually(
        lambda: asyncio.to_thread(receiver.spans), lambda spans: any("seen-2" in str(span) for span in spans)
    )

    pages = {
        str(port): await asyncio.to_thread(_page, f"http://127.0.0.1:{port}/metrics")
        for port in (worker.port, api.health_port, operator.port, sdk)
    }
    events = {"events in Kubernetes": await operator_env.kubectl("get", "events", "-o", "json")}
    for process in (worker, api, operator):
        process.process.send_signal(signal.SIGTERM)
        assert await process.ends() == 0
    assert len(provider.calls(payment_id="refuse-seen-2")) > 0
    for where, text in {**processes.logs(), **pages, **events, "spans": receiver.file.read_text()}.items():
        assert text, where
        _has_none(where, text)
    _has_none("standard error of the command line", errors)


async def _through_the_api(url: str) -> None:
    """Valid, declined, invalid and malformed orders, changes, and calls with an unknown token."""
    bodies = {
        "seen-1": {"address": ADDRESS},
        "seen-2": {"address": ADDRESS, "payment_id": "refuse-seen-2"},
        "seen-3": {"address": BLANK},
    }
    known, unknown = ({"Authorization": f"Bearer {token}"} for token in (API_TOKEN, UNKNOWN_TOKEN))
    async with httpx.AsyncClient(base_url=url, timeout=60, headers=known) as caller:
        for order_id, body in bodies.items():
            order = {"order_id": order_id, "items": ITEMS, "customer": CUSTOMER, **body}
            response = await caller.post("/orders", json=order, params={"note": MARK})
            assert response.status_code in {201, 422}, response.text
            assert (await caller.post("/orders", json=order, headers=unknown)).status_code == 401
            await caller.post("/orders", json={**order, "address": {**ADDRESS, "street": ""}, "items": MARK})
            await caller.post(f"/orders/{order_id}/signals/update-address", json={"address": ELSEWHERE})
        await caller.get("/orders", params={"customer_email": CUSTOMER["email"]})

        async def steps() -> list[str | None]:
            responses = [await caller.get(f"/orders/{order_id}") for order_id in ("seen-1", "seen-2")]
            return [response.json().get("step") for response in responses]

        await eventually(steps, lambda found: all(step in ENDS for step in found), 60)
        assert MARK in (await caller.get("/orders/seen-1")).text, (
            "the API has to return the mark, or this test shows nothing"
        )


async def _through_kubernetes(operator_env: OperatorTestEnv) -> None:
    """An Order that is changed during its review, one with a conflicting id, and one that is rejected at admission."""
    review = {"mode": "manual", "timeout": "1h"}
    await operator_env.apply(
        order_manifest("seen-declared", customer=CUSTOMER, address=ADDRESS, review=review),
        order_manifest("seen-conflict", orderId="seen-typed", customer=CUSTOMER, address=ADDRESS),
    )
    await operator_env.rejected(
        "apply", "-f", "-", input=json.dumps(order_manifest("seen-wrong", customer=CUSTOMER, address=BLANK))
    )
    await operator_env.until("seen-declared", lambda order: order.get("status", {}).get("step") == "manual_review", 60)
    await operator_env.patch("seen-declared", address=ELSEWHERE, approved=True)
    await operator_env.until("seen-declared", ended, 60)
    await operator_env.until("seen-conflict", lambda order: condition(order, "Accepted") == ("False", "Conflict"), 60)
    # Too late to change: an Event reports it.
    await operator_env.rejected(
        "patch", "ofo", "seen-declared", "--type=merge", "-p", json.dumps({"spec": {"address": ADDRESS}})
    )


async def _through_the_command_line(role_environment: dict[str, str]) -> str:
    """Standard error of commands that start and change an order, accepted and rejected ones."""
    order = order_manifest("seen-typed", customer=CUSTOMER, address=ADDRESS, review={"mode": "manual"})
    address = [part for name, value in ELSEWHERE.items() for part in (f"--{name}", value)]
    commands: list[tuple[list[str], str, set[int]]] = [
        (["start", "-f", "-"], json.dumps(order), {0}),
        (["start", "-f", "-"], json.dumps({**order, "spec": {**order["spec"], "address": ELSEWHERE}}), {0, 4}),
        (["update-address", "seen-typed", *address], "", {0}),
        (["cancel", "seen-typed"], "", {0}),
        (["update-address", "seen-typed", *address], "", {4}),
    ]
    errors = ""
    for arguments, text, statuses in commands:
        done = await asyncio.to_thread(_order, arguments, text, role_environment)
        assert done.returncode in statuses, (arguments[0], done.stdout, done.stderr)
        errors += done.stderr
    return errors


def _order(arguments: list[str], text: str, role_environment: dict[str, str]) -> subprocess.CompletedProcess[Any]:
    command = [sys.executable, "-m", "orderfleet", "order", *arguments]
    return subprocess.run(
        command,
        input=text,
        env={**os.environ, **role_environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def _has_none(where: str, text: str) -> None:
    for secret in SECRETS:
        found = [line for line in text.splitlines() if secret in line]
        assert not found, (where, found[0][:2000])


def _with_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    credentials, at, host = rest.rpartition("@")
    user = credentials.partition(":")[0]
    return f"{scheme}://{user}:{PASSWORD}{at}{host}"


def _page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as response:
        return response.read().decode()
