"""An OpenTelemetry collector as a part of the stack where one is on PATH: it takes every process' traces.

It writes each span into its log, which `orderfleet stack logs otelcol` shows; the stack has no trace store.
`offers` says that it may be left out. It must never listen anywhere but on 127.0.0.1.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from orderfleet_local.stack import ports
from orderfleet_local.stack.launch import Part, Ports
from orderfleet_local.stack.processes import Command

COLLECTOR = "otelcol"
DEFAULT_PORT = 4317

_PROGRAMS = (COLLECTOR, "otelcol-contrib")


def find() -> Path | None:
    """Return the collector on PATH, in either of its usual distributions."""
    return next((Path(found) for found in map(shutil.which, _PROGRAMS) if found), None)


def endpoint(given: Ports) -> str:
    """Return where it takes OTLP over gRPC, as `host:port`."""
    return f"{ports.HOST}:{given['otlp']}"


def part(folder: Path, program: Path, *, port: int = DEFAULT_PORT) -> Part:
    """Return the collector with its configuration in `folder`."""
    return Part(
        name=COLLECTOR,
        ports={"otlp": port},
        command=lambda _: Command((str(program), "--config", str(folder / "otelcol.json")), folder),
        # It listens once it takes spans, and `launch` waits for that.
        ready=lambda _: True,
        prepare=lambda given: _configure(folder, given),
    )


def _configure(folder: Path, given: Ports) -> None:
    # JSON is YAML too.
    config = {
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": endpoint(given)}}}},
        "exporters": {"debug": {"verbosity": "detailed"}},
        "service": {
            # Its own metrics would take a port that nobody here asks.
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["debug"]}},
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "otelcol.json").write_text(json.dumps(config, indent=2))
