"""Traces: the current one for metrics, logs and adapters, one for each order, and their export by a process.

An order's ids are derived from the order, so that no process has to store them. The trace id is the UID of the Order in
Kubernetes. An order without one belongs to the trace of the request that created it, if the request had a
`traceparent`; else its trace id is the first 16 bytes of SHA-256 over `orderfleet order ` and the order id. The id of
the root span is the first 8 bytes of SHA-256 over `orderfleet root ` and the trace id's 32 hexadecimal digits, so that
later spans can name it as their parent.

The OpenTelemetry SDK is loaded only when spans are exported; with tracing off, nothing is recorded.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import sha256
from typing import Final
from uuid import UUID

from opentelemetry import context as ambient
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, TraceFlags

TRACER: Final = trace.get_tracer("orderfleet")
"""Its spans are recorded only inside `export_spans`."""

FLUSH_TIMEOUT: Final = 3.0
"""Seconds that a process waits at its end for the last spans to be sent."""


def trace_id() -> str | None:
    """The 32 hexadecimal digits of the current trace, or None outside of a trace."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None


def exemplar() -> dict[str, str] | None:
    """The labels of an exemplar, or None when the current trace isn't sampled."""
    context = trace.get_current_span().get_span_context()
    if not (context.is_valid and context.trace_flags.sampled):
        return None
    return {"trace_id": trace.format_trace_id(context.trace_id)}


ORDER_ID: Final = "orderfleet.order.id"
REMOTE_PARENT: Final = ambient.create_key("orderfleet-remote-parent")
"""Set in the context of a request with a `traceparent`."""

_starting_root: ContextVar[SpanContext | None] = ContextVar("root span that is started", default=None)


class RootSpan:
    """The root span of an order that is started."""

    def __init__(self) -> None:
        self.exported = True
        """Set it to False for a start that found the order started before: a trace has one root."""


def trace_id_of(order_id: str, uid: str = "") -> int:
    """The trace id of an order.

    Args:
        order_id: of the order; the id is derived from it when `uid` is no UUID.
        uid: of the Order in Kubernetes; empty for an order without one.
    """
    try:
        return UUID(uid).int
    except ValueError:
        return int.from_bytes(sha256(f"orderfleet order {order_id}".encode()).digest()[:16])


def root_of(trace_id: int) -> SpanContext:
    """The context of the trace's root span, sampled or not as the sampler decides."""
    digits = trace.format_trace_id(trace_id)
    span_id = int.from_bytes(sha256(f"orderfleet root {digits}".encode()).digest()[:8])
    flags = TraceFlags(TraceFlags.SAMPLED if _sampled(trace_id) else TraceFlags.DEFAULT)
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)


@contextmanager
def order_span(order_id: str, uid: str, owner: str) -> Iterator[RootSpan]:
    """The root span around an order's start.

    A start that fails exports no root span: it is retried, and a trace has one root.

    Args:
        order_id: of the order.
        uid: of the Order in Kubernetes; empty for an order without one.
        owner: `namespace/name` of the Order; empty for an order without one.
    """
    root = RootSpan()
    if ambient.get_value(REMOTE_PARENT) and not uid:
        trace.get_current_span().set_attribute(ORDER_ID, order_id)
        yield root
        return
    request = trace.get_current_span().get_span_context()
    token = _starting_root.set(root_of(trace_id_of(order_id, uid)))
    try:
        span = TRACER.start_span(
            "order",
            context=Context(),
            kind=SpanKind.PRODUCER,
            attributes={ORDER_ID: order_id, "orderfleet.order.owner": owner},
            links=[Link(request)] if request.is_valid else [],
        )
    finally:
        _starting_root.reset(token)
    with trace.use_span(span, record_exception=False, set_status_on_exception=False):
        yield root
    if root.exported:
        span.end()


def derived_trace_id(order_id: str) -> str | None:
    """The trace id (hexadecimal) of an order without a UID; None where the request's own trace is used."""
    return None if ambient.get_value(REMOTE_PARENT) else trace.format_trace_id(trace_id_of(order_id))


@contextmanager
def order_context(order_id: str, uid: str = "") -> Iterator[None]:
    """Make spans inside children of the order's root span, unless another span is current.

    Args:
        order_id: of the order.
        uid: of the Order in Kubernetes; empty for an order without one.
    """
    if trace.get_current_span().get_span_context().is_valid:
        yield
        return
    with trace.use_span(NonRecordingSpan(root_of(trace_id_of(order_id, uid)))):
        yield


@contextmanager
def untraced() -> Iterator[None]:
    """Record no spans inside, also none of workflows that are started inside: for a workflow that never ends."""
    unsampled = SpanContext(1, 1, is_remote=True, trace_flags=TraceFlags(TraceFlags.DEFAULT))
    with trace.use_span(NonRecordingSpan(unsampled)):
        yield


def starting_root() -> SpanContext | None:
    """The ids for a root span that is started now; None for any other span."""
    return _starting_root.get()


def _sampled(trace_id: int) -> bool:
    # Only the SDK's provider has a sampler, and the SDK isn't loaded while tracing is off.
    sampler = getattr(trace.get_tracer_provider(), "sampler", None)
    return sampler is not None and bool(sampler.should_sample(Context(), trace_id, "order").decision.is_sampled())


@contextmanager
def export_spans(endpoint: str, role: str, *, environment: str, ratio: float) -> Iterator[None]:
    """Export spans while the context is open, and at its end those that are left; once per process.

    Args:
        endpoint: `host:port`, `http://host:port` or `https://host:port`; empty exports nothing.
        role: of the process.
        environment: where it runs.
        ratio: share of the traces that are sampled, from 0 to 1.
    """
    if not endpoint:
        yield
        return
    from orderfleet.observability.span_export import make_provider  # noqa: PLC0415 - loads the SDK and grpc

    provider = make_provider(endpoint, role, environment=environment, ratio=ratio)
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        # The SDK waits half a minute for a receiver that is unavailable; a daemon thread does not delay the exit.
        flushing = threading.Thread(target=provider.shutdown, daemon=True)
        flushing.start()
        flushing.join(FLUSH_TIMEOUT)
