"""Logs: one JSON object a line, or readable lines on a terminal. Set up once, at the start.

Library loggers go through the same renderer, so that a role's output has one shape.
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

# Without the values of local variables: they hold addresses of customers and passwords of databases.
_TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


def _add_trace(_logger: object, _method: str, event: EventDict) -> EventDict:
    """The running trace, unless whoever wrote the line, or bound its context, named another."""
    found = trace_id()
    if found is not None:
        event.setdefault("trace_id", found)
    return event


def _add_whose(_logger: object, _method: str, event: EventDict) -> EventDict:
    """What Temporal's SDK knows of the activity or the workflow that a line of its own is about."""
    record = event.get("_record")
    about = getattr(record, "temporal_activity", None) or getattr(record, "temporal_workflow", None) or {}
    for name, ours in (("workflow_id", "workflow_id"), ("activity_type", "activity"), ("attempt", "attempt")):
        if name in about:
            event.setdefault(ours, about[name])
    return event


def _is_ours_to_tell(record: logging.LogRecord) -> bool:
    # The SDK tells of each failed attempt outside of its span; the worker does so inside, in one line.
    return getattr(record, "__temporal_error_identifier", None) != "ActivityFailure"


def configure(settings: Settings, role: str) -> None:
    """Send all logs of this process, ours and libraries', to standard error as `role`."""
    console = settings.log_format is LogFormat.CONSOLE or (
        settings.log_format is LogFormat.AUTO and sys.stderr.isatty()
    )
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _add_trace,
        _add_whose,
        # Of what libraries attach to a record, only what a reader can use.
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
    # At debug it prints what activities answer, and the words that they fail with.
    logging.getLogger("temporalio.worker").setLevel(max(logging.getLogger().level, logging.INFO))
    logging.getLogger("temporalio.activity").addFilter(_is_ours_to_tell)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(role=role)
