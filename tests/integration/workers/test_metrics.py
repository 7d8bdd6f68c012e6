"""Metrics that worker processes expose after orders with faults: their own and those of Temporal's SDK."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError

from orderfleet.domain.order import Review, ReviewMode
from orderfleet.domain.policy import OrderPolicy, StepPolicy
from orderfleet.domain.status import OrderStatus, Step
from orderfleet.observability.exposition import LONG_LATENCIES, SHORT_LATENCIES
from orderfleet.observability.metric_specs import Exposer
from orderfleet.observability.metrics import CATALOG
from orderfleet.services.workflow_client import Change, OrderClient
from orderfleet_local.stack import ports
from support.factories import automatic_order
from support.metric_samples import Samples, scrape
from support.polling import eventually
from support.role_processes import RoleProcesses

FAULTS = "charge:error=0.5;dispatch_carrier:hang=0.4,length=2s;seed=2"
DAY = 86400


@pytest.mark.slow
async def test_workers_expose_metrics_of_their_orders(
    processes: RoleProcesses, temporal_client: Client, task_queues: Any
) -> None:
    sdk_port = ports.choose(0)
    orders = await processes.worker("orders", ORDERFLEET_FAULTS=FAULTS, ORDERFLEET_TEMPORAL_METRICS_PORT=str(sdk_port))
    shipping = await processes.worker("shipping", ORDERFLEET_FAULTS=FAULTS)
    await orders.answers("/readyz", 200)
    await shipping.answers("/readyz", 200)
    client = OrderClient(temporal_client, task_queue=task_queues.orders)
    quick = StepPolicy(attempt_timeout="600ms", initial_interval="10ms", maximum_interval="20ms", attempts=8)
    policy = OrderPolicy(shipping_task_queue=task_queues.shipping, charge=quick, dispatch_carrier=quick)
    # Faults are drawn from seed and id: every run has the same ones.
    unique = "metrics"
    for number in range(6):
        await client.start(automatic_order(f"{unique}-{number}", task_queues, policy=policy))
    reviewed = automatic_order(f"{unique}-reviewed", task_queues, policy=policy, review=Review(mode=ReviewMode.MANUAL))
    await client.start(reviewed)
    refused = automatic_order(f"{unique}-refused", task_queues, policy=policy, payment_id=f"refuse-{unique}")
    await client.start(refused)
    await eventually(lambda: client.status(reviewed.order_id), lambda status: status.step is Step.MANUAL_REVIEW)
    await client.change(reviewed.order_id, Change.cancel("no more wanted"))
    ends = await asyncio.gather(
        *(
            temporal_client.get_workflow_handle(f"order-{unique}-{name}", result_type=OrderStatus).result()
            for name in (*range(6), "reviewed", "refused")
        ),
        return_exceptions=True,
    )
    shipped = sum(isinstance(end, OrderStatus) and end.step is Step.SHIPPED for end in ends)
    assert shipped == 6
    assert isinstance(ends[-1], WorkflowFailureError)

    def of_orders() -> Samples:
        return scrape(f"http://127.0.0.1:{orders.port}/metrics")

    ended = "orderfleet_order_duration_seconds_count"
    samples = await eventually(lambda: asyncio.to_thread(of_orders), lambda found: found(ended) == 8)
    assert samples("orderfleet_orders_received_total") == 8
    assert samples(ended, outcome="shipped") == shipped
    assert samples(ended, outcome="canceled") == samples(ended, outcome="failed") == 1
    assert samples("orderfleet_payments_total", result="charged") == 6
    # Voided where an attempt before the rejection failed: its outcome is unknown.
    assert sum(samples("orderfleet_payments_total", result=result) for result in ("failed", "voided")) == 1
    assert samples("orderfleet_review_wait_seconds_count", outcome="canceled") == 1
    assert samples("orderfleet_step_failures_total", activity="charge", error="InjectedFault") > 0
    final = ("PaymentRefused", "PaymentOutcomeUnknown")
    assert sum(samples("orderfleet_step_failures_total", activity="charge", error=error) for error in final) == 1
    assert samples("orderfleet_step_retries_total", activity="charge") > 0
    calls = "orderfleet_provider_call_duration_seconds_count"
    assert samples(calls, provider="payments", call="charge", outcome="ok") == 6
    assert samples(calls, provider="payments", call="charge", outcome="refused") == 1
    assert samples("orderfleet_build_info") == 1

    def of_shipping() -> Samples:
        return scrape(f"http://127.0.0.1:{shipping.port}/metrics")

    timeouts = "orderfleet_step_timeouts_total"
    found = await eventually(lambda: asyncio.to_thread(of_shipping), lambda samples: samples(timeouts) > 0)
    # An attempt that times out may have booked; the carrier recognizes its key.
    assert found(calls, provider="carrier", call="book", outcome="ok") >= 6
    assert found("orderfleet_step_duration_seconds_count", activity="dispatch_carrier") >= 6
    assert found(timeouts, activity="dispatch_carrier") == found(timeouts)
    _exposed(samples, Exposer.ORDERS)
    _exposed(found, Exposer.SHIPPING)
    _of_the_sdk(scrape(f"http://127.0.0.1:{sdk_port}/metrics"))


def _exposed(samples: Samples, role: Exposer) -> None:
    """Every exposed metric is declared for the role."""
    declared = {metric.name for metric in CATALOG if role in metric.roles}
    ours = {name for name in samples.names() if name.startswith("orderfleet_")}
    endings = ("_bucket", "_sum", "_count", "_created")
    bases = {next((name.removesuffix(end) for end in endings if name.endswith(end)), name) for name in ours}
    assert {base if base in declared else f"{base}_total" for base in bases} <= declared


def _of_the_sdk(samples: Samples) -> None:
    assert samples("temporal_num_pollers", poller_type="sticky_workflow_task") > 0
    assert samples("temporal_worker_task_slots_available", worker_type="ActivityWorker") > 0
    assert samples("temporal_local_activity_total_total") > 0
    assert samples("temporal_workflow_completed_total") > 0
    seen = set()
    for latency in (*LONG_LATENCIES, *SHORT_LATENCIES):
        name = f"temporal_{latency}_seconds_bucket"
        bounds = {float(bound) for bound in samples.labels(name, "le")}
        if not bounds:
            continue
        seen.add(latency)
        assert 0.005 in bounds, name
        assert (30 * DAY in bounds) == (latency in LONG_LATENCIES), name
    assert seen >= {"workflow_endtoend_latency", "activity_schedule_to_start_latency", "request_latency"}
    histograms = {name for name in samples.names() if name.startswith("temporal_") and name.endswith("_bucket")}
    assert histograms <= {f"temporal_{latency}_seconds_bucket" for latency in (*LONG_LATENCIES, *SHORT_LATENCIES)}
