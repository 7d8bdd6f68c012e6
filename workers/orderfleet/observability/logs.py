"""The log of a process: JSON lines, or plain text on a terminal. Library loggers use the same renderer.

It must never show local variables, which can hold addresses of customers and passwords.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import structlog

from orderfleet.observability.tracing import trace_id
from orderfleet.settings import Settings
from orderfleet.settings.processes import LogFormat

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor

_TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


def _add_trace(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Add the current trace id, unless the event or the bound context has one."""
    current = trace_id()
    if current is not None:
        event.setdefault("trace_id", current)
    return event


def _add_temporal_context(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Add the ids that Temporal's SDK attaches to the log records of an activity or a workflow."""
    record = event.get("_record")
    attached = getattr(record, "temporal_activity", None) or getattr(record, "temporal_workflow", None) or {}
    for name, field in (("workflow_id", "workflow_id"), ("activity_type", "activity"), ("attempt", "attempt")):
        if name in attached:
            event.setdefault(field, attached[name])
    return event


def _is_no_failed_attempt(record: logging.LogRecord) -> bool:
    # The SDK logs a failed attempt outside of its span; our interceptor logs it inside, with the trace id.
    return getattr(record, "__temporal_error_identifier", None) != "ActivityFailure"


def configure(settings: Settings, role: str) -> None:
    """Write all logs of this process to standard error, once per process.

    Args:
        settings: level and format.
        role: of the process; each event has it.
    """
    console = settings.log_format is LogFormat.CONSOLE or (
        settings.log_format is LogFormat.AUTO and sys.stderr.isatty()
    )
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _add_trace,
        _add_temporal_context,
        # `k8s_ref` names the object of an entry of kopf; other attributes that libraries attach are left out.
        structlog.stdlib.ExtraAdder(allow=("k8s_ref",)),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    renderers: list[Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if console
        else [_TRACEBACKS, structlog.processors.JSONRenderer()]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    logging.basicConfig(handlers=[handler], level=settings.log_level.upper(), force=True)
    # At DEBUG the SDK logs results and error messages of activities, which can name customers.
    logging.getLogger("temporalio.worker").setLevel(max(logging.getLogger().level, logging.INFO))
    logging.getLogger("temporalio.activity").addFilter(_is_no_failed_attempt)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(role=role)
