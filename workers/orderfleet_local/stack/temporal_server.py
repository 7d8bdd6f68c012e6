"""Temporal's dev server as a part of the stack, with its history in a database file.

The stack and the test harness start it, and `status` asks whether it answers calls: gRPC's health check says
`SERVING` as long as the process runs. It must never listen anywhere but on 127.0.0.1.
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

_SECONDS_TO_ANSWER = 3.0
# Each reads another part of the server: the namespace's row, the visibility store, the history shard.
_CALLS = {
    "DescribeNamespace": "",
    "ListWorkflowExecutions": "/workflows?pageSize=1",
    "DescribeWorkflowExecution": "/workflows/orderfleet-stack-asks-whether-calls-are-answered",
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


def address(given: Ports) -> str:
    """Return the gRPC address, `host:port`, of a server that got the ports `given`."""
    return f"{ports.HOST}:{given['grpc']}"


def problem(given: Ports) -> str | None:
    """Return why a server that got the ports `given` answers no calls; None if it answers them.

    The calls go over the HTTP form of the gRPC API, which the same handlers answer.
    """
    for name, path in _CALLS.items():
        url = f"http://{ports.HOST}:{given['http']}/api/v1/namespaces/{NAMESPACE}{path}"
        reply = get(url, timeout=_SECONDS_TO_ANSWER)
        if reply is None:
            return f"{name} isn't answered within {_SECONDS_TO_ANSWER:.0f} s"
        status, text = reply
        # The workflow doesn't exist: that the history shard says so is the answer.
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
    """Return the server with its database file in `folder`; `ui_port` None leaves the Web UI out."""
    wanted = {"grpc": port, "http": 0, "metrics": 0}
    if ui_port is not None:
        wanted["ui"] = ui_port

    def command(given: Ports) -> Command:
        dynamic = [word for value in (*_DYNAMIC_CONFIG, *more_config) for word in ("--dynamic-config-value", value)]
        ui = ("--headless",) if ui_port is None else ("--ui-port", str(given["ui"]))
        return Command(
            (
                *(str(program), "server", "start-dev", "--ip", ports.HOST),
                *("--port", str(given["grpc"]), "--http-port", str(given["http"])),
                *("--metrics-port", str(given["metrics"]), *ui),
                # Not syncing survives a SIGKILL of the server and doubles its throughput.
                *("--db-filename", str(folder / "temporal.db"), "--sqlite-pragma", "synchronous=0"),
                *("--log-level", "warn", *dynamic),
            ),
            folder,
        )

    return Part(
        name=TEMPORAL,
        ports=wanted,
        command=command,
        ready=lambda given: problem(given) is None,
        prepare=lambda _: folder.mkdir(parents=True, exist_ok=True),
    )
