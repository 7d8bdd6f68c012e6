"""The current condition of each part of a stack, from its processes and its readiness.

A part may run without responding: a process that is suspended, or a Temporal with broken database connections. This
module must never change anything.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from orderfleet_local.stack import apiserver, postgres, processes, state, temporal_server
from orderfleet_local.stack.apiserver import APISERVER, ETCD
from orderfleet_local.stack.launch import answers, get
from orderfleet_local.stack.optional_services import PROMETHEUS, prometheus_ready
from orderfleet_local.stack.processes import POSTGRES
from orderfleet_local.stack.state import PartState, kubernetes_folder
from orderfleet_local.stack.temporal_server import TEMPORAL

_READY = {POSTGRES: postgres.ready, ETCD: apiserver.etcd_ready, PROMETHEUS: prometheus_ready}
_RESPONSE_TIMEOUT = 3.0


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

    def document(self) -> dict[str, Any]:
        """Return what `-o json` prints."""
        return asdict(self)


def inspect(folder: Path) -> list[PartStatus]:
    """Return the status of each part of the stack in `folder`; empty if it isn't running."""
    known = state.load(folder)
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
