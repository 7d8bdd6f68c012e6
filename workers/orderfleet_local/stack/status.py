"""What runs of a stack right now, asked of the processes and of the parts' own readiness.

The command line's `status` shows it, and `lifecycle` restarts what runs and answers no calls: a process that is
stopped, or a Temporal whose database connections are broken. It must never change anything.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from orderfleet_local.stack import apiserver, etcd, postgres, processes, prometheus, state, temporal_server
from orderfleet_local.stack.apiserver import APISERVER
from orderfleet_local.stack.etcd import ETCD
from orderfleet_local.stack.launch import answers, get
from orderfleet_local.stack.processes import POSTGRES
from orderfleet_local.stack.prometheus import PROMETHEUS
from orderfleet_local.stack.state import PartState, kubernetes_folder
from orderfleet_local.stack.temporal_server import TEMPORAL

_READY = {POSTGRES: postgres.ready, ETCD: etcd.ready, PROMETHEUS: prometheus.ready}
_SECONDS_TO_ANSWER = 3.0


class Condition(StrEnum):
    """How a part is."""

    RUNNING = "running"
    NOT_ANSWERING = "not answering"
    """It runs and answers no calls; `up` restarts it."""
    NOT_READY = "not ready"
    """It runs and returns that something it needs is unavailable."""
    STOPPED = "stopped"
    LEFT_OVER = "left over"
    """It runs and no completed start knows it; `up` or `down` ends it."""


@dataclass(frozen=True, slots=True)
class PartStatus:
    """A part now: its condition, process id, seconds since it started, ports by purpose, log."""

    name: str
    state: Condition
    pid: int | None = None
    seconds: float | None = None
    ports: Mapping[str, int] = field(default_factory=dict)
    log: str | None = None
    problem: str | None = None
    """Of a part that is not answering: what was asked and what it returned."""

    @property
    def ok(self) -> bool:
        """Whether nothing needs to be done about it."""
        return self.state is Condition.RUNNING

    def document(self) -> dict[str, Any]:
        """Return what `-o json` prints."""
        return asdict(self)


def inspect(folder: Path) -> list[PartStatus]:
    """Return the parts of the stack in `folder`; empty when it is down."""
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
            condition = Condition.NOT_ANSWERING
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
    """Return why the running part `name` of the stack in `folder` answers nothing; None if it answers.

    A process of the product is asked for `/healthz`: `/readyz` depends on what it needs.
    """
    if name == TEMPORAL:
        return temporal_server.problem(part.ports)
    if name == APISERVER:
        # Not `/readyz`, which depends on etcd.
        ok = apiserver.responds(kubernetes_folder(folder), part.ports, "/livez/ping")
    elif name in _READY:
        ok = _READY[name](part.ports)
    else:
        ok = part.url is None or get(f"{part.url}/healthz", timeout=_SECONDS_TO_ANSWER) is not None
    return None if ok else "it doesn't answer"
