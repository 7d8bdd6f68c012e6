"""Spans of Temporal's calls, workflows and activities: the SDK's own, at a lower price. `runtime.temporal` puts it in.

The SDK hands a trace on as W3C Trace Context and as baggage, and writes the header with a converter that asks
each of its parts in turn. Nothing of ours reads baggage, and a header is JSON: it stays as it was, byte for byte.
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

_PROPAGATOR: Final = TraceContextTextMapPropagator()


class _TraceHeader(CompositePayloadConverter):
    """The header that carries a trace: an object of texts. Any client may send any other one, which carries none."""

    def __init__(self) -> None:
        super().__init__(JSONPlainPayloadConverter())

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        try:
            carriers = super().from_payloads(payloads, type_hints)
        except Exception:  # noqa: BLE001 - whatever is wrong with it; a trace is not worth a failed workflow task
            return [{} for _ in payloads]
        return [
            {name: value for name, value in carrier.items() if isinstance(value, str)}
            if isinstance(carrier, dict)
            else {}
            for carrier in carriers
        ]


_HEADER: Final = _TraceHeader()


class TemporalSpans(TracingInterceptor):
    """For a client, and so for its workers."""

    def __init__(self) -> None:
        super().__init__()
        self.text_map_propagator, self.payload_converter = _PROPAGATOR, _HEADER

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - temporalio's name
        """Wrap the activity."""
        return _OfActivity(next, self)

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[_OfWorkflow]:  # noqa: A002 - temporalio's name
        """Wrap the workflows."""
        super().workflow_interceptor_class(input)
        return _OfWorkflow


class _OfWorkflow(TracingWorkflowInboundInterceptor):
    def __init__(self, next: WorkflowInboundInterceptor) -> None:  # noqa: A002 - temporalio's name
        super().__init__(next)
        self.text_map_propagator, self.payload_converter = _PROPAGATOR, _HEADER


class _OfActivity(ActivityInboundInterceptor):
    """The SDK's span, without the four context managers that it makes one with."""

    def __init__(self, following: ActivityInboundInterceptor, root: TemporalSpans) -> None:
        super().__init__(following)
        self._root = root

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - temporalio's name
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
            return await super().execute_activity(input)
        except Exception as error:
            span.record_exception(error)
            if not isinstance(error, ApplicationError) or error.category != ApplicationErrorCategory.BENIGN:
                span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
            raise
        finally:
            ambient.detach(token)
            span.end()
