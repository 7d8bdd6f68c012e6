"""What the observers make of what they are told."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest

from metered import added
from orderfleet.domain.errors import PaymentRefused, ProviderUnavailable, StoreUnavailable
from orderfleet.domain.status import Step
from orderfleet.observability.database_metrics import DatabaseMetrics
from orderfleet.observability.metrics import ORDER_DURATION
from orderfleet.observability.operator_metrics import OperatorMetrics
from orderfleet.observability.order_metrics import CallMetrics, RecordMetrics, StepMetrics


def within_trace(trace_id: int, *, kept: bool):
    flags = TraceFlags(TraceFlags.SAMPLED if kept else TraceFlags.DEFAULT)
    return trace.use_span(NonRecordingSpan(SpanContext(trace_id, 1, is_remote=False, trace_flags=flags)))


def test_exemplars_carry_the_ids_of_traces_that_are_kept():
    registry = CollectorRegistry()
    registry.register(ORDER_DURATION)
    with within_trace(0xABC, kept=True):
        RecordMetrics().order_ended(Step.SHIPPED, timedelta(seconds=77))
    with within_trace(0xDEF, kept=False):
        RecordMetrics().order_ended(Step.SHIPPED, timedelta(days=2))
    page = generate_latest(registry).decode()
    assert f'# {{trace_id="{0xABC:032x}"}} 77.0' in page
    assert f"{0xDEF:032x}" not in page


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (StoreUnavailable("away"), "StoreUnavailable"),
        (PaymentRefused("no"), "PaymentRefused"),
        (KeyError("x"), "other"),
    ],
)
def test_failures_are_counted_by_a_bounded_number_of_kinds(error, kind):
    with added() as samples:
        StepMetrics().ended("charge", 0.1, error, late=False)
    assert samples("orderfleet_step_failures_total", step="charge", error=kind) == 1
    assert samples("orderfleet_step_duration_seconds_count", outcome="failed") == 1


def test_canceled_attempt_is_no_failure():
    with added() as samples:
        StepMetrics().ended("charge", 0.1, asyncio.CancelledError(), late=False)
    assert samples("orderfleet_step_failures_total") == 0
    assert samples("orderfleet_step_duration_seconds_count", outcome="canceled") == 1


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "ok"),
        (PaymentRefused("no"), "refused"),
        (ProviderUnavailable("busy"), "unavailable"),
        (ValueError(), "error"),
    ],
)
def test_provider_calls_are_counted_by_outcome(error, outcome):
    with added() as samples:
        try:
            with CallMetrics("payments", "simulated").call("charge"):
                if error is not None:
                    raise error
        except type(error or Exception):
            pass
    name = "orderfleet_provider_call_duration_seconds_count"
    assert samples(name) == samples(name, provider="payments", call="charge", outcome=outcome) == 1


def test_statements_are_spans_in_traces_that_are_kept_and_measured_in_all(monkeypatch):
    spans = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr("orderfleet.observability.database_metrics.TRACER", provider.get_tracer("test"))
    database = DatabaseMetrics(1)
    with added() as samples:
        with within_trace(0xDEF, kept=False), database.operation("record") as operation:
            operation.connected()
        with database.operation("record") as operation:
            operation.connected()
        with within_trace(0xABC, kept=True):
            with database.operation("record") as operation:
                operation.connected()
            with pytest.raises(StoreUnavailable), database.operation("orders"):
                raise StoreUnavailable("away")
    name = "orderfleet_database_operation_duration_seconds_count"
    assert (samples(name, outcome="ok"), samples(name, outcome="unavailable")) == (3, 1)
    assert samples("orderfleet_database_pool_waiting") == samples("orderfleet_database_pool_in_use") == 0
    good, failed = spans.get_finished_spans()
    assert (good.name, good.context.trace_id, good.parent.span_id) == ("SQL record", 0xABC, 1)
    assert (failed.name, failed.attributes["error.type"]) == ("SQL orders", "StoreUnavailable")
    assert not failed.status.is_ok


@pytest.mark.parametrize(
    ("error", "result"), [(None, "ok"), (StoreUnavailable("away"), "postgres_away"), (RuntimeError(), "error")]
)
def test_looks_at_orders_are_counted_by_result_with_their_calls(error, result):
    metrics = OperatorMetrics()
    metrics.called("GET", 200)
    with added() as samples:
        try:
            with metrics.look():
                metrics.called("PATCH", 200)
                metrics.called("PATCH", None)
                if error is not None:
                    raise error
        except type(error or Exception):
            pass
    assert samples("orderfleet_operator_reconciles_total", result=result) == 1
    assert samples("orderfleet_operator_reconcile_api_calls_sum") == 2
    assert samples("orderfleet_operator_api_calls_total", verb="patch", status="none") == 1
