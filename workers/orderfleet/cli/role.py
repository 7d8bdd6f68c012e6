"""What all long-running commands share: settings, logs, the event loop, and a failure told in the log.

`worker`, `operator` and `api` call it. A role that fails is told as one log record, because that is
what a cluster's log store can read, and ends the process with 1.
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


def run(name: str, role: Role, settings: Settings, *, measured: bool = True) -> None:
    """Run a role until SIGTERM or SIGINT and its drain; exit 1 when it fails.

    Args:
        name: of the role.
        role: what to run.
        settings: of the process.
        measured: whether it has metrics of its own.
    """
    import structlog  # noqa: PLC0415 - `--help` doesn't need it

    from orderfleet.domain.errors import OrderfleetError  # noqa: PLC0415
    from orderfleet.observability import logs  # noqa: PLC0415
    from orderfleet.observability.exposition import expose  # noqa: PLC0415
    from orderfleet.observability.tracing import export_spans  # noqa: PLC0415
    from orderfleet.process import run_role  # noqa: PLC0415

    logs.configure(settings, name)
    if measured:
        expose(name, build=settings.worker_build_id)
    try:
        with export_spans(settings.otlp_endpoint, name, environment=settings.environment, ratio=settings.trace_ratio):
            run_role(lambda stop: role(settings, stop))
    except OrderfleetError:
        # The command line says these in a line.
        raise
    except Exception:  # noqa: BLE001 - a log record instead of a traceback on the terminal
        structlog.get_logger().exception("the role failed")
        raise typer.Exit(Exit.FAILED) from None
