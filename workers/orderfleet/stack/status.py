"""What runs of a stack right now, asked of the processes and of the parts' own readiness.

The command line's `status` calls it. It must never change anything.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from orderfleet.stack import health, processes, state
from orderfleet.stack.launch import answers


class Condition(StrEnum):
    """How a part is."""

    RUNNING = "running"
    NOT_ANSWERING = "not answering"
    """It runs and answers no calls; `up` restarts it."""
    NOT_READY = "not ready"
    """It runs and returns that something it needs is away."""
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
    def fine(self) -> bool:
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
        problem = health.problem(folder, name, part)
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
