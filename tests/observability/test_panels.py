"""Every panel of every dashboard shows data of a real run, scraped by a real Prometheus."""

from __future__ import annotations

import asyncio
import json
import math
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import stripe

from orderfleet.observability.metric_specs import MetricSpec
from orderfleet.observability.metrics import CATALOG
from orderfleet_local.stack import paths, ports
from stripe_server import books
from support.factories import ADDRESS_JSON, order_manifest
from support.operator_env import OperatorTestEnv
from support.own_prometheus import Prometheus
from support.polling import eventually
from support.role_processes import RoleProcesses

DASHBOARDS = sorted((paths.checkout() / "deploy" / "dashboards").glob("*.json"))
VARIABLES = {"$__rate_interval": "1m", "$namespace": ".*", "$queue": ".*", "$version": ".*"}
ITEMS = [{"sku": "widget", "qty": 2, "price": "9.99"}]
SECRET = "whsec_panels"
FAULTS = "charge:error=0.4,hang=0.1,length=1s;dispatch_carrier:error=0.75;seed=5"


def queries() -> list[tuple[str, str]]:
    """Title of the panel and expression, with the variables filled in, of every query."""
    return [
        (f"{file.stem}: {panel['title']} ({target['refId']})", _filled(target["expr"]))
        for file in DASHBOARDS
        for panel in json.loads(file.read_text())["panels"]
        for target in panel.get("targets", ())
    ]


def annotations() -> set[str]:
    """Expressions of the annotations."""
    lists = [json.loads(file.read_text())["annotations"]["list"] for file in DASHBOARDS]
    assert all(lists)
    return {_filled(one["expr"]) for each in lists for one in each}


def _filled(text: str) -> str:
    for name, value in VARIABLES.items():
        text = text.replace(name, value)
    assert "$" not in text, text
    return text


def empty_panels(prometheus: Prometheus) -> list[tuple[str, str]]:
    """Panels without data."""
    return [
        (title, text)
        for title, text in queries()
        if not any(math.isfinite(float(series["value"][1])) for series in prometheus.query(text))
    ]


def missing_metrics(prometheus: Prometheus) -> list[str]:
    """Metrics without a series."""

    def name(declared: MetricSpec) -> str:
        return f"{declared.name}_count" if declared.kind == "histogram" else declared.name

    return [declared.name for declared in CATALOG if not prometheus.query(name(declared))]


async def test_every_panel_and_every_metric_has_data(
    operator_env: OperatorTestEnv, role_environment: dict[str, str], tmp_path: Path, scraping: Any
) -> None:
    environment = {
        **role_environment,
        "ORDERFLEET_SIMULATED_LEDGER": str(tmp_path / "ledger.db"),
        "ORDERFLEET_OPERATOR_NAMESPACES": operator_env.cluster.namespace,
        "ORDERFLEET_STEP_INITIAL_INTERVAL": "50ms",
        "ORDERFLEET_STEP_BACKOFF": "1",
        "ORDERFLEET_STEP_ATTEMPTS": "2",
        "ORDERFLEET_CHARGE_TIMEOUT": "500ms",
        "ORDERFLEET_FAULTS": FAULTS,
        "ORDERFLEET_RECONCILIATION_INTERVAL": "5s",
        "ORDERFLEET_STRIPE_WEBHOOK_SECRET_FILE": str(tmp_path / "webhooks"),
    }
    (tmp_path / "webhooks").write_text(SECRET)
    sdk = {kind: str(ports.choose(0)) for kind in ("orders", "shipping")}
    async with AsyncExitStack() as stack:
        processes = RoleProcesses(stack, environment, tmp_path)
        workers = [await processes.worker(kind, ORDERFLEET_TEMPORAL_METRICS_PORT=sdk[kind]) for kind in sdk]
        operator, api = await processes.operator(), await processes.api()
        for process in (*workers, operator, api):
            await process.answers("/readyz", 200)
        prometheus: Prometheus = scraping(
            {
                "orderfleet": [process.health_port for process in (*workers, operator, api)],
                "temporal-sdk": [int(port) for port in sdk.values()],
            }
        )
        await eventually(lambda: asyncio.to_thread(prometheus.ready), bool)
        # Each process start is a deployment.
        for text in annotations():
            shown = await eventually(lambda text=text: asyncio.to_thread(prometheus.query, text), bool)
            assert {"role", "version"} <= set(shown[0]["metric"])
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", timeout=60) as caller:
            # The first value of a counter is no increase, so rates need a later wave.
            for wave in range(60):
                await _wave(wave, operator_env, caller)
                missing = await asyncio.to_thread(lambda: (empty_panels(prometheus), missing_metrics(prometheus)))
                if missing == ([], []):
                    break
        assert missing == ([], [])
        for title, text in queries():
            assert prometheus.query(text), title


async def _wave(number: int, operator_env: OperatorTestEnv, caller: httpx.AsyncClient) -> None:
    """Start orders that ship, fail, are rejected, canceled and reviewed."""
    given = {"items": ITEMS, "address": ADDRESS_JSON}
    auto = {**given, "review": {"mode": "auto"}}
    for kind, body in {
        **{f"auto-{each}": auto for each in range(4)},
        "refused": {**auto, "payment_id": f"refuse-panel-{number}"},
        "wrong": {**auto, "address": {**ADDRESS_JSON, "city": "  "}},
        "approved": given,
        "canceled": given,
        "waits": given,
    }.items():
        await caller.post("/orders", json={"order_id": f"panel-{number}-{kind}", **body})
    await operator_env.apply(order_manifest(f"panel-{number}-declared", approved=number % 2 == 0))
    await caller.get(f"/orders/panel-{number}-unknown")
    await _report_payment(caller)

    async def reviewed() -> bool:
        answers = [await caller.get(f"/orders/panel-{number}-{kind}") for kind in ("approved", "canceled")]
        return all(answer.json().get("step") == "manual_review" for answer in answers)

    await eventually(reviewed, bool)
    await caller.post(f"/orders/panel-{number}-approved/signals/approve")
    await caller.post(f"/orders/panel-{number}-canceled/signals/cancel", json={"reason": "no more wanted"})


async def _report_payment(caller: httpx.AsyncClient) -> None:
    """Send a webhook of the payment of another system."""
    provider = books.Books()
    metadata = {
        "orderfleet_payment_id": "of-another-system",
        "orderfleet_order_id": "of-another-system",
        "orderfleet_number": "1",
    }
    created = provider.create({"amount": "1998", "currency": "usd", "metadata": metadata})
    provider.confirm(created["id"], {"payment_method": "pm_card_visa"})
    for event in provider.events:
        body = json.dumps(event)
        header = stripe.WebhookSignature.generate_signature_header(body, SECRET, int(time.time()))
        answer = await caller.post("/webhooks/stripe", content=body, headers={"Stripe-Signature": header})
        assert answer.status_code == 200, answer.text
