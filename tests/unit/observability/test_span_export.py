"""Redaction of exception messages in exported spans."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from orderfleet.domain.errors import ProviderUnavailable
from orderfleet.observability.span_export import RedactingExporter


def test_export_of_a_failed_span_keeps_the_error_class_only():
    exported = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(RedactingExporter(lambda: exported)))
    tracer = provider.get_tracer("test")

    def charge() -> None:
        with tracer.start_as_current_span("charge", attributes={"orderfleet.order.id": "ord-1"}) as span:
            span.add_event("called", {"attempt": 1})
            raise ProviderUnavailable("the payment provider answered 500: card of Ann")

    with tracer.start_as_current_span("parent"), pytest.raises(ProviderUnavailable):
        charge()
    child, parent = exported.get_finished_spans()
    assert child.parent == parent.context
    assert child.attributes == {"orderfleet.order.id": "ord-1"}
    assert (child.status.status_code, child.status.description) == (StatusCode.ERROR, "ProviderUnavailable")
    called, raised = child.events
    assert called.attributes == {"attempt": 1}
    assert raised.attributes == {
        "exception.type": "orderfleet.domain.errors.ProviderUnavailable",
        "exception.escaped": "False",
    }
    assert "Ann" not in child.to_json()
