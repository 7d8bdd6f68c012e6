"""The trace that the running code belongs to. Observers and logs ask it; it never begins one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
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


LAST_WORDS: Final = 3.0

"""Seconds that a process waits at its end for what is left to be sent."""


@contextmanager
def sending(endpoint: str, role: str, *, environment: str, ratio: float) -> Iterator[None]:
    """Send spans while the context is open, then what is left within `LAST_WORDS`; once a process.

    Args:
        endpoint: `host:port`, `http://host:port` or `https://host:port`; empty sends nothing.
        role: what the process is.
        environment: where it runs.
        ratio: share of the traces that are kept.
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
        # In a thread that is left behind: with a receiver that is away, the SDK waits half a minute.
        last = threading.Thread(target=provider.shutdown, daemon=True)
        last.start()
        last.join(LAST_WORDS)
