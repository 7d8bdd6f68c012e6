"""What a customer gave stays in the record: a marked order goes through, and nothing that processes show has it."""

from __future__ import annotations

import asyncio
import signal
import urllib.request

import httpx
import pytest

from orderfleet.stack import ports
from otlp_receiver import Receiver
from worker_processes import WorkerFleet, until

MARK = "Zaphod"
PASSWORD = "Betelgeuse"
CUSTOMER = {"name": f"{MARK} One", "email": f"{MARK}@two.example"}
ADDRESS = {"street": f"{MARK} Lane 3", "city": f"{MARK}ville", "state": f"{MARK}4", "zip": "Z5", "country": f"{MARK}6"}
ITEMS = [{"sku": "widget", "qty": 2, "price": "9.99"}]
ENDS = ("shipped", "canceled", "failed")


@pytest.mark.slow
async def test_no_log_metric_or_span_shows_a_customer_or_a_password(
    fleet: WorkerFleet, receiver: Receiver, environment: dict[str, str]
) -> None:
    # Trust authentication takes any password.
    environment["ORDERFLEET_DATABASE_URL"] = _with_password(environment["ORDERFLEET_DATABASE_URL"])
    watched = {"ORDERFLEET_OTLP_ENDPOINT": receiver.endpoint, "ORDERFLEET_LOG_LEVEL": "DEBUG"}
    sdk = ports.choose(0)
    worker = await fleet.worker(
        "all",
        **watched,
        ORDERFLEET_FAULTS="dispatch_carrier:error=0.6;charge:error=0.5;seed=3",
        ORDERFLEET_TEMPORAL_METRICS_PORT=str(sdk),
        ORDERFLEET_REVIEW_MODE="auto",
    )
    api = await fleet.api(**watched, ORDERFLEET_REVIEW_MODE="auto")
    await worker.answers("/readyz", 200)
    await api.answers("/readyz", 200)
    bad = {**ADDRESS, "street": ""}
    bodies = {
        "seen-1": {"address": ADDRESS},
        "seen-2": {"address": ADDRESS, "payment_id": "refuse-seen-2"},
        "seen-3": {"address": {**ADDRESS, "zip": "  "}},
    }
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", timeout=60) as caller:
        for order_id, body in bodies.items():
            given = {"order_id": order_id, "items": ITEMS, "customer": CUSTOMER, **body}
            answer = await caller.post("/orders", json=given, params={"note": MARK})
            assert answer.status_code in {201, 422}, answer.text
            await caller.post("/orders", json={**given, "address": bad, "items": MARK})
            await caller.post(f"/orders/{order_id}/signals/update-address", json={"address": ADDRESS})

        async def steps() -> list[str | None]:
            answers = [await caller.get(f"/orders/{order_id}") for order_id in ("seen-1", "seen-2")]
            return [answer.json().get("step") for answer in answers]

        await until(steps, lambda found: all(step in ENDS for step in found))
        stored = (await caller.get("/orders/seen-1")).text
        assert MARK in stored, "the mark must have gone through"
    await until(lambda: asyncio.to_thread(receiver.spans), lambda spans: any("seen-2" in str(span) for span in spans))
    pages = {
        port: await asyncio.to_thread(_page, f"http://127.0.0.1:{port}/metrics")
        for port in (worker.port, api.port, sdk)
    }
    for process in (worker, api):
        process.process.send_signal(signal.SIGTERM)
        assert await process.ends() == 0
    for where, text in {**fleet.logs(), **pages, "spans": receiver.file.read_text()}.items():
        assert text
        for secret in (MARK, PASSWORD):
            found = [line for line in text.splitlines() if secret in line]
            assert not found, (where, found[0][:2000])


def _with_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    credentials, at, host = rest.rpartition("@")
    user = credentials.partition(":")[0]
    return f"{scheme}://{user}:{PASSWORD}{at}{host}"


def _page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read().decode()
