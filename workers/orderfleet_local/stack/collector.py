"""An OpenTelemetry collector as an optional part of the stack: it receives the traces of every process.

It writes each span to its log, which `orderfleet stack logs otelcol` shows; the stack has no trace store. It must
never listen anywhere but on 127.0.0.1.
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
    """Return the collector on PATH, of either distribution; None if there is none."""
    return next((Path(found) for found in map(shutil.which, _PROGRAMS) if found), None)


def endpoint(assigned: Ports) -> str:
    """Return its OTLP endpoint over gRPC, `host:port`."""
    return f"{ports.HOST}:{assigned['otlp']}"


def part(folder: Path, program: Path, *, port: int = DEFAULT_PORT) -> Part:
    """Return the part, with its configuration in `folder`."""
    return Part(
        name=COLLECTOR,
        ports={"otlp": port},
        command=lambda _: Command((str(program), "--config", str(folder / "otelcol.json")), folder),
        # The collector listens once it accepts spans, and `launch` waits until it listens.
        ready=lambda _: True,
        prepare=lambda assigned: _configure(folder, assigned),
    )


def _configure(folder: Path, assigned: Ports) -> None:
    # JSON is valid YAML.
    config = {
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": endpoint(assigned)}}}},
        "exporters": {"debug": {"verbosity": "detailed"}},
        "service": {
            # Metrics of the collector would need a port, and nothing scrapes them.
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["debug"]}},
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "otelcol.json").write_text(json.dumps(config, indent=2))
