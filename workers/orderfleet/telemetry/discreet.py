"""Takes other people's words out of spans before they leave: of an error they tell its class and nothing more.

`export` puts it before whatever sends them. What a provider answers, and what an order's error says, may name a
customer; the audit trail keeps it, and the log keeps the traceback of what wasn't thought of.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Status

_EXCEPTION: Final = "exception"
_TOLD: Final = frozenset({"exception.type", "exception.escaped"})
"""Attributes of an exception's event, by OpenTelemetry's conventions; its message and traceback are the others."""


class Discreet(SpanExporter):
    """Hands spans on to another exporter, without words.

    Args:
        exporter: sends them.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send the spans."""
        return self._exporter.export([_without_words(span) for span in spans])

    def shutdown(self) -> None:
        """End the other."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Have the other send what it holds."""
        return self._exporter.force_flush(timeout_millis)


def _without_words(span: ReadableSpan) -> ReadableSpan:
    if not span.status.description and all(event.name != _EXCEPTION for event in span.events):
        return span
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=span.attributes,
        events=[_event(event) for event in span.events],
        links=span.links,
        kind=span.kind,
        # The SDK writes `Class: message`.
        status=Status(span.status.status_code, (span.status.description or "").partition(":")[0] or None),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _event(event: Event) -> Event:
    if event.name != _EXCEPTION:
        return event
    told = {name: value for name, value in (event.attributes or {}).items() if name in _TOLD}
    return Event(event.name, told, event.timestamp)
