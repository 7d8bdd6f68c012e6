"""Runs a long-running process: logs, metrics, traces, the event loop.

A role that fails writes one log record, which a cluster's log store can read, and the process exits with 1.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import typer

from orderfleet.cli.errors import Exit

if TYPE_CHECKING:
    from orderfleet.process import Stop
    from orderfleet.settings import Settings

Role = Callable[["Settings", "Stop"], Coroutine[Any, Any, None]]


def run(name: str, role: Role, settings: Settings, *, with_metrics: bool = True) -> None:
    """Run a role until SIGTERM or SIGINT and until it has drained; exit 1 when it fails.

    Args:
        name: of the role, in logs, metrics and traces.
        role: the coroutine function to run.
        settings: of the process.
        with_metrics: whether to serve metrics.

    Raises:
        OrderfleetError: the role can't run as it is set up; `main` prints the message.
    """
    import structlog  # noqa: PLC0415 - `--help` doesn't need it

    from orderfleet.domain.errors import OrderfleetError  # noqa: PLC0415
    from orderfleet.observability import logs  # noqa: PLC0415
    from orderfleet.observability.exposition import expose  # noqa: PLC0415
    from orderfleet.observability.tracing import export_spans  # noqa: PLC0415
    from orderfleet.process import run_role  # noqa: PLC0415

    logs.configure(settings, name)
    if with_metrics:
        expose(name, build=settings.worker_build_id)
    try:
        with export_spans(settings.otlp_endpoint, name, environment=settings.environment, ratio=settings.trace_ratio):
            run_role(lambda stop: role(settings, stop))
    except OrderfleetError:
        # `main` prints these in one line.
        raise
    except Exception:  # noqa: BLE001 - a log record instead of a traceback on the terminal
        structlog.get_logger().exception("the role failed")
        raise typer.Exit(Exit.FAILED) from None
