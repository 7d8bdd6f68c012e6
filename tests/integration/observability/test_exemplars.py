"""A scrape as Prometheus makes it: exemplars lead from a metric to the trace of an order that is in it."""

from __future__ import annotations

import asyncio
import urllib.request

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from otlp_receiver import Receiver
from support.worker_processes import WorkerFleet, until

ACCEPT = "application/openmetrics-text; version=1.0.0; charset=utf-8"
ORDER = {
    "items": [{"sku": "widget", "qty": 2, "price": "9.99"}],
    "address": {"street": "1 Main St", "city": "Springfield", "state": "IL", "zip": "62701", "country": "US"},
    "review": {"mode": "auto"},
}
OF_WORKERS = {
    *("orderfleet_order_duration_seconds_bucket", "orderfleet_step_duration_seconds_bucket"),
    *("orderfleet_provider_call_duration_seconds_bucket", "orderfleet_payments_total"),
    "orderfleet_database_operation_duration_seconds_bucket",
}
OF_API = {"orderfleet_api_request_duration_seconds_bucket"}


def exemplars(port: int) -> dict[str, set[str]]:
    """Trace ids of the exemplars, by the name of their sample."""
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept": ACCEPT})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
        text = answer.read().decode()
    found: dict[str, set[str]] = {}
    # The parser takes nothing that OpenMetrics doesn't allow, a label too long for an exemplar included.
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.exemplar is not None:
                found.setdefault(sample.name, set()).add(sample.exemplar.labels["trace_id"])
    return found


@pytest.mark.slow
async def test_exemplars_of_a_real_scrape_are_traces_that_were_sent(fleet: WorkerFleet, receiver: Receiver) -> None:
    tracing = {"ORDERFLEET_OTLP_ENDPOINT": receiver.endpoint}
    worker, api = await fleet.worker("all", **tracing), await fleet.api(**tracing)
    for process in (worker, api):
        await process.answers("/readyz", 200)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", timeout=60) as caller:
        answer = await caller.post("/orders", json=ORDER)
        assert answer.status_code == 201, answer.text

    async def of_worker() -> dict[str, set[str]]:
        return await asyncio.to_thread(exemplars, worker.port)

    # The end of the order is the last to be counted.
    told = await until(of_worker, lambda found: set(found) >= OF_WORKERS, 60)
    asked = await asyncio.to_thread(exemplars, api.health_port)
    assert set(asked) >= OF_API
    (trace,) = told["orderfleet_order_duration_seconds_bucket"]
    for name in OF_WORKERS:
        assert trace in told[name], name
    everywhere = {one for found in (told, asked) for ids in found.values() for one in ids}

    async def sent() -> set[str]:
        return {span.trace for span in await asyncio.to_thread(receiver.spans)}

    await until(sent, lambda traces: everywhere <= traces, 60)
