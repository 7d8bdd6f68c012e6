"""Metrics and spans of orders, attempts, provider calls, statements and reconciliations."""

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

from orderfleet.domain.errors import PaymentRefused, ProviderUnavailable, StoreUnavailable
from orderfleet.domain.status import Step
from orderfleet.observability.database_metrics import DatabaseOperation
from orderfleet.observability.metrics import ORDER_DURATION
from orderfleet.observability.operator_metrics import OperatorMetrics
from orderfleet.observability.order_metrics import ProviderCallMetrics, attempt_ended, count_ended
from support.metric_samples import metric_changes


def within_trace(trace_id: int, *, sampled: bool):
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    return trace.use_span(NonRecordingSpan(SpanContext(trace_id, 1, is_remote=False, trace_flags=flags)))


def test_exemplars_have_the_trace_id_of_sampled_traces_only():
    registry = CollectorRegistry()
    registry.register(ORDER_DURATION)
    with within_trace(0xABC, sampled=True):
        count_ended(Step.SHIPPED, timedelta(seconds=77))
    with within_trace(0xDEF, sampled=False):
        count_ended(Step.SHIPPED, timedelta(days=2))
    page = generate_latest(registry).decode()
    assert f'# {{trace_id="{0xABC:032x}"}} 77.0' in page
    assert f"{0xDEF:032x}" not in page


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (StoreUnavailable("unavailable"), "StoreUnavailable"),
        (PaymentRefused("no"), "PaymentRefused"),
        (KeyError("x"), "other"),
    ],
)
def test_step_failure_is_counted_by_the_class_of_a_known_error(error, name):
    with metric_changes() as samples:
        attempt_ended("charge", 0.1, error, timed_out=False)
    assert samples("orderfleet_step_failures_total", activity="charge", error=name) == 1
    assert samples("orderfleet_step_duration_seconds_count", outcome="failed") == 1


def test_step_canceled_is_not_counted_as_a_failure():
    with metric_changes() as samples:
        attempt_ended("charge", 0.1, asyncio.CancelledError(), timed_out=False)
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
def test_provider_call_is_counted_by_outcome(error, outcome):
    with metric_changes() as samples:
        try:
            with ProviderCallMetrics("payments", "simulated").call("charge"):
                if error is not None:
                    raise error
        except type(error or Exception):
            pass
    name = "orderfleet_provider_call_duration_seconds_count"
    assert samples(name) == samples(name, provider="payments", call="charge", outcome=outcome) == 1


def test_statement_is_measured_always_and_has_a_span_in_a_sampled_trace(monkeypatch):
    spans = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr("orderfleet.observability.database_metrics.TRACER", provider.get_tracer("test"))
    with metric_changes() as samples:
        with within_trace(0xDEF, sampled=False), DatabaseOperation("record") as operation:
            operation.connected()
        with DatabaseOperation("record") as operation:
            operation.connected()
        with within_trace(0xABC, sampled=True):
            with DatabaseOperation("record") as operation:
                operation.connected()
            with pytest.raises(StoreUnavailable), DatabaseOperation("orders"):
                raise StoreUnavailable("unavailable")
    name = "orderfleet_database_operation_duration_seconds_count"
    assert (samples(name, outcome="ok"), samples(name, outcome="unavailable")) == (3, 1)
    assert samples("orderfleet_database_pool_waiting") == samples("orderfleet_database_pool_in_use") == 0
    good, failed = spans.get_finished_spans()
    assert (good.name, good.context.trace_id, good.parent.span_id) == ("SQL record", 0xABC, 1)
    assert (failed.name, failed.attributes["error.type"]) == ("SQL orders", "StoreUnavailable")
    assert not failed.status.is_ok


@pytest.mark.parametrize(
    ("error", "result"),
    [(None, "ok"), (StoreUnavailable("unavailable"), "postgres_unavailable"), (RuntimeError(), "error")],
)
def test_reconciliation_is_counted_by_result_with_its_api_calls(error, result):
    metrics = OperatorMetrics()
    metrics.called("GET", 200)
    with metric_changes() as samples:
        try:
            with metrics.reconcile():
                metrics.called("PATCH", 200)
                metrics.called("PATCH", None)
                if error is not None:
                    raise error
        except type(error or Exception):
            pass
    assert samples("orderfleet_operator_reconciles_total", result=result) == 1
    assert samples("orderfleet_operator_reconcile_api_calls_sum") == 2
    assert samples("orderfleet_operator_api_calls_total", verb="patch", status="none") == 1
