"""Temporal's dev server as a part of the stack, with its history in a database file.

The stack and the test harness start it. It must never listen anywhere but on 127.0.0.1.
"""

from __future__ import annotations

from pathlib import Path

from orderfleet.stack import ports
from orderfleet.stack.launch import Part, Ports, answers
from orderfleet.stack.processes import Command

TEMPORAL = "temporal"
DEFAULT_PORT = 7233
DEFAULT_UI_PORT = 8233
NAMESPACE = "default"

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

    def ready(given: Ports) -> bool:
        # The namespace is registered last, and its HTTP form needs no gRPC client here.
        return answers(f"http://{ports.HOST}:{given['http']}/api/v1/namespaces/{NAMESPACE}")

    return Part(
        name=TEMPORAL,
        ports=wanted,
        command=command,
        ready=ready,
        prepare=lambda _: folder.mkdir(parents=True, exist_ok=True),
    )
