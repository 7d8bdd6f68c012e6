"""Our spans of activities equal those of Temporal's SDK, and the trace is propagated in the same header."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from temporalio.api.common.v1 import Payload
from temporalio.contrib.opentelemetry import TracingInterceptor
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from orderfleet.temporal.spans import TemporalSpans

HEADER = "_tracer-data"
CONTEXT = Payload(
    metadata={"encoding": b"json/plain"},
    data=b'{"traceparent":"00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"}',
)
OUTCOMES = [
    None,
    ValueError("wrong"),
    ApplicationError("final", non_retryable=True),
    ApplicationError("no alarm", category=ApplicationErrorCategory.BENIGN),
]


class Body(ActivityInboundInterceptor):
    """The innermost interceptor: raises the given error, and records the current span."""

    def __init__(self, outcome: Exception | None) -> None:
        self._outcome = outcome
        self.span_id = 0

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - temporalio's name
        self.span_id = trace.get_current_span().get_span_context().span_id
        if self._outcome is not None:
            raise self._outcome


async def run_attempt(root: TracingInterceptor, headers: dict[str, Payload], outcome: Exception | None) -> ReadableSpan:
    exporter, provider, body = InMemorySpanExporter(), TracerProvider(), Body(outcome)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    root.tracer = provider.get_tracer("test")
    call = ExecuteActivityInput(fn=lambda: None, args=[], executor=None, headers=headers)
    with nullcontext() if outcome is None else pytest.raises(type(outcome), match=str(outcome)):
        await ActivityEnvironment().run(root.intercept_activity(body).execute_activity, call)
    (span,) = exporter.get_finished_spans()
    assert body.span_id == span.get_span_context().span_id
    assert not trace.get_current_span().get_span_context().is_valid
    return span


def summary(span: ReadableSpan) -> tuple[object, ...]:
    events = [
        (
            event.name,
            {name: value for name, value in (event.attributes or {}).items() if name != "exception.stacktrace"},
        )
        for event in span.events
    ]
    status = span.status
    return span.name, span.kind, span.attributes, span.parent, status.status_code, status.description, events


@pytest.mark.parametrize("headers", [{HEADER: CONTEXT}, {}], ids=["traced", "untraced"])
@pytest.mark.parametrize("outcome", OUTCOMES, ids=["completed", "failed", "non-retryable", "benign"])
async def test_span_of_an_attempt_equals_the_sdks(headers: dict[str, Payload], outcome: Exception | None) -> None:
    ours = await run_attempt(TemporalSpans(), headers, outcome)
    sdk = await run_attempt(TracingInterceptor(), headers, outcome)
    assert summary(ours) == summary(sdk)


def test_trace_header_equals_the_sdks() -> None:
    current = SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    with trace.use_span(NonRecordingSpan(current)):
        assert TemporalSpans()._context_to_headers({}) == TracingInterceptor()._context_to_headers({})


@pytest.mark.parametrize(
    "data",
    [b"7", b"null", b'["traceparent"]', b'{"traceparent": 7}', b'{"traceparent": "\\ud800"}', b"{", b"\xff"],
)
async def test_an_attempt_with_a_header_that_is_no_object_of_texts_runs_in_a_trace_of_its_own(data: bytes) -> None:
    header = Payload(metadata={"encoding": b"json/plain"}, data=data)
    span = await run_attempt(TemporalSpans(), {HEADER: header}, None)
    assert span.parent is None
