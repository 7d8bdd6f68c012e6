"""Prometheus as a part of the stack where its program is at hand: it scrapes every process and evaluates the rules.

`offers` says that it may be left out, `assembly` starts it and tells it where the others listen. Where they
listen it reads from a file, so it starts beside them and needs no restart when one of them moves.
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
"""The job of a part that is none of the product's."""


def find(program: str = PROMETHEUS) -> Path | None:
    """Return `prometheus`, or `promtool`, from PATH or where Debian's package is unpacked in the cache."""
    found = shutil.which(program)
    cached = unpacked() / "usr" / "bin" / program
    if found:
        return Path(found)
    return cached if cached.is_file() else None


def unpacked() -> Path:
    """Return the folder in the cache for Debian's package; it may not exist yet."""
    return paths.cache_dir() / PROMETHEUS


def rules() -> Path:
    """Return the alerts."""
    return paths.checkout() / "deploy" / "rules" / "orderfleet.yaml"


def url(given: Ports) -> str:
    """Return the address of its page."""
    return f"http://{ports.HOST}:{given['web']}"


def ready(given: Ports) -> bool:
    """Whether a Prometheus that got the ports `given` answers."""
    return answers(f"{url(given)}/-/ready")


def part(folder: Path, program: Path, *, port: int = DEFAULT_PORT) -> Part:
    """Return Prometheus with its data and configuration in `folder`."""

    def command(given: Ports) -> Command:
        return Command(
            (
                *(str(program), f"--config.file={folder / 'prometheus.json'}"),
                *(f"--storage.tsdb.path={folder / 'data'}", "--storage.tsdb.retention.time=7d"),
                *(f"--web.listen-address={ports.HOST}:{given['web']}", "--enable-feature=exemplar-storage"),
                "--log.level=warn",
            ),
            folder,
        )

    return Part(
        name=PROMETHEUS,
        ports={"web": port},
        command=command,
        ready=ready,
        prepare=lambda _: _configure(folder),
    )


def tell(folder: Path, pages: Mapping[str, str]) -> None:
    """Tell it which metrics pages there are, by part; one that is started later is told again."""
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
    # JSON is YAML too.
    config = {
        "global": {"scrape_interval": "5s", "evaluation_interval": "15s"},
        "rule_files": [str(rules())],
        "scrape_configs": [{"job_name": "stack", "file_sd_configs": [{"files": [str(folder / _TARGETS)]}]}],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prometheus.json").write_text(json.dumps(config, indent=2))
