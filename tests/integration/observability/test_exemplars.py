"""Exemplars in a scrape in the OpenMetrics format."""

from __future__ import annotations

import asyncio
import urllib.request

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from support.factories import ADDRESS_JSON
from support.otlp_receiver import Receiver
from support.polling import eventually
from support.role_processes import RoleProcesses

ACCEPT = "application/openmetrics-text; version=1.0.0; charset=utf-8"
ORDER = {
    "items": [{"sku": "widget", "qty": 2, "price": "9.99"}],
    "address": ADDRESS_JSON,
    "review": {"mode": "auto"},
}
WORKER_METRICS = {
    *("orderfleet_order_duration_seconds_bucket", "orderfleet_step_duration_seconds_bucket"),
    *("orderfleet_provider_call_duration_seconds_bucket", "orderfleet_payments_total"),
    "orderfleet_database_operation_duration_seconds_bucket",
}
API_METRICS = {"orderfleet_api_request_duration_seconds_bucket"}


def exemplars(port: int) -> dict[str, set[str]]:
    """Trace ids of the exemplars, by the name of the sample."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept": ACCEPT})
    with urllib.request.urlopen(request, timeout=30) as response:
        assert response.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
        text = response.read().decode()
    found: dict[str, set[str]] = {}
    # The parser rejects what OpenMetrics doesn't allow, such as an exemplar whose labels are too long.
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.exemplar is not None:
                found.setdefault(sample.name, set()).add(sample.exemplar.labels["trace_id"])
    return found


@pytest.mark.slow
async def test_exemplars_of_a_scrape_are_exported_traces(processes: RoleProcesses, receiver: Receiver) -> None:
    tracing = {"ORDERFLEET_OTLP_ENDPOINT": receiver.endpoint}
    worker, api = await processes.worker("all", **tracing), await processes.api(**tracing)
    for process in (worker, api):
        await process.answers("/readyz", 200)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", timeout=60) as caller:
        response = await caller.post("/orders", json=ORDER)
        assert response.status_code == 201, response.text

    async def worker_exemplars() -> dict[str, set[str]]:
        return await asyncio.to_thread(exemplars, worker.port)

    # The order's end is counted last.
    of_worker = await eventually(worker_exemplars, lambda found: set(found) >= WORKER_METRICS, 60)
    of_api = await asyncio.to_thread(exemplars, api.health_port)
    assert set(of_api) >= API_METRICS
    (trace,) = of_worker["orderfleet_order_duration_seconds_bucket"]
    for name in WORKER_METRICS:
        assert trace in of_worker[name], name
    all_traces = {trace_id for found in (of_worker, of_api) for ids in found.values() for trace_id in ids}

    async def exported() -> set[str]:
        return {span.trace for span in await asyncio.to_thread(receiver.spans)}

    await eventually(exported, lambda traces: all_traces <= traces, 60)
