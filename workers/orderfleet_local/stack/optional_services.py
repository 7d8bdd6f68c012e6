"""Optional services: Prometheus and an OpenTelemetry collector, which a stack has only if they are installed.

Nothing needs them, so they must never be downloaded or built, and must never listen anywhere but on 127.0.0.1.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from orderfleet_local.stack import paths, ports
from orderfleet_local.stack.launch import Part, Ports, answers
from orderfleet_local.stack.processes import Command

PROMETHEUS = "prometheus"
COLLECTOR = "otelcol"

_TARGETS = "targets.json"
_JOBS = {"temporal": "temporal"}
"""Job label by part, for parts that aren't the product's."""


def find_prometheus(program: str = PROMETHEUS) -> Path | None:
    """Return `prometheus` or `promtool` from PATH, or from Debian's package in the cache; None if there is none."""
    found = shutil.which(program)
    cached = unpacked_prometheus() / "usr" / "bin" / program
    if found:
        return Path(found)
    return cached if cached.is_file() else None


def unpacked_prometheus() -> Path:
    """Return the cache folder of Debian's package; it may not exist yet."""
    return paths.cache_dir() / PROMETHEUS


def alert_rules() -> Path:
    """Return the file of the alert rules."""
    return paths.checkout() / "deploy" / "rules" / "orderfleet.yaml"


def prometheus_url(assigned: Ports) -> str:
    """Return the URL of its Web UI."""
    return f"http://{ports.HOST}:{assigned['web']}"


def prometheus_ready(assigned: Ports) -> bool:
    """Return whether a Prometheus with the ports `assigned` is ready."""
    return answers(f"{prometheus_url(assigned)}/-/ready")


def prometheus_part(folder: Path, program: Path, *, port: int) -> Part:
    """Return Prometheus as a part, with its data and configuration in `folder`.

    It reads the addresses of the processes from a file, so that it needs no restart when one of them changes.
    """

    def command(assigned: Ports) -> Command:
        return Command(
            (
                *(str(program), f"--config.file={folder / 'prometheus.json'}"),
                *(f"--storage.tsdb.path={folder / 'data'}", "--storage.tsdb.retention.time=7d"),
                *(f"--web.listen-address={ports.HOST}:{assigned['web']}", "--enable-feature=exemplar-storage"),
                "--log.level=warn",
            ),
            folder,
        )

    return Part(
        name=PROMETHEUS,
        ports={"web": port},
        command=command,
        ready=prometheus_ready,
        prepare=lambda _: _configure_prometheus(folder),
    )


def write_targets(folder: Path, pages: Mapping[str, str]) -> None:
    """Write the file of scrape targets, which Prometheus reloads by itself.

    Args:
        folder: of Prometheus.
        pages: URLs of metrics pages, by part.
    """
    folder.mkdir(parents=True, exist_ok=True)
    targets = [
        {"targets": [page.removeprefix("http://").removesuffix("/metrics")], "labels": _labels(name)}
        for name, page in pages.items()
    ]
    new = folder / f"{_TARGETS}.new"
    new.write_text(json.dumps(targets, indent=2))
    new.replace(folder / _TARGETS)


def _labels(name: str) -> dict[str, str]:
    job = "temporal-sdk" if name.endswith("-sdk") else _JOBS.get(name, "orderfleet")
    return {"job": job, "part": name.removesuffix("-sdk")}


def _configure_prometheus(folder: Path) -> None:
    # JSON is valid YAML.
    config = {
        "global": {"scrape_interval": "5s", "evaluation_interval": "15s"},
        "rule_files": [str(alert_rules())],
        "scrape_configs": [{"job_name": "stack", "file_sd_configs": [{"files": [str(folder / _TARGETS)]}]}],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prometheus.json").write_text(json.dumps(config, indent=2))


_COLLECTORS = (COLLECTOR, "otelcol-contrib")


def find_collector() -> Path | None:
    """Return the collector on PATH, of either distribution; None if there is none."""
    return next((Path(found) for found in map(shutil.which, _COLLECTORS) if found), None)


def collector_endpoint(assigned: Ports) -> str:
    """Return the collector's OTLP endpoint over gRPC, `host:port`."""
    return f"{ports.HOST}:{assigned['otlp']}"


def collector_part(folder: Path, program: Path, *, port: int) -> Part:
    """Return the collector as a part, with its configuration in `folder`.

    It writes each span to its log, which `orderfleet stack logs otelcol` shows; the stack has no trace store.
    """
    return Part(
        name=COLLECTOR,
        ports={"otlp": port},
        command=lambda _: Command((str(program), "--config", str(folder / "otelcol.json")), folder),
        # The collector listens once it accepts spans, and `launch` waits until it listens.
        ready=lambda _: True,
        prepare=lambda assigned: _configure_collector(folder, assigned),
    )


def _configure_collector(folder: Path, assigned: Ports) -> None:
    # JSON is valid YAML.
    config = {
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": collector_endpoint(assigned)}}}},
        "exporters": {"debug": {"verbosity": "detailed"}},
        "service": {
            # Metrics of the collector would need a port, and nothing scrapes them.
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["debug"]}},
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "otelcol.json").write_text(json.dumps(config, indent=2))


@dataclass(frozen=True, slots=True)
class OptionalService:
    """A part that is left out if its program isn't installed."""

    name: str
    find: Callable[[], Path | None]
    part: Callable[..., Part]
    """Describes the part, from the folder of its files, its program and `port`; 0: any."""
    port: int
    """Its only port."""
    without: str
    """What a stack without it lacks, and how to install it."""
    passed_to_roles: bool = False
    """Whether the roles get its address, and so start after it."""


OPTIONAL_SERVICES: tuple[OptionalService, ...] = (
    OptionalService(
        name=PROMETHEUS,
        find=find_prometheus,
        part=prometheus_part,
        port=9090,
        without="no metrics are stored and no alerts evaluated; install Debian's package `prometheus`, or put the"
        " program of https://prometheus.io/download on PATH",
    ),
    OptionalService(
        name=COLLECTOR,
        find=find_collector,
        part=collector_part,
        port=4317,
        without="no traces are collected; put `otelcol` of"
        " https://github.com/open-telemetry/opentelemetry-collector-releases on PATH",
        passed_to_roles=True,
    ),
)
