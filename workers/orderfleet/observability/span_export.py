"""The export of spans over OTLP: ids, sampling, redaction and resource attributes.

It must never export an exception's message, which may name a customer: the audit trail keeps messages of expected
errors, and the log keeps tracebacks of unexpected ones.
"""

from __future__ import annotations

import logging
import os
import platform
import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, Status, TraceState
from opentelemetry.util.types import Attributes

from orderfleet import __version__
from orderfleet.observability.tracing import starting_root

_EXCEPTION: Final = "exception"

_KEPT_ATTRIBUTES: Final = frozenset({"exception.type", "exception.escaped"})
"""Attributes of an exception event, by OpenTelemetry's conventions, without `exception.message` and `.stacktrace`."""


class RedactingExporter(SpanExporter):
    """Redacts exception messages from exported spans.

    Args:
        make: makes the exporter that sends the redacted spans. It is called with the first batch, in the thread of the
            export, so that its imports don't delay a worker's first task.
    """

    def __init__(self, make: Callable[[], SpanExporter]) -> None:
        self._make = make
        self._exporter: SpanExporter | None = None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send the redacted spans."""
        self._exporter = self._exporter or self._make()
        return self._exporter.export([_redacted(span) for span in spans])

    def shutdown(self) -> None:
        """Shut down the exporter, if it was made."""
        if self._exporter is not None:
            self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the exporter, if it was made."""
        return self._exporter is None or self._exporter.force_flush(timeout_millis)


def _redacted(span: ReadableSpan) -> ReadableSpan:
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
    kept = {name: value for name, value in (event.attributes or {}).items() if name in _KEPT_ATTRIBUTES}
    return Event(event.name, kept, event.timestamp)


QUEUE: Final = 4096
"""Maximum number of spans waiting for the receiver; further ones are dropped."""

DELAY: Final = 0.5
"""Seconds until a span is sent: short, so that traces of running orders are visible."""

TIMEOUT: Final = 5.0
"""Seconds to send one batch."""

_LOG_INTERVAL: Final = 60.0
"""Seconds between two equal messages in the log."""

_RANDOM_BITS: Final = 56
"""The random last bits of a trace id (W3C Trace Context, level 2). The SDK's own ratio sampler compares the last 64
bits, of which a UUID sets the first two, so it would sample none or too many."""


class OrderIds(RandomIdGenerator):
    """Derived ids for the root span of an order, random ids for all others."""

    def generate_trace_id(self) -> int:
        """The trace id of the root span that is started, or a random one."""
        root = starting_root()
        return super().generate_trace_id() if root is None else root.trace_id

    def generate_span_id(self) -> int:
        """The span id of the root span that is started, or a random one."""
        root = starting_root()
        return super().generate_span_id() if root is None else root.span_id


class RatioSampler(Sampler):
    """Samples a share of the traces, the same ones in every process.

    Args:
        ratio: from 0, none, to 1, all.
    """

    def __init__(self, ratio: float) -> None:
        self._bound = round(ratio * 2**_RANDOM_BITS)

    def should_sample(
        self,
        parent_context: Context | None,  # noqa: ARG002 - the SDK's signature
        trace_id: int,
        name: str,  # noqa: ARG002
        kind: SpanKind | None = None,  # noqa: ARG002
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,  # noqa: ARG002
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Decide by the trace id alone."""
        sampled = trace_id % 2**_RANDOM_BITS < self._bound
        return SamplingResult(Decision.RECORD_AND_SAMPLE if sampled else Decision.DROP, attributes, trace_state)

    def get_description(self) -> str:
        """The sampler's name and ratio, for the SDK's log."""
        return f"RatioSampler({self._bound / 2**_RANDOM_BITS:g})"


class OncePerMinute(logging.Filter):
    """Passes a log message at most once a minute."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, object], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the message passes. Message templates are constants of the library, so their number is bounded."""
        now, key = time.monotonic(), (record.name, record.msg)
        if now - self._last.get(key, -_LOG_INTERVAL) < _LOG_INTERVAL:
            return False
        self._last[key] = now
        return True


def _otlp_exporter(endpoint: str) -> SpanExporter:
    """Sends spans over OTLP and gRPC. The import takes 6 % of a worker's start-up CPU."""
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

    return OTLPSpanExporter(endpoint=endpoint, timeout=TIMEOUT)


def make_provider(endpoint: str, role: str, *, environment: str, ratio: float) -> TracerProvider:
    """A tracer provider that exports in a thread of its own.

    Args:
        endpoint: `host:port`, or a URL whose scheme selects TLS.
        role: of the process.
        environment: where it runs.
        ratio: share of the traces that are sampled, from 0 to 1.
    """
    for name in ("opentelemetry.exporter.otlp.proto.grpc.exporter", "opentelemetry.sdk._shared_internal"):
        logging.getLogger(name).addFilter(OncePerMinute())
    provider = TracerProvider(
        resource=resource(role, environment),
        sampler=ParentBased(RatioSampler(ratio)),
        id_generator=OrderIds(),
        shutdown_on_exit=False,
    )
    url = endpoint if "://" in endpoint else f"http://{endpoint}"
    processor = BatchSpanProcessor(
        RedactingExporter(partial(_otlp_exporter, url)),
        max_queue_size=QUEUE,
        schedule_delay_millis=DELAY * 1000,
        max_export_batch_size=512,
    )
    provider.add_span_processor(processor)
    return provider


def resource(role: str, environment: str) -> Resource:
    """The process as an OpenTelemetry resource; OTEL_RESOURCE_ATTRIBUTES adds to it."""
    return Resource.create(
        {
            "service.namespace": "orderfleet",
            "service.name": f"orderfleet-{role}",
            "service.version": __version__,
            "service.instance.id": str(uuid.uuid4()),
            "deployment.environment.name": environment,
            "host.name": platform.node(),
            "process.pid": os.getpid(),
        }
    )
