"""Spans of Temporal's calls, workflows and activities: those of the SDK, at a lower cost.

The SDK propagates a trace as W3C Trace Context and as baggage, and tries each part of a converter for the header. No
process of Orderfleet reads baggage, and the header is always JSON. The header must stay the same, byte for byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from opentelemetry import context as ambient
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from temporalio import activity
from temporalio.api.common.v1 import Payload
from temporalio.contrib.opentelemetry import TracingInterceptor, TracingWorkflowInboundInterceptor
from temporalio.converter import CompositePayloadConverter, JSONPlainPayloadConverter
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

from orderfleet.domain.activities import StepInput
from orderfleet.observability.tracing import order_context

_PROPAGATOR: Final = TraceContextTextMapPropagator()


class _TraceHeader(CompositePayloadConverter):
    """The trace header: an object of strings. Any other header, which any client can send, has no trace."""

    def __init__(self) -> None:
        super().__init__(JSONPlainPayloadConverter())

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        try:
            carriers = super().from_payloads(payloads, type_hints)
        except Exception:  # noqa: BLE001 - an invalid header must not fail a workflow task
            return [{} for _ in payloads]
        return [
            {name: value for name, value in carrier.items() if isinstance(value, str)}
            if isinstance(carrier, dict)
            else {}
            for carrier in carriers
        ]


_HEADER: Final = _TraceHeader()


class TemporalSpans(TracingInterceptor):
    """Interceptor of a client and its workers."""

    def __init__(self) -> None:
        super().__init__()
        self.text_map_propagator, self.payload_converter = _PROPAGATOR, _HEADER

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - temporalio's name
        """Wrap the activity."""
        return _ActivitySpan(next, self)

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[_WorkflowSpans]:  # noqa: A002 - temporalio's name
        """Wrap the workflows."""
        super().workflow_interceptor_class(input)
        return _WorkflowSpans


class _WorkflowSpans(TracingWorkflowInboundInterceptor):
    def __init__(self, next: WorkflowInboundInterceptor) -> None:  # noqa: A002 - temporalio's name
        super().__init__(next)
        self.text_map_propagator, self.payload_converter = _PROPAGATOR, _HEADER


class _ActivitySpan(ActivityInboundInterceptor):
    """The SDK's span, without its four context managers.

    Attempts of an order without a trace header get the order's own trace: a raw Temporal client starts a workflow
    without that header, and each attempt would have a trace of its own.
    """

    def __init__(self, following: ActivityInboundInterceptor, root: TemporalSpans) -> None:
        super().__init__(following)
        self._root = root

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - temporalio's name
        step = input.args[0] if input.args else None
        if self._root.header_key in input.headers or not isinstance(step, StepInput) or not step.order_id:
            return await self._execute_in_span(input)
        with order_context(step.order_id):
            return await self._execute_in_span(input)

    async def _execute_in_span(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - temporalio's name
        info = activity.info()
        header = input.headers.get(self._root.header_key)
        context = _PROPAGATOR.extract(_HEADER.from_payloads([header])[0]) if header else None
        span = self._root.tracer.start_span(
            f"RunActivity:{info.activity_type}",
            context,
            kind=SpanKind.SERVER,
            attributes={
                "temporalActivityID": info.activity_id,
                "temporalWorkflowID": info.workflow_id or "",
                "temporalRunID": info.workflow_run_id or "",
            },
        )
        token = ambient.attach(trace.set_span_in_context(span, context))
        try:
            return await self.next.execute_activity(input)
        except Exception as error:
            span.record_exception(error)
            if not isinstance(error, ApplicationError) or error.category != ApplicationErrorCategory.BENIGN:
                span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
            raise
        finally:
            ambient.detach(token)
            span.end()
