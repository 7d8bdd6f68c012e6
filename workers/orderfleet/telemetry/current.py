"""The trace that the running code belongs to. Observers and logs ask it; it never begins one."""

from __future__ import annotations

from typing import Final

from opentelemetry import trace

TRACER: Final = trace.get_tracer("orderfleet")
"""Makes spans that go nowhere until `tracing` is set up."""


def trace_id() -> str | None:
    """The 32 hexadecimal digits of the current trace, or None outside of any."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None


def exemplar() -> dict[str, str] | None:
    """Labels of an exemplar, when the current trace is one that is kept."""
    context = trace.get_current_span().get_span_context()
    if not (context.is_valid and context.trace_flags.sampled):
        return None
    return {"trace_id": trace.format_trace_id(context.trace_id)}
