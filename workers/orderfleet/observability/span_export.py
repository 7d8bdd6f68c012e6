"""Takes other people's words out of spans before they leave: of an error they tell its class and nothing more.

`export` puts it before whatever sends them. What a provider answers, and what an order's error says, may name a
customer; the audit trail keeps it, and the log keeps the traceback of what wasn't thought of.
"""

from __future__ import annotations

import logging
import os
import platform
import time
import uuid
from collections.abc import Sequence
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
from orderfleet.observability.order_trace import root_that_begins

_EXCEPTION: Final = "exception"

_TOLD: Final = frozenset({"exception.type", "exception.escaped"})

"""Attributes of an exception's event, by OpenTelemetry's conventions; its message and traceback are the others."""


class RedactingExporter(SpanExporter):
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


QUEUE: Final = 4096

"""Spans that wait for the receiver at most."""

DELAY: Final = 0.5

"""Seconds until a span is sent, so that an order under way can be looked at."""

TIMEOUT: Final = 5.0

"""Seconds for one batch."""

_QUIET: Final = 60.0

"""Seconds between two lines of log on the same trouble."""

_RANDOM_BITS: Final = 56

"""Of a trace id's last bits (W3C Trace Context, level 2). The 64 that the SDK's own ratio sampler looks at
begin, in a UUID, with two bits that are always the same, so it would keep none or too many."""


class OrderIds(RandomIdGenerator):
    """Ids of spans: an order's own for its root, random ones for all others."""

    def generate_trace_id(self) -> int:
        """The trace id of the order that begins now, or a random one."""
        root = root_that_begins()
        return super().generate_trace_id() if root is None else root.trace_id

    def generate_span_id(self) -> int:
        """The span id of the order that begins now, or a random one."""
        root = root_that_begins()
        return super().generate_span_id() if root is None else root.span_id


class RatioSampler(Sampler):
    """Keeps a share of the traces, the same ones in every process.

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
        kept = trace_id % 2**_RANDOM_BITS < self._bound
        return SamplingResult(Decision.RECORD_AND_SAMPLE if kept else Decision.DROP, attributes, trace_state)

    def get_description(self) -> str:
        """For the SDK's own logs."""
        return f"KeptShare({self._bound / 2**_RANDOM_BITS:g})"


class OncePerMinute(logging.Filter):
    """Lets the first of the same lines of log pass each minute."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, object], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line passes; their texts are few, as they are written in a library's source."""
        now, key = time.monotonic(), (record.name, record.msg)
        if now - self._last.get(key, -_QUIET) < _QUIET:
            return False
        self._last[key] = now
        return True


class LazyOtlpExporter(SpanExporter):
    """Sends to an OTLP receiver over gRPC, which it loads with the first spans, in the thread that sends them.

    A worker would wait for that before its first task otherwise: it is 6 % of the CPU that its imports take.

    Args:
        endpoint: of the receiver, with a scheme; TLS for https.
    """

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._exporter: SpanExporter | None = None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send the spans."""
        if self._exporter is None:
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

            self._exporter = OTLPSpanExporter(endpoint=self._endpoint, timeout=TIMEOUT)
        return self._exporter.export(spans)

    def shutdown(self) -> None:
        """End what was begun."""
        if self._exporter is not None:
            self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is held here."""
        return self._exporter is None or self._exporter.force_flush(timeout_millis)


def make_provider(endpoint: str, role: str, *, environment: str, ratio: float) -> TracerProvider:
    """The provider of a role's spans; it connects in a thread of its own."""
    for name in ("opentelemetry.exporter.otlp.proto.grpc.exporter", "opentelemetry.sdk._shared_internal"):
        logging.getLogger(name).addFilter(OncePerMinute())
    provider = TracerProvider(
        resource=resource(role, environment),
        sampler=ParentBased(RatioSampler(ratio)),
        id_generator=OrderIds(),
        shutdown_on_exit=False,
    )
    processor = BatchSpanProcessor(
        RedactingExporter(LazyOtlpExporter(_with_scheme(endpoint))),
        max_queue_size=QUEUE,
        schedule_delay_millis=DELAY * 1000,
        max_export_batch_size=512,
    )
    provider.add_span_processor(processor)
    return provider


def resource(role: str, environment: str) -> Resource:
    """What sends the spans, by OpenTelemetry's conventions; OTEL_RESOURCE_ATTRIBUTES adds to it."""
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


def _with_scheme(endpoint: str) -> str:
    return endpoint if "://" in endpoint else f"http://{endpoint}"
