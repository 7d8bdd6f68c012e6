"""Temporal's dev server as a part of the stack, with its data in a SQLite file.

Whether it works is checked by real calls, because gRPC's health check returns `SERVING` while the process runs. It
must never listen anywhere but on 127.0.0.1.
"""

from __future__ import annotations

import http
import json
from pathlib import Path

from orderfleet_local.stack import ports
from orderfleet_local.stack.launch import Part, Ports, get
from orderfleet_local.stack.processes import Command

TEMPORAL = "temporal"
DEFAULT_PORT = 7233
DEFAULT_UI_PORT = 8233
NAMESPACE = "default"

_RESPONSE_TIMEOUT = 3.0
# Each call uses another part of the server: the namespace's row, the visibility store, the history shard.
_CALLS = {
    "DescribeNamespace": "",
    "ListWorkflowExecutions": "/workflows?pageSize=1",
    "DescribeWorkflowExecution": "/workflows/orderfleet-stack-health-check",
}

# By default the server polls its queues at most 20 times a second, which adds 50 ms to every
# step of an order; one partition a queue saves forwarding between partitions.
_DYNAMIC_CONFIG = (
    "history.transferProcessorMaxPollRPS=2000",
    "history.timerProcessorMaxPollRPS=2000",
    "history.visibilityProcessorMaxPollRPS=2000",
    "system.enableActivityEagerExecution=true",
    "matching.numTaskqueueReadPartitions=1",
    "matching.numTaskqueueWritePartitions=1",
)


def address(assigned: Ports) -> str:
    """Return the gRPC address, `host:port`, of the server with the ports `assigned`."""
    return f"{ports.HOST}:{assigned['grpc']}"


def problem(assigned: Ports) -> str | None:
    """Return why the server with the ports `assigned` doesn't answer calls; None if it does.

    The calls use the HTTP form of the gRPC API, which has the same handlers.
    """
    for name, path in _CALLS.items():
        url = f"http://{ports.HOST}:{assigned['http']}/api/v1/namespaces/{NAMESPACE}{path}"
        response = get(url, timeout=_RESPONSE_TIMEOUT)
        if response is None:
            return f"{name} isn't answered within {_RESPONSE_TIMEOUT:.0f} s"
        status, text = response
        # The workflow doesn't exist, so a working history shard returns 404.
        absent = status == http.HTTPStatus.NOT_FOUND and "Namespace" not in text and path.startswith("/workflows/")
        if status != http.HTTPStatus.OK and not absent:
            return f"{name} returns {status}: {_message(text)}"
    return None


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text.strip()[:200]


def part(
    folder: Path,
    program: Path,
    *,
    port: int = DEFAULT_PORT,
    ui_port: int | None = DEFAULT_UI_PORT,
    more_config: tuple[str, ...] = (),
) -> Part:
    """Return the part.

    Args:
        folder: of its database file.
        program: the `temporal` command.
        port: wanted gRPC port; 0: any.
        ui_port: wanted port of the Web UI; None: no Web UI.
        more_config: dynamic config values, in addition to those of the stack.
    """
    wanted = {"grpc": port, "http": 0, "metrics": 0}
    if ui_port is not None:
        wanted["ui"] = ui_port

    def command(assigned: Ports) -> Command:
        options = (("--dynamic-config-value", value) for value in (*_DYNAMIC_CONFIG, *more_config))
        ui = ("--headless",) if ui_port is None else ("--ui-port", str(assigned["ui"]))
        return Command(
            (
                *(str(program), "server", "start-dev", "--ip", ports.HOST),
                *("--port", str(assigned["grpc"]), "--http-port", str(assigned["http"])),
                *("--metrics-port", str(assigned["metrics"]), *ui),
                # Without syncing, data survive a SIGKILL of the server but no crash of the machine; throughput doubles.
                *("--db-filename", str(folder / "temporal.db"), "--sqlite-pragma", "synchronous=0"),
                *("--log-level", "warn", *(argument for option in options for argument in option)),
            ),
            folder,
        )

    return Part(
        name=TEMPORAL,
        ports=wanted,
        command=command,
        ready=lambda assigned: problem(assigned) is None,
        prepare=lambda _: folder.mkdir(parents=True, exist_ok=True),
    )
