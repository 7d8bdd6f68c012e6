"""Prometheus as an optional part of the stack: it scrapes every process and evaluates the alert rules.

It reads the addresses of the processes from a file, so that it needs no restart when one of them changes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from orderfleet_local.stack import paths, ports
from orderfleet_local.stack.launch import Part, Ports, answers
from orderfleet_local.stack.processes import Command

PROMETHEUS = "prometheus"
DEFAULT_PORT = 9090

_TARGETS = "targets.json"
_JOBS = {"temporal": "temporal"}
"""Job label by part, for parts that aren't the product's."""


def find(program: str = PROMETHEUS) -> Path | None:
    """Return `prometheus` or `promtool` from PATH, or from Debian's package in the cache; None if there is none."""
    found = shutil.which(program)
    cached = unpacked() / "usr" / "bin" / program
    if found:
        return Path(found)
    return cached if cached.is_file() else None


def unpacked() -> Path:
    """Return the cache folder of Debian's package; it may not exist yet."""
    return paths.cache_dir() / PROMETHEUS


def rules() -> Path:
    """Return the file of the alert rules."""
    return paths.checkout() / "deploy" / "rules" / "orderfleet.yaml"


def url(assigned: Ports) -> str:
    """Return the URL of its Web UI."""
    return f"http://{ports.HOST}:{assigned['web']}"


def ready(assigned: Ports) -> bool:
    """Return whether a Prometheus with the ports `assigned` is ready."""
    return answers(f"{url(assigned)}/-/ready")


def part(folder: Path, program: Path, *, port: int = DEFAULT_PORT) -> Part:
    """Return the part, with its data and configuration in `folder`."""

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
        name=PROMETHEUS, ports={"web": port}, command=command, ready=ready, prepare=lambda _: _configure(folder)
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


def _configure(folder: Path) -> None:
    # JSON is valid YAML.
    config = {
        "global": {"scrape_interval": "5s", "evaluation_interval": "15s"},
        "rule_files": [str(rules())],
        "scrape_configs": [{"job_name": "stack", "file_sd_configs": [{"files": [str(folder / _TARGETS)]}]}],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prometheus.json").write_text(json.dumps(config, indent=2))
