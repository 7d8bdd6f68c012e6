"""One trace per order. Which trace an order's is follows from the order, so that nothing has to be stored.

The trace id is the UID of the Order in Kubernetes. An order without one belongs to the trace of the
request that brought it, if a `traceparent` came with it; else its trace id is the first 16 bytes of
SHA-256 over `orderfleet order ` and the order id. The id of its root span is the first 8 bytes of
SHA-256 over `orderfleet root ` and the trace id's 32 hexadecimal digits, so whoever comes later can
name the root as its parent. `OrderClient` calls this; with tracing off, nothing happens.
"""

from __future__ import annotations

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

from orderfleet.observability.tracing import TRACER

ORDER_ID: Final = "orderfleet.order.id"
REMOTE_PARENT: Final = ambient.create_key("orderfleet-traceparent-came-along")
"""In a context whose trace a caller began."""

_beginning: ContextVar[SpanContext | None] = ContextVar("root span that begins now", default=None)


class Beginning:
    """The start of an order, as its root span tells it."""

    def __init__(self) -> None:
        self.told = True
        """Whether to tell it; False for a start that found the order begun before."""


def trace_id_of(order_id: str, uid: str = "") -> int:
    """The trace of an order: its UID if that is one, else made from the order id."""
    try:
        return UUID(uid).int
    except ValueError:
        return int.from_bytes(sha256(f"orderfleet order {order_id}".encode()).digest()[:16])


def root_of(trace_id: int) -> SpanContext:
    """The root span of an order's trace, kept or not as the sampler decides."""
    digits = trace.format_trace_id(trace_id)
    span_id = int.from_bytes(sha256(f"orderfleet root {digits}".encode()).digest()[:8])
    flags = TraceFlags(TraceFlags.SAMPLED if _kept(trace_id) else TraceFlags.DEFAULT)
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)


@contextmanager
def order_span(order_id: str, uid: str, owner: str) -> Iterator[Beginning]:
    """Stands around an order's start; what happens in it belongs to the order's trace.

    A start that fails tells no root span: it is tried again, and one trace has one root.
    """
    began = Beginning()
    if ambient.get_value(REMOTE_PARENT) and not uid:
        trace.get_current_span().set_attribute(ORDER_ID, order_id)
        yield began
        return
    request = trace.get_current_span().get_span_context()
    token = _beginning.set(root_of(trace_id_of(order_id, uid)))
    try:
        root = TRACER.start_span(
            "order",
            context=Context(),
            kind=SpanKind.PRODUCER,
            attributes={ORDER_ID: order_id, "orderfleet.order.owner": owner},
            links=[Link(request)] if request.is_valid else [],
        )
    finally:
        _beginning.reset(token)
    with trace.use_span(root, record_exception=False, set_status_on_exception=False):
        yield began
    if began.told:
        root.end()


def begun_trace(order_id: str) -> str | None:
    """The trace (hexadecimal) of an order without a UID that was begun here; None where it is the caller's."""
    return None if ambient.get_value(REMOTE_PARENT) else trace.format_trace_id(trace_id_of(order_id))


@contextmanager
def order_context(order_id: str, uid: str = "") -> Iterator[None]:
    """What happens in it belongs to the order's trace, unless it belongs to another one already."""
    if trace.get_current_span().get_span_context().is_valid:
        yield
        return
    with trace.use_span(NonRecordingSpan(root_of(trace_id_of(order_id, uid)))):
        yield


@contextmanager
def untraced() -> Iterator[None]:
    """What happens in it leaves no trace, and what it starts doesn't either: for what never ends."""
    nobody = SpanContext(1, 1, is_remote=True, trace_flags=TraceFlags(TraceFlags.DEFAULT))
    with trace.use_span(NonRecordingSpan(nobody)):
        yield


def root_that_begins() -> SpanContext | None:
    """The root that a span made now is to be, if it is to be one."""
    return _beginning.get()


def _kept(trace_id: int) -> bool:
    # Only the SDK's provider has a sampler, and the SDK isn't loaded while tracing is off.
    sampler = getattr(trace.get_tracer_provider(), "sampler", None)
    return sampler is not None and bool(sampler.should_sample(Context(), trace_id, "order").decision.is_sampled())
