"""The state file of a stack: its parts, their ports and their addresses; and the current condition of each part.

The file must never be the only way to find a process, because a killed starter may not have written it. A part may run
without responding: a process that is suspended, or a Temporal with broken database connections.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from orderfleet_local.stack import apiserver, paths, ports, postgres, processes, temporal_server
from orderfleet_local.stack.apiserver import APISERVER, ETCD
from orderfleet_local.stack.errors import StackError
from orderfleet_local.stack.launch import answers, get
from orderfleet_local.stack.optional_services import COLLECTOR, PROMETHEUS, prometheus_ready, prometheus_url
from orderfleet_local.stack.processes import POSTGRES
from orderfleet_local.stack.temporal_server import TEMPORAL

_FILE = "state.json"
_PORTS_FILE = "ports.json"
_READY = {POSTGRES: postgres.ready, ETCD: apiserver.etcd_ready, PROMETHEUS: prometheus_ready}
_RESPONSE_TIMEOUT = 3.0


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
    """A stack in `folder`; `complete` once every part was ready."""

    folder: Path
    complete: bool = False
    parts: Mapping[str, PartState] = field(default_factory=dict)

    @property
    def database_url(self) -> str:
        """URL of the order store."""
        return postgres.database_url(self._part("postgres").ports)

    @property
    def temporal_address(self) -> str:
        """Temporal's gRPC address, `host:port`."""
        return temporal_server.address(self._part("temporal").ports)

    @property
    def temporal_ui_url(self) -> str:
        """URL of Temporal's Web UI."""
        return f"http://{ports.HOST}:{self._part('temporal').ports['ui']}"

    @property
    def api_url(self) -> str:
        """URL of the product's HTTP API, without a path."""
        return self._part("api").url or ""

    @property
    def prometheus_url(self) -> str:
        """URL of Prometheus."""
        return prometheus_url(self._part(PROMETHEUS).ports)

    @property
    def traces_log(self) -> str:
        """Log file that the collector writes spans to."""
        return self._part(COLLECTOR).log

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig of the local API server."""
        return apiserver.kubeconfig(kubernetes_folder(self.folder))

    @property
    def metrics_urls(self) -> dict[str, str]:
        """URLs of metrics pages by part; `…-sdk` are those of Temporal's SDK in the workers."""
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
        """The ledger file of the simulated payment provider and carrier."""
        return self.folder / "ledger.db"

    def with_part(self, name: str, part: PartState) -> StackState:
        """Return the state with this part added or replaced."""
        return replace(self, parts={**self.parts, name: part})

    def _part(self, name: str) -> PartState:
        try:
            return self.parts[name]
        except KeyError:
            raise StackError(f"this stack has no {name}") from None


def kubernetes_folder(folder: Path) -> Path:
    """Return the folder of the API server of the stack in `folder`."""
    return folder / "kubernetes"


def load(folder: Path | None = None) -> StackState | None:
    """Return the state of the stack in `folder`, by default this checkout's; None if it wasn't started."""
    root = paths.state_dir() if folder is None else folder
    try:
        content = json.loads((root / _FILE).read_text())
        parts = {name: PartState(**part) for name, part in content["parts"].items()}
        return StackState(root, bool(content["complete"]), parts)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        # Another version wrote it; the processes are found without it.
        return None


def save(state: StackState) -> None:
    """Write the state atomically: a reader gets the old or the new one."""
    parts = {name: asdict(part) for name, part in state.parts.items()}
    _write(state.folder / _FILE, {"complete": state.complete, "parts": parts})


def forget(folder: Path, *, ports_too: bool = False) -> None:
    """Remove the state file of a stopped stack.

    Args:
        folder: of the stack.
        ports_too: forget the ports of its parts too, so that the next start uses the default ports.
    """
    (folder / _FILE).unlink(missing_ok=True)
    if ports_too:
        (folder / _PORTS_FILE).unlink(missing_ok=True)


def load_ports(folder: Path) -> dict[str, dict[str, int]]:
    """Return the last ports of each part of the stack in `folder`, by part and purpose."""
    try:
        content = json.loads((folder / _PORTS_FILE).read_text())
        return {name: {purpose: int(port) for purpose, port in ports.items()} for name, ports in content.items()}
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        return {}


def save_ports(folder: Path, by_part: Mapping[str, Mapping[str, int]]) -> None:
    """Write the ports that `load_ports` returns, atomically."""
    _write(folder / _PORTS_FILE, by_part)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.write_text(json.dumps(content, indent=2))
    new.replace(path)


class Condition(StrEnum):
    """The condition of a part."""

    RUNNING = "running"
    NOT_RESPONDING = "not responding"
    """It runs but does not respond; `up` restarts it."""
    NOT_READY = "not ready"
    """It responds that a service it needs is unavailable."""
    STOPPED = "stopped"
    LEFT_OVER = "left over"
    """It runs but is not in the state file; `up` or `down` ends it."""


@dataclass(frozen=True, slots=True)
class PartStatus:
    """A part: its condition, process id, seconds since its start, ports by purpose, log."""

    name: str
    state: Condition
    pid: int | None = None
    seconds: float | None = None
    ports: Mapping[str, int] = field(default_factory=dict)
    log: str | None = None
    problem: str | None = None
    """Why a part that is not responding doesn't: the call and its result."""

    @property
    def ok(self) -> bool:
        """Whether the part runs and is ready."""
        return self.state is Condition.RUNNING


def inspect(folder: Path) -> list[PartStatus]:
    """Return the status of each part of the stack in `folder`; empty if it isn't running."""
    known = load(folder)
    running = processes.find(folder)
    parts = dict(known.parts) if known else {}
    now = time.time()
    result = []
    for name, part in parts.items():
        alive = any(process.pid == part.pid for process in running.get(name, ()))
        if not alive:
            result.append(PartStatus(name, Condition.STOPPED, ports=part.ports, log=part.log))
            continue
        problem = find_problem(folder, name, part)
        if problem is not None:
            condition = Condition.NOT_RESPONDING
        elif part.url is None or answers(f"{part.url}/readyz"):
            condition = Condition.RUNNING
        else:
            condition = Condition.NOT_READY
        result.append(PartStatus(name, condition, part.pid, now - part.started, part.ports, part.log, problem))
    for name, found in running.items():
        if name not in parts:
            result.append(PartStatus(name, Condition.LEFT_OVER, found[0].pid))
    return result


def find_problem(folder: Path, name: str, part: PartState) -> str | None:
    """Return why a running part doesn't respond; None if it does.

    Of the product's processes it gets `/healthz`, because `/readyz` depends on other parts.

    Args:
        folder: of the stack.
        name: of the part.
        part: its state.
    """
    if name == TEMPORAL:
        return temporal_server.problem(part.ports)
    if name == APISERVER:
        # `/readyz` depends on etcd, which is a part of its own.
        ok = apiserver.responds(kubernetes_folder(folder), part.ports, "/livez/ping")
    elif name in _READY:
        ok = _READY[name](part.ports)
    else:
        ok = part.url is None or get(f"{part.url}/healthz", timeout=_RESPONSE_TIMEOUT) is not None
    return None if ok else "it doesn't respond"
