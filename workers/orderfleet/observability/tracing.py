"""The current trace for metrics, logs and adapters, and the export of spans for the lifetime of a process.

The OpenTelemetry SDK is loaded only when spans are exported.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace

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
