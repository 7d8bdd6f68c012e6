"""What is known about a stack: its parts, their ports and the addresses that follow from them.

`lifecycle` writes it, everyone else reads it: the command line, the demo, the tests. It must
never be the only way to find a process, because a killed starter may not have written it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from orderfleet_local.stack import apiserver, collector, paths, ports, postgres, prometheus, temporal_server
from orderfleet_local.stack.errors import StackError

_FILE = "state.json"
_PORTS_FILE = "ports.json"


@dataclass(frozen=True, slots=True)
class PartState:
    """A started part: process id, start in seconds since 1970, ports by purpose, addresses."""

    pid: int
    started: float
    ports: Mapping[str, int]
    log: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class StackState:
    """A stack whose state lies in `folder`; `complete` once every part was ready."""

    folder: Path
    complete: bool = False
    parts: Mapping[str, PartState] = field(default_factory=dict)

    @property
    def database_url(self) -> str:
        """Address of the record's database."""
        return postgres.database_url(self._part("postgres").ports)

    @property
    def temporal_address(self) -> str:
        """Temporal's `host:port`."""
        return temporal_server.address(self._part("temporal").ports)

    @property
    def temporal_ui_url(self) -> str:
        """Temporal's Web UI."""
        return f"http://{ports.HOST}:{self._part('temporal').ports['ui']}"

    @property
    def api_url(self) -> str:
        """The product's HTTP API, without a path."""
        return self._part("api").url or ""

    @property
    def prometheus_url(self) -> str:
        """Prometheus' page."""
        return prometheus.url(self._part(prometheus.PROMETHEUS).ports)

    @property
    def traces_log(self) -> str:
        """The log that the collector writes spans into."""
        return self._part(collector.COLLECTOR).log

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig of the local API server."""
        return apiserver.kubeconfig(kubernetes_folder(self.folder))

    @property
    def metrics_urls(self) -> dict[str, str]:
        """Prometheus pages by part; `…-sdk` are those of Temporal's SDK in the workers."""
        pages = {}
        for name, part in self.parts.items():
            if part.url is not None:
                pages[name] = f"{part.url}/metrics"
            for purpose, port in part.ports.items():
                if purpose == "ORDERFLEET_TEMPORAL_METRICS_PORT":
                    pages[f"{name}-sdk"] = f"http://{ports.HOST}:{port}/metrics"
                elif purpose in {"metrics", "ORDERFLEET_HEALTH_PORT"}:
                    pages[name] = f"http://{ports.HOST}:{port}/metrics"
        return pages

    @property
    def logs(self) -> Path:
        """The folder with a log file for each part."""
        return self.folder / "logs"

    @property
    def ledger(self) -> Path:
        """The books of the simulated payment provider and carrier."""
        return self.folder / "ledger.db"

    def with_part(self, name: str, part: PartState) -> StackState:
        """Return the state with one part more, or anew."""
        return replace(self, parts={**self.parts, name: part})

    def _part(self, name: str) -> PartState:
        try:
            return self.parts[name]
        except KeyError:
            raise StackError(f"this stack has no {name}") from None


def kubernetes_folder(folder: Path) -> Path:
    """Return where the API server's files of the stack in `folder` lie."""
    return folder / "kubernetes"


def load(folder: Path | None = None) -> StackState | None:
    """Return the state of the stack in `folder` (by default this checkout's), None if never started."""
    place = paths.state_dir() if folder is None else folder
    try:
        content = json.loads((place / _FILE).read_text())
        parts = {name: PartState(**part) for name, part in content["parts"].items()}
        return StackState(place, bool(content["complete"]), parts)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        # Written by another version; the processes are found without it.
        return None


def save(state: StackState) -> None:
    """Write the state in one step; a reader sees the old or the new one."""
    parts = {name: asdict(part) for name, part in state.parts.items()}
    _write(state.folder / _FILE, {"complete": state.complete, "parts": parts})


def forget(folder: Path, *, ports_too: bool = False) -> None:
    """Remove the state file: the stack is down; `ports_too` lets the next start use the usual ports."""
    (folder / _FILE).unlink(missing_ok=True)
    if ports_too:
        (folder / _PORTS_FILE).unlink(missing_ok=True)


def load_ports(folder: Path) -> dict[str, dict[str, int]]:
    """Return the ports by purpose that each part of the stack in `folder` last had, also of one that is down."""
    try:
        content = json.loads((folder / _PORTS_FILE).read_text())
        return {name: {purpose: int(port) for purpose, port in given.items()} for name, given in content.items()}
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return {}


def save_ports(folder: Path, by_part: Mapping[str, Mapping[str, int]]) -> None:
    """Write what `load_ports` returns, in one step."""
    _write(folder / _PORTS_FILE, by_part)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.write_text(json.dumps(content, indent=2))
    new.replace(path)
